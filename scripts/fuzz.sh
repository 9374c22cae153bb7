#!/usr/bin/env bash
# Parses mutated bodies, then messages of NATS, for a number of seconds each: `scripts/fuzz.sh 600`. A debug build,
# so that it is the build of the tests and an integer overflow panics.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true FUZZ_SECONDS=$1
exec cargo test --locked --test fuzz -- --nocapture
