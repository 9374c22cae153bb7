#!/usr/bin/env bash
# Measures what receiving costs, with a PostgreSQL of its own in target/bench/ that keeps what it
# commits. What follows is for the benchmark: `scripts/bench.sh --only messages --rounds 1`.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
postgres=target/bench/postgres
mkdir -p target/bench
cargo bench --locked --bench write --no-run
scripts/postgres.sh start "$postgres"
trap 'scripts/postgres.sh stop "$postgres"' EXIT
cargo bench --quiet --locked --bench write -- \
    --cluster "$(scripts/postgres.sh url "$postgres")" --seconds "${BENCH_SECONDS:-1.5}" "$@"
