#!/usr/bin/env bash
# Runs the tests against a temporary PostgreSQL: `scripts/test.sh [OPTION…] [FILTER]`. Uses
# cargo-nextest if it is installed, otherwise `cargo test`; both accept the arguments.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
if ! cargo nextest --version >/dev/null 2>&1; then
    printf '%s\n' 'test.sh: cargo-nextest not found, using cargo test: a test that hangs is not killed' \
        'test.sh: to install it: cargo install cargo-nextest --locked' >&2
    exec scripts/postgres.sh with cargo test --locked "$@"
fi
# nextest does not run doc tests.
[[ $# -gt 0 ]] || cargo test --locked --doc
exec scripts/postgres.sh with cargo nextest run --locked "$@"
