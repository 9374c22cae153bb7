#!/usr/bin/env bash
set -euo pipefail
openapi-typescript "$ADDRESS/openapi.json" --output schema.d.ts
tsc
node build/main.js
