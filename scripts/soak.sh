#!/usr/bin/env bash
# Kills, stops and freezes services, their PostgreSQL and NATS nodes at random for DURATION seconds, and checks
# that every acknowledged event is stored exactly once. The last line of output is the result. In a run of a minute
# or more there are more faults, see tests/service/crash.rs; a run of a day takes no more space than one of minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

export DURATION=${DURATION:-600} SQLX_OFFLINE=true
CRASH_FOLDER=$(mktemp -d)
export CRASH_FOLDER
log=$CRASH_FOLDER.log
# The test cleans up by itself unless it is interrupted.
# shellcheck disable=SC2317 # Called by the trap.
finish() {
    local code=$?
    for folder in "$CRASH_FOLDER" "$CRASH_FOLDER-standby"; do
        [[ ! -d $folder ]] || scripts/postgres.sh stop "$folder/postgres" --wipe 2>/dev/null || true
        rm -rf "$folder"
    done
    rm -f "$log"
    exit "$code"
}
trap finish EXIT

chmod 755 "$CRASH_FOLDER"
# Thousands of connections.
ulimit -n "$(ulimit -Hn)" || true
code=0
cargo test --locked --test service crash:: -- --nocapture 2>&1 | tee "$log" || code=$?
echo
grep '^spooled' "$log" || true
grep '^rounds' "$log" || { echo "no result; the error is above"; code=1; }
exit "$code"
