#!/usr/bin/env bash
# Benchmark of writing, with a durable PostgreSQL in target/bench/. Arguments go to the benchmark:
# `scripts/bench.sh --only messages --rounds 1`. BENCH_SECONDS is the duration of each measurement.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
# No checkpoint may occur during a run: benches/write.rs says why.
export POSTGRES_OPTIONS="-c checkpoint_timeout=1h -c max_wal_size=16GB ${POSTGRES_OPTIONS:-}"
target=${CARGO_TARGET_DIR:-target}
cargo build --release --locked --features bench --bin bench
if [[ " $* " == *' --only '* && " $* " != *' stored '* ]]; then
    # Without the database that takes minutes to fill.
    folder=$target/bench/empty
    mkdir -p "${folder%/*}"
    scripts/postgres.sh start "$folder"
else
    folder=$(scripts/bench-data.sh)
    set -- --stored big "$@"
fi
trap 'scripts/postgres.sh stop "$folder"' EXIT
"$target/release/bench" write --cluster "$(scripts/postgres.sh url "$folder")" \
    --seconds "${BENCH_SECONDS:-0.5}" "$@" | tee "$target/bench.md"
