#!/usr/bin/env bash
# Measures what receiving costs, with a PostgreSQL of its own in target/bench/ that keeps what it
# commits. What follows is for the benchmark: `scripts/bench.sh --only messages --rounds 1`.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
# No checkpoint falls into a cell: benches/write/rounds.rs says why.
export POSTGRES_OPTIONS="-c checkpoint_timeout=1h -c max_wal_size=16GB ${POSTGRES_OPTIONS:-}"
cargo build --release --locked --features costs --bin costs
if [[ " $* " == *' --only '* && " $* " != *' stored '* ]]; then
    # Nobody wants the database that takes minutes to fill.
    folder=${CARGO_TARGET_DIR:-target}/bench/empty
    mkdir -p "${folder%/*}"
    scripts/postgres.sh start "$folder"
else
    folder=$(scripts/bench-data.sh)
    set -- --stored big "$@"
fi
trap 'scripts/postgres.sh stop "$folder"' EXIT
"${CARGO_TARGET_DIR:-target}/release/costs" write \
    --cluster "$(scripts/postgres.sh url "$folder")" --seconds "${BENCH_SECONDS:-0.5}" "$@"
