#!/usr/bin/env bash
# Tests examples/dashboard, served from another origin than the service, and the service's /docs in a
# headless Chromium.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/live.sh

if [[ ${1:-} != --with-postgres ]]; then
    command -v chromium >/dev/null && command -v chromedriver >/dev/null \
        || install_packages 'chromium chromium-driver' 'chromium chromedriver' 'chromium chromium-chromedriver' \
        || die 'chromium and chromedriver not found; install them'
    install_python_package selenium 4.51.0
    SQLX_OFFLINE=true cargo build --locked
    scripts/postgres.sh with "$0" --with-postgres
    exit
fi

python3 -u -m http.server 0 --bind 127.0.0.1 --directory examples/dashboard >"$folder/pages" 2>&1 &
PAGES=$(wait_for 's/.*(\(http:[^)]*\)\/).*/\1/p' "$folder/pages")
export PAGES RECEIVER__API__CORS_ORIGINS=$PAGES
start_service
target/selenium/bin/python -m unittest -v tests/web/dashboard.py tests/web/docs.py
