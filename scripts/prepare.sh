#!/usr/bin/env bash
# Lints all code while a temporary database with all migrations describes the queries, and updates .sqlx/
# from it, the query metadata that builds use instead of a database. With --check it fails if .sqlx/ is
# out of date. In place of sqlx-cli, which takes minutes to build and would compile the crate once more.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ $# -eq 0 || $* == --check ]] || { printf 'usage: scripts/prepare.sh [--check]\n' >&2; exit 2; }

server=$(mktemp -d)
described=$PWD/target/sqlx
trap 'scripts/postgres.sh stop "$server" --wipe' EXIT
POSTGRES_OPTIONS='-c fsync=off' scripts/postgres.sh start "$server" receiver
run_sql() { scripts/postgres.sh psql "$server" receiver -Xq -v ON_ERROR_STOP=1 -1 "$@"; }
for migration in migrations/*.sql; do
    run_sql <"$migration"
done
# sqlx creates it when it applies migrations.
run_sql -c 'create table _sqlx_migrations (
    version bigint primary key, description text not null, installed_on timestamptz not null,
    success boolean not null, checksum bytea not null, execution_time bigint not null
)'

rm -rf "$described"
mkdir -p "$described"
# Cargo does not know that the result depends on the database.
touch src/lib.rs
DATABASE_URL=$(scripts/postgres.sh url "$server" receiver) SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$described \
    cargo clippy --all-targets --all-features --locked -- -D warnings

if [[ $# -eq 0 ]]; then
    rm -rf .sqlx
    cp -r "$described" .sqlx
elif ! difference=$(diff -rq .sqlx "$described"); then
    printf 'prepare.sh: %s\n' '.sqlx/ is out of date; run: make prepare' "$difference" >&2
    exit 1
fi
