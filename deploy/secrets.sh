#!/usr/bin/env bash
# What deploy/compose.yaml mounts, in deploy/secrets: deploy/secrets.sh NAME... (names of the certificate)
#
#   proxy/certificate.pem, .key   self-signed: put a real certificate in their place
#   proxy/keys                    hashes of the clients' keys; the first client's key is printed, once
#   grafana-password              of Grafana's user admin
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

[ $# -ge 1 ] || { echo 'usage: deploy/secrets.sh NAME... (or addresses)' >&2; exit 2; }
[ ! -e secrets ] || { echo 'error: deploy/secrets exists: remove it first to make all anew' >&2; exit 1; }

# Users in the containers have other numbers and read the files; the folder keeps out this machine's.
umask 022
mkdir -m 700 secrets
mkdir secrets/proxy
./certificate.sh secrets/proxy "$@"
chmod 644 secrets/proxy/certificate.key
head -c 24 /dev/urandom | base64 > secrets/grafana-password
echo "key of the client first: $(python3 keys.py --file secrets/proxy/keys add first)"
