#!/usr/bin/env bash
# Asks a new database, with all migrations, about every query, and keeps its answers in
# .sqlx/; or compares them with those there. What follows is for `cargo sqlx prepare`.
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH=$PWD/target/tools/bin:$PATH
[[ $(cargo sqlx --version 2>/dev/null) == *' 0.9.'* ]] || cargo install sqlx-cli --version 0.9.0 --locked \
    --no-default-features --features postgres,sqlx-toml --debug --root target/tools

# Here the database is asked, not .sqlx/.
export SQLX_OFFLINE=false
exec scripts/postgres.sh with \
    bash -ec 'cargo sqlx migrate run; cargo sqlx prepare "$@"' prepare "$@"
