#!/usr/bin/env bash
# Measures what the read API costs, of 100 thousand and of 10 million messages. What follows is
# for the benchmark: `scripts/bench-read.sh --only /v1/rooms`.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
cargo build --release --locked --features costs --bin costs
folder=$(POSTGRES_OPTIONS='-c shared_buffers=1GB' scripts/bench-data.sh)
trap 'scripts/postgres.sh stop "$folder"' EXIT
"${CARGO_TARGET_DIR:-target}/release/costs" read \
    --small "$(scripts/postgres.sh url "$folder" small)" \
    --big "$(scripts/postgres.sh url "$folder" big)" "$@"
