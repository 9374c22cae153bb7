#!/usr/bin/env bash
# Starts a PostgreSQL with generated traffic and prints its folder, for scripts/postgres.sh. Database
# `small` has 100 thousand messages, `big` 10 million. Needs the benchmark's binary, to migrate.
#
# The databases are kept in target/bench/ until a migration or benches/fill/ changes. The caller
# stops the server. POSTGRES_OPTIONS is passed to it.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/bench"
hash=$(cat migrations/*.sql benches/fill/*.sql | git hash-object --stdin)
folder=$target/bench/data-${hash:0:12}

# Only one process fills at a time.
exec 9>"$target/bench/lock"
! command -v flock >/dev/null || flock 9

# Durability is needed only at the end, and large buffers avoid writing a page twice.
fill_options() {
    local memory=$(($(getconf _PHYS_PAGES) * $(getconf PAGE_SIZE) / 1024 / 1024))
    echo "-c fsync=off -c full_page_writes=off -c autovacuum=off -c checkpoint_timeout=1d" \
        "-c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=16GB" \
        "-c shared_buffers=$((memory / 4))MB"
}

fill() {
    local database=$1 url
    shift
    printf 'bench-data.sh: filling %s: %s\n' "$database" "$*"
    scripts/postgres.sh start "$folder" "$database"
    url=$(scripts/postgres.sh url "$folder" "$database")
    env -i DATABASE_URL="$url" RECEIVER__ENDPOINT__QONTAK__TOKENS=unused-token-of-the-benchmark \
        "$target/release/bench" receiver migrate
    step start "$@"
    step messages "$@" part=0 parts=2 &
    step messages "$@" part=1 parts=2
    wait "$!"
    make_indexes words &
    step rooms "$@"
    step journal "$@"
    make_indexes rest
    wait "$!"
    query --command='set client_min_messages = warning' --command='drop schema fill cascade' \
        --command='vacuum (analyze, freeze)'
}

# Runs a file of benches/fill/ with these parameters.
step() {
    local file=benches/fill/$1.sql
    shift
    query "${@/#/--set=}" <"$file"
}

make_indexes() { query --command="set fill.part = '$1'" --file=- <benches/fill/indexes.sql; }

# psql on the database of `fill`.
query() { scripts/postgres.sh psql "$folder" "$database" --set ON_ERROR_STOP=1 "$@"; }

if [[ ! -f $folder.filled ]]; then
    for stale in "$target"/bench/data-*/; do
        [[ ! -e $stale ]] || scripts/postgres.sh stop "$stale" --wipe
        rm -f "${stale%/}.filled"
    done
    (
        POSTGRES_OPTIONS=$(fill_options)
        export POSTGRES_OPTIONS
        fill small messages=100000 rooms=2000 logs=20000 broadcasts=200
        fill big messages=10000000 rooms=200000 logs=2000000 broadcasts=200
    ) 9>&- >&2
    scripts/postgres.sh stop "$folder"
    sync
    touch "$folder.filled"
fi

# Restart with the caller's options.
scripts/postgres.sh stop "$folder"
scripts/postgres.sh start "$folder" 9>&-
echo "$folder"
