#!/usr/bin/env bash
# Updates .sqlx/, the query metadata that builds use, from a temporary database with all migrations.
# With --check it fails if .sqlx/ is out of date. Arguments are passed to `cargo sqlx prepare`.
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH=$PWD/target/tools/bin:$PATH
[[ $(cargo sqlx --version 2>/dev/null) == *' 0.9.'* ]] || cargo install sqlx-cli --version 0.9.0 --locked \
    --no-default-features --features postgres,sqlx-toml --debug --root target/tools

# Describe queries by the database, not by .sqlx/.
export SQLX_OFFLINE=false
exec scripts/postgres.sh with \
    bash -ec 'cargo sqlx migrate run; cargo sqlx prepare "$@"' prepare "$@"
