#!/usr/bin/env bash
# Runs all checks except the tests, the fastest first, and stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
export PATH=$PWD/target/tools/bin:$PATH

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

step cargo fmt --check
step scripts/seal.sh
# clippy and .sqlx/ in one compilation.
step scripts/prepare.sh --check

[[ $(cargo deny --version 2>/dev/null) == *' 0.20.'* ]] \
    || CARGO_PROFILE_DEV_DEBUG=false step cargo install cargo-deny --version 0.20.2 --locked --debug --root target/tools
if cargo deny fetch db >/dev/null 2>&1; then
    step cargo deny check
else
    printf '\n== advisory database unreachable: checking dependencies without advisories\n'
    step cargo deny check bans licenses sources
fi

RUSTDOCFLAGS='-D warnings' step cargo doc --no-deps --locked --document-private-items

step scripts/test-monitoring.sh --rules

step scripts/fuzz.sh 10
