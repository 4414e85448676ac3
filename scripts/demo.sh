#!/usr/bin/env bash
# A page to try the service in a browser, until Ctrl-C: see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
# The demo's own: Gradio needs an older Pillow than serving does.
# shellcheck disable=SC2034  # environment.sh's functions use it
VENV=.venv-demo
export PYTHONDONTWRITEBYTECODE=1

for word in "$@"; do
    case $word in
        -h | --help) PYTHONPATH=client exec "$(find_python)" -m demo --help ;;
    esac
done

lock_environment
install_as demo 'client/pyproject.toml demo/constraints.txt demo/requirements.txt' \
    -c demo/constraints.txt -r demo/requirements.txt -e ./client
unlock_environment # scripts/serve.sh, which this may start, takes it
[ "${1:-}" != --install ] || exit 0
exec "$VENV/bin/python" -m demo "$@"
