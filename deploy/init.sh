#!/usr/bin/env bash
# Writes what docker-compose.yml needs: .env with settings, and secrets/ with a file for each secret. Prints the
# webhook URL and the API key, which is stored nowhere. Existing files are kept.
#
#   deploy/init.sh webhooks.example.com     the public host name; localhost for a test on this machine
set -euo pipefail
cd "$(dirname "$0")/.."

host=${1:-}
[[ $host =~ ^[A-Za-z0-9.-]+$ ]] || { echo "usage: deploy/init.sh HOST, e.g. webhooks.example.com" >&2; exit 2; }
if [[ -e .env ]]; then
    echo "init.sh: .env exists; delete it to start again (and the volumes of Postgres, whose password is in secrets/)" >&2
    exit 1
fi

random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-64; }

# Containers read the files as a user of their own, so only the folder keeps others out.
mkdir -p secrets
chmod 700 secrets
secret() { [[ -s secrets/$1 ]] || { printf %s "$2" >"secrets/$1" && chmod 644 "secrets/$1"; }; }
secret postgres-password "$(random)"
secret database-url "postgres://receiver:$(cat secrets/postgres-password)@postgres/receiver"
secret webhook-token "$(random)"
key=$(random)

(umask 077 && cat >.env <<ENV
COMPOSE_PROFILES=single
PUBLIC_HOST=$host
API_KEY_SHA256=$(printf %s "$key" | sha256)
ENV
)
printf '%-9s%s\n' \
    webhook "https://$host/webhooks/qontak/$(cat secrets/webhook-token)" \
    api http://127.0.0.1:8081 \
    key "$key" \
    start 'docker compose up -d'
