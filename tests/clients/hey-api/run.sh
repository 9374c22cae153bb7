#!/usr/bin/env bash
set -euo pipefail
openapi-ts
tsc
node build/main.js
