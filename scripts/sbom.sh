#!/usr/bin/env bash
# Writes target/qontak-receiver.cdx.json: a CycloneDX list of the crates in the released program.
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH=$PWD/target/tools/bin:$PATH
[[ $(cargo cyclonedx --version 2>/dev/null) == *' 0.5.9'* ]] \
    || cargo install cargo-cyclonedx --version 0.5.9 --locked --debug --root target/tools
cargo cyclonedx --format json --spec-version 1.5 --override-filename qontak-receiver.cdx --quiet
mv qontak-receiver.cdx.json target/
python3 - target/qontak-receiver.cdx.json <<'END'
import json, sys
document = json.load(open(sys.argv[1]))
names = {component["name"] for component in document["components"]}
assert document["bomFormat"] == "CycloneDX" and {"axum", "sqlx", "tokio"} <= names
assert not {name for name in names if name.startswith("openssl-sys") or name == "native-tls"}, "OpenSSL"
print(f"{sys.argv[1]}: {len(names)} components")
END
