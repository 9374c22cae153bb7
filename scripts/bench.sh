#!/usr/bin/env bash
# Benchmark of writing, with a durable PostgreSQL in target/bench/, and of NATS in front of it, with three nodes
# there. Arguments go to the benchmark: `scripts/bench.sh --only messages --rounds 1`; `--only nats` is NATS
# alone. BENCH_SECONDS is the duration of each measurement. QUICK=1 measures messages in one round, in two
# minutes. Where Node.js is, an Express program is measured beside the service.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
# No checkpoint may occur during a run: benches/write.rs says why.
export POSTGRES_OPTIONS="-c checkpoint_timeout=1h -c max_wal_size=16GB ${POSTGRES_OPTIONS:-}"
target=${CARGO_TARGET_DIR:-target}
cargo build --release --locked --features bench --bin bench
nats() {
    local nodes=$target/bench/nats
    scripts/nats.sh stop "$nodes" --wipe
    # shellcheck disable=SC2064 # The folders of now.
    trap "scripts/nats.sh stop '$nodes' --wipe; scripts/postgres.sh stop '$folder'" EXIT
    scripts/nats.sh start "$nodes"
    "$target/release/bench" nats --cluster "$(scripts/postgres.sh url "$folder")" --nodes "$nodes" \
        --seconds "${BENCH_SECONDS:-2}" | tee "$target/bench-nats.md"
}

if [[ ${QUICK:-} == 1 ]]; then
    set -- --only messages --rounds 1 "$@"
fi
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
if [[ "$*" == '--only nats' ]]; then
    nats
    exit
fi
express=$target/bench/express
mkdir -p "$express"
cp benches/express/* "$express"
if command -v node >/dev/null && npm install --prefix "$express" --silent --no-audit --no-fund --no-package-lock; then
    set -- --express "$express" "$@"
else
    printf '%s\n' 'bench.sh: WITHOUT the Express program: it needs Node.js, npm and a registry of packages' >&2
fi
"$target/release/bench" write --cluster "$(scripts/postgres.sh url "$folder")" \
    --seconds "${BENCH_SECONDS:-0.5}" "$@" | tee "$target/bench.md"
[[ " $* " == *' --only '* ]] || nats
