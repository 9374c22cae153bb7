#!/usr/bin/env bash
# Measures what receiving costs, with a PostgreSQL of its own in target/bench/ that keeps what it
# commits. What follows is for the benchmark: `scripts/bench.sh --only messages --rounds 1`.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
cargo bench --locked --bench write --no-run
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
cargo bench --quiet --locked --bench write -- \
    --cluster "$(scripts/postgres.sh url "$folder")" --seconds "${BENCH_SECONDS:-1}" "$@"
