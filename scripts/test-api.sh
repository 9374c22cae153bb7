#!/usr/bin/env bash
# Asks the service thousands of questions that its OpenAPI document allows, and some that it
# does not, by schemathesis. Fails if one is answered 5xx, or not as the document says.
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
