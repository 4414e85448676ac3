#!/usr/bin/env bash
# A self-signed certificate for trying the proxy out: deploy/certificate.sh FOLDER NAME...
# Clients must trust FOLDER/certificate.pem explicitly; a public service needs a real certificate.
set -euo pipefail

[ $# -ge 2 ] || { echo 'usage: deploy/certificate.sh FOLDER NAME... (or addresses)' >&2; exit 2; }
folder=$1
shift
names=()
for name in "$@"; do
    case $name in
        *:* | *[0-9].[0-9]*) names+=("IP:$name") ;;
        *) names+=("DNS:$name") ;;
    esac
done

mkdir -p "$folder"
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 \
    -subj "/CN=$1" -addext "subjectAltName=$(IFS=,; echo "${names[*]}")" \
    -keyout "$folder/certificate.key" -out "$folder/certificate.pem" 2> /dev/null
chmod 644 "$folder/certificate.pem"
