#!/usr/bin/env bash
# Benchmark of reading, with 100 thousand and with 10 million messages. Arguments go to the
# benchmark: `scripts/bench-read.sh --only /v1/rooms`.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
target=${CARGO_TARGET_DIR:-target}
cargo build --release --locked --features bench --bin bench
folder=$(POSTGRES_OPTIONS='-c shared_buffers=1GB' scripts/bench-data.sh)
trap 'scripts/postgres.sh stop "$folder"' EXIT
"$target/release/bench" read --small "$(scripts/postgres.sh url "$folder" small)" \
    --big "$(scripts/postgres.sh url "$folder" big)" "$@" | tee "$target/bench-read.md"
