#!/usr/bin/env bash
# Stops without losing a request that was taken.
#
#   deploy/stop.sh                              what scripts/serve.sh started in the background
#   deploy/stop.sh docker stop -t 20 face-age   a container of that name, or whatever stops it
#
# nginx closes its ports first, so that new requests are turned away, and ends when what is in
# flight has been answered. Then nothing is left for TorchServe to lose.
#
# NGINX_PID=FILE   nginx's pid file where it is not /run/nginx.pid
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pid_file=${NGINX_PID:-/run/nginx.pid}
if [ -e "$pid_file" ]; then
    pid=$(cat "$pid_file")
    kill -QUIT "$pid"
    while kill -0 "$pid" 2> /dev/null; do
        sleep 0.2
    done
    echo 'nginx has answered what was in flight, and is gone'
fi
[ $# -gt 0 ] || set -- .venv/bin/python -m server.supervisor --stop
exec "$@"
