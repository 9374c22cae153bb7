#!/usr/bin/env bash
# Starts a PostgreSQL that holds months of made-up traffic, for the benches, and prints its
# folder, for scripts/postgres.sh: database `small` has 100 thousand messages, `big` 10 million. Needs
# the program that measures, for its migrations.
#
# To fill them takes some minutes, so they are kept in target/bench/ until migrations or the SQL of
# benches/ change. Whoever calls this stops the server; `create database copy template
# big` makes a copy that may be written to. POSTGRES_OPTIONS holds more options for the server.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/bench"
hash=$(cat migrations/*.sql benches/fill/*.sql | git hash-object --stdin)
folder=$target/bench/data-${hash:0:12}

say() { printf 'bench-data.sh: %s\n' "$*" >&2; }

# Only one fills, the others wait for it.
exec 9>"$target/bench/lock"
! command -v flock >/dev/null || flock 9

# Half of the work is to write it down. Nothing of it will be missed, so nothing is synced before
# the end; and what is still in memory can be changed again without being written twice.
fill_options() {
    local memory=$(($(getconf _PHYS_PAGES) * $(getconf PAGE_SIZE) / 1024 / 1024))
    echo "-c fsync=off -c full_page_writes=off -c autovacuum=off -c checkpoint_timeout=1d" \
        "-c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=16GB" \
        "-c shared_buffers=$((memory / 4))MB"
}

fill() {
    local database=$1 url
    shift
    say "fills $database: $*"
    scripts/postgres.sh start "$folder" "$database"
    url=$(scripts/postgres.sh url "$folder" "$database")
    env -i DATABASE_URL="$url" RECEIVER__ENDPOINT__QONTAK__TOKENS=nobody-posts-anything \
        "$target/release/costs" receiver migrate >&2
    step start "$@"
    step messages "$@" part=0 parts=2 &
    step messages "$@" part=1 parts=2
    wait "$!"
    make_indexes words &
    step rooms "$@"
    step journal "$@"
    make_indexes rest
    wait "$!"
    ask --command='set client_min_messages = warning' --command='drop schema fill cascade' \
        --command='vacuum (analyze, freeze)'
}

# For `fill`: a file of benches/fill/, which is told these numbers.
step() {
    local name=$1
    shift
    ask "${@/#/--set=}" <"benches/fill/$name.sql"
}

make_indexes() { ask --command="set fill.part = '$1'" --file=- <benches/fill/indexes.sql; }

# For `fill`: psql with its database.
ask() { scripts/postgres.sh psql "$folder" "$database" --set ON_ERROR_STOP=1 "$@" >&2; }

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

# Whatever it was last started with.
scripts/postgres.sh stop "$folder"
scripts/postgres.sh start "$folder" 9>&-
echo "$folder"
