#!/usr/bin/env bash
# From a clone to a service that answers: see --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

usage() {
    cat << 'END'
usage: scripts/serve.sh [--background | --stop]

Makes .venv, installs what serving needs, builds the model and its archive where they are missing
or out of date, and serves ages over REST and gRPC until Ctrl-C.

  --background   return as soon as it is ready
  --stop         end the one in the background

PYTHON=/path/to/python3     makes .venv with that one
TS_<KEY>=value              overrides a line of config.properties, TS_INFERENCE_ADDRESS=... say
END
}

case ${1:-} in
    '' | --background | --stop) ;;
    -h | --help) usage; exit ;;
    *) fail "unknown option $1 (scripts/serve.sh --help)" ;;
esac
[ $# -le 1 ] || fail "one option at a time (scripts/serve.sh --help)"

if [ "${1:-}" = --stop ]; then
    [ -x "$VENV/bin/python" ] || { echo 'nothing runs'; exit; }
    exec "$VENV/bin/python" scripts/supervise.py --stop
fi

lock_environment
install client
provide_java
export PYTHONDONTWRITEBYTECODE=1

weights=model_store/age.safetensors model=model_store/age.pt
if [ ! -e "$model" ] || [ "$weights" -nt "$model" ]; then
    "$VENV/bin/python" -m train.torchscript --weights "$weights" --output "$model"
fi
"$VENV/bin/python" scripts/archive.py
unlock_environment
exec "$VENV/bin/python" scripts/supervise.py "$@"
