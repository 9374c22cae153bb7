#!/usr/bin/env bash
# Asks the service thousands of questions that its OpenAPI document allows, and some that it
# does not, by schemathesis. Fails if one is answered 5xx, or not as the document says.
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.32.5
venv=target/schemathesis

say() { printf 'test-api.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi; }

install_python() {
    local how
    for how in apt-get dnf apk ''; do ! command -v "$how" >/dev/null || break; done
    say "installs Python with ${how:-nothing}"
    case $how in
        apt-get)
            as_root apt-get -q update
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -q -y install --no-install-recommends python3-venv
            ;;
        dnf) as_root dnf install -y python3 ;;
        apk) as_root apk add python3 ;;
        *) return 1 ;;
    esac >/dev/null
}

install_schemathesis() {
    [[ $("$venv/bin/schemathesis" --version 2>/dev/null) != *" $version" ]] || return 0
    rm -rf "$venv"
    python3 -m venv "$venv" >/dev/null 2>&1 \
        || { rm -rf "$venv" && install_python && python3 -m venv "$venv"; } \
        || die "needs Python 3 with venv: please install it"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
}

if [[ ${1:-} != --with-postgres ]]; then
    install_schemathesis
    SQLX_OFFLINE=true cargo build --locked
    exec scripts/postgres.sh with "$0" --with-postgres
fi

# --- with a Postgres of our own -------------------------------------------------

folder=$(mktemp -d)
trap 'kill "$service" 2>/dev/null; wait "$service" || true; rm -rf "$folder"' EXIT
token=schemathesis-posts-with-this-token key=schemathesis
export RECEIVER__HTTP__LISTEN=127.0.0.1:0 RECEIVER__OPS__LISTEN=127.0.0.1:0
export RECEIVER__LOG__FORMAT=json
export RECEIVER__ENDPOINT__QONTAK__TOKENS=$token
export RECEIVER__KEY__ALL__SCOPES=read,export,replay RECEIVER__KEY__ALL__ORGANIZATIONS='*'
RECEIVER__KEY__ALL__SHA256=$(printf %s "$key" | sha256sum | cut -d ' ' -f 1)
export RECEIVER__KEY__ALL__SHA256
: >"$folder/log"
target/debug/qontak-receiver >"$folder/log" &
service=$!

address=
for ((tenths = 0; tenths < 300; tenths++)); do
    address=$(sed -n 's/.*"http.listen":"\([^"]*\)".*/\1/p' "$folder/log" | head -n 1)
    [[ -z $address ]] || break
    sleep 0.1
done
[[ -n $address ]] || die "the service did not start: $(tail -n 5 "$folder/log")"

# What is asked has to be there.
"$venv/bin/python" - "http://$address/webhooks/qontak/$token" tests/fixtures/* <<'END'
import sys, urllib.error, urllib.request
for path in sys.argv[2:]:
    body = urllib.request.Request(sys.argv[1], open(path, "rb").read(), {"content-type": "application/json"})
    try:
        urllib.request.urlopen(body)
    except urllib.error.HTTPError as refused:
        assert refused.code == 400, refused
END

export TOKEN=$token KEY=$key
"$venv/bin/schemathesis" --config-file scripts/schemathesis.toml run "http://$address/openapi.json"
