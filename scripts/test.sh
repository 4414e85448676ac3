#!/usr/bin/env bash
# Every check of the project: scripts/test.sh [pytest's arguments, of one process]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

lock_environment
install dev
provide_java
unlock_environment

"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
"$VENV/bin/mypy"
"$VENV/bin/lint-imports"
"$VENV/bin/python" scripts/audit.py
"$VENV/bin/python" scripts/render_docs.py --check
# Two processes, on however many cores: each has services of its own.
[ $# -gt 0 ] || set -- -n 2 --dist loadgroup --no-loadscope-reorder
exec "$VENV/bin/python" -m pytest --cov "$@"
