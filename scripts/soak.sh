#!/usr/bin/env bash
# Kills, stops and freezes services and their PostgreSQL at random, for DURATION seconds, and
# looks whether everything that was acknowledged is there once. Ends with one line that says so.
set -euo pipefail
cd "$(dirname "$0")/.."

export DURATION=${DURATION:-600} SQLX_OFFLINE=true
CRASH_FOLDER=$(mktemp -d)
export CRASH_FOLDER
log=$CRASH_FOLDER.log
# The test tidies up itself, unless it is interrupted.
# shellcheck disable=SC2317 # The trap calls it.
finish() {
    local code=$?
    [[ ! -d $CRASH_FOLDER ]] || scripts/postgres.sh stop "$CRASH_FOLDER/postgres" --wipe 2>/dev/null || true
    rm -rf "$CRASH_FOLDER" "$log"
    exit "$code"
}
trap finish EXIT

chmod 755 "$CRASH_FOLDER"
code=0
cargo test --locked --test service crash:: -- --nocapture 2>&1 | tee "$log" || code=$?
echo
grep '^spooled' "$log" || true
grep '^rounds' "$log" || { echo "it came to no end; why is above"; code=1; }
exit "$code"
