#!/usr/bin/env bash
# Runs the tests against a PostgreSQL that lives as long as they do. What follows is for
# `cargo test`: `scripts/test.sh repeated -- --nocapture`.
set -euo pipefail
cd "$(dirname "$0")/.."

# A query is checked against .sqlx/, as in every other build.
export SQLX_OFFLINE=true
exec scripts/postgres.sh with cargo test --locked "$@"
