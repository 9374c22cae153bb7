#!/usr/bin/env bash
# Sends thousands of valid and invalid requests generated from the OpenAPI document (schemathesis).
# Fails on a 5xx response and on a response that does not match the document.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/live.sh

if [[ ${1:-} != --with-postgres ]]; then
    install_python_package schemathesis 4.32.5
    SQLX_OFFLINE=true cargo build --locked
    scripts/postgres.sh with "$0" --with-postgres
    exit
fi

start_service
target/schemathesis/bin/schemathesis --config-file scripts/schemathesis.toml run "$ADDRESS/openapi.json"
