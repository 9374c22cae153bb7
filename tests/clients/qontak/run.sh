#!/usr/bin/env bash
# Reads Qontak's own routes as its clients do. ADDRESS and KEY are those of a service with the fixtures.
# Signatures are tested if MEKARI_API_CLIENT_ID and MEKARI_API_CLIENT_SECRET are set, to the output of
# `qontak-receiver key create --hmac`; the service then needs RECEIVER__API__HMAC_SECRET.
set -euo pipefail
[[ -d node_modules ]] || npm ci --ignore-scripts --no-audit --no-fund >/dev/null
node main.mjs
