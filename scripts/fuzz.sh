#!/usr/bin/env bash
# Reads random bodies for some seconds: `scripts/fuzz.sh 600`. Not optimised, so that it is the
# build of the tests, and an overflow is a panic.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true FUZZ_SECONDS=$1
exec cargo test --locked --test fuzz edited -- --nocapture
