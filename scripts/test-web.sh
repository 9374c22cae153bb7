#!/usr/bin/env bash
# Tests the console and /docs in a headless Chromium. Arguments are those of Python's unittest:
# `scripts/test-web.sh tests.web.console.Console.test_keyboard_is_enough`. SCREENSHOTS=FOLDER stores
# pictures of the pages.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/live.sh

AXE_VERSION=4.14.1

if [[ ${1:-} != --with-postgres ]]; then
    command -v chromium >/dev/null && command -v chromedriver >/dev/null \
        || install_packages 'chromium chromium-driver' 'chromium chromedriver' 'chromium chromium-chromedriver' \
        || die 'chromium and chromedriver not found; install them'
    install_python_package selenium 4.51.0
    axe=target/axe-core-$AXE_VERSION
    if [[ ! -s $axe/package/axe.min.js ]]; then
        mkdir -p "$axe"
        npm pack --silent --pack-destination "$axe" "axe-core@$AXE_VERSION" >/dev/null || die 'npm cannot fetch axe-core'
        tar -xzf "$axe/axe-core-$AXE_VERSION.tgz" -C "$axe" package/axe.min.js
    fi
    SQLX_OFFLINE=true cargo build --locked
    export AXE=$axe/package/axe.min.js
    scripts/postgres.sh with "$0" --with-postgres "$@"
    exit
fi
shift

export RECEIVER__CONSOLE__ENABLED=true RECEIVER__CONSOLE__DEMO=true
start_service
tests=("$@")
[[ $# -gt 0 ]] || tests=(tests/web/console.py tests/web/layout.py tests/web/refresh.py tests/web/docs.py)
# A browser that hangs would block the run.
timeout 1200 target/selenium/bin/python -m unittest -v "${tests[@]}"
