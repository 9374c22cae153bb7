#!/usr/bin/env bash
set -euo pipefail
openapi-python-client generate --url "$ADDRESS/openapi.json" --config config.yml --meta none \
    --output-path receiver --fail-on-warning
mypy --strict main.py receiver
python main.py
