#!/usr/bin/env bash
# Builds and runs the service with a private PostgreSQL in .data/, until Ctrl-C. Settings are taken
# from the environment (RECEIVER__…, API_KEY). A webhook token and an API key that are not set are
# generated once and stored in .data/. NATS=1 also starts three NATS nodes, as the first medium of the spool.
set -euo pipefail
cd "$(dirname "$0")/.."

postgres=.data/postgres
nats=.data/nats
child=
stopping=

say() { printf 'run.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# --- processes ------------------------------------------------------------------

# Starts it in its own process group, so that Ctrl-C does not reach it: `finish` stops the service
# before the database.
start() {
    set -m
    "$@" </dev/null &
    child=$!
    set +m
}

# shellcheck disable=SC2317 # Called by the trap.
finish() {
    local code=$? ended=0
    trap '' INT TERM HUP
    if [[ -n $child ]] && kill -TERM -- "-$child" 2>/dev/null; then
        # The graceful shutdown takes up to http.stop_timeout.
        for ((tenths = 0; tenths < 300; tenths++)); do
            kill -0 "$child" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$child" 2>/dev/null || true
        wait "$child" || ended=$?
        [[ -z $stopping ]] || code=$ended
    fi
    # After the service, which commits its queue when it stops.
    scripts/postgres.sh stop "$postgres" || code=1
    [[ -z ${NATS:-} ]] || scripts/nats.sh stop "$nats" || code=1
    exit "$code"
}

# --- addresses ------------------------------------------------------------------

# Prints an address at which this machine reaches a service that listens on $1.
reachable() {
    local address=${1/#0.0.0.0:/127.0.0.1:}
    echo "${address/#\[::\]:/[::1]:}"
}

connect() {
    local address host
    address=$(reachable "$1")
    host=${address%:*} host=${host#[} host=${host%]}
    exec 3<>"/dev/tcp/$host/${address##*:}"
}

taken() { (connect "$1") 2>/dev/null; }

ready() {
    (
        connect "$1" || exit 1
        printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
        read -r _ status _ <&3
        cat <&3 >/dev/null
        [[ $status == 200 ]]
    ) 2>/dev/null
}

# Prints the address to listen on: $1 if it is set, otherwise 127.0.0.1 with the default port $2. A
# free port replaces port 0 and a default port that is in use. $3 is reserved.
choose() {
    local host=127.0.0.1 port=$2
    if [[ -n $1 ]]; then
        host=${1%:*} port=${1##*:}
        [[ $port == 0 ]] || { echo "$1"; return; }
    fi
    while [[ $port == 0 || $host:$port == "$3" ]] || taken "$host:$port"; do
        # Below the ephemeral port range.
        port=$((20000 + RANDOM % 10000))
    done
    echo "$host:$port"
}

# --- secrets --------------------------------------------------------------------

# Prints the secret in the file $1; creates it at random if missing.
stored_secret() {
    [[ -s $1 ]] || (umask 077 && head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n' >"$1")
    cat "$1"
}

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-64
}

# --- main -----------------------------------------------------------------------

mkdir -p .data
if command -v flock >/dev/null; then
    # The service inherits the lock, so a service that outlives this script keeps it.
    exec 8>>.data/lock
    flock -n 8 || die "already running in this checkout, stop it first: process $(cat .data/lock)"
fi
echo $$ >.data/lock
trap finish EXIT
trap 'stopping=yes; exit 0' INT TERM HUP

scripts/postgres.sh start "$postgres" receiver 8>&-
if [[ -n ${NATS:-} ]]; then
    # In a process group of its own, so that Ctrl-C reaches the nodes after the service has stopped.
    start scripts/nats.sh start "$nats" 8>&-
    wait "$child"
    child=
    RECEIVER__SPOOL__SERVERS=$(scripts/nats.sh urls "$nats")
    RECEIVER__SPOOL__MONITORS=$(scripts/nats.sh monitors "$nats")
    export RECEIVER__SPOOL__SERVERS RECEIVER__SPOOL__MONITORS
fi
start env SQLX_OFFLINE=true cargo build --release --locked
wait "$child"
child=

tokens=${RECEIVER__ENDPOINT__QONTAK__TOKENS:-$(stored_secret .data/webhook-token)}
if [[ -z ${API_KEY:-} && -n ${RECEIVER__KEY__LOCAL__SHA256:-} ]]; then
    key='(the key of RECEIVER__KEY__LOCAL__SHA256)'
    bearer=\$API_KEY
else
    key=${API_KEY:-$(stored_secret .data/api-key)}
    bearer=$key
    RECEIVER__KEY__LOCAL__SHA256=$(printf %s "$key" | sha256)
fi

# A lock that all checkouts share: two that start at once must not choose the same port.
exec 9</tmp
! command -v flock >/dev/null || flock -w 30 9 || true
http=$(choose "${RECEIVER__HTTP__LISTEN:-}" 8080 '')
ops=$(choose "${RECEIVER__OPS__LISTEN:-}" 9090 "$http")

# Use only the private database, whatever the environment contains.
unset DATABASE_URL_FILE "${!RECEIVER__DATABASE__URL@}"
export DATABASE_URL
DATABASE_URL=$(scripts/postgres.sh url "$postgres" receiver)
export RECEIVER__HTTP__LISTEN=$http
export RECEIVER__OPS__LISTEN=$ops
export RECEIVER__ENDPOINT__QONTAK__TOKENS=$tokens
export RECEIVER__KEY__LOCAL__SHA256
export RECEIVER__KEY__LOCAL__SCOPES=${RECEIVER__KEY__LOCAL__SCOPES:-read,export,replay}
export RECEIVER__KEY__LOCAL__ORGANIZATIONS=${RECEIVER__KEY__LOCAL__ORGANIZATIONS:-*}
export RECEIVER__SPOOL__FOLDER=${RECEIVER__SPOOL__FOLDER-.data/spool}
export RECEIVER__CONSOLE__ENABLED=${RECEIVER__CONSOLE__ENABLED:-true}
export RECEIVER__CONSOLE__DEMO=${RECEIVER__CONSOLE__DEMO:-true}
RECEIVER__CONSOLE__SESSION_KEY=${RECEIVER__CONSOLE__SESSION_KEY:-$(stored_secret .data/session-key)}
export RECEIVER__CONSOLE__SESSION_KEY
export RECEIVER__LOG__FORMAT=${RECEIVER__LOG__FORMAT:-text}

start "${CARGO_TARGET_DIR:-target}/release/qontak-receiver" serve 9<&-
echo "$$, $child" >.data/lock
until ready "$ops"; do
    if ! kill -0 "$child" 2>/dev/null; then
        code=0
        wait "$child" || code=$?
        child=
        die "service exited with code $code before it was ready; its output is above"
    fi
    sleep 0.1
done
exec 9<&-

api=http://$(reachable "$http")
webhook=$api/webhooks/qontak/${tokens%%,*}
printf '%-9s%s\n' \
    webhook "$webhook" \
    api "$api" \
    console "$api/console" \
    key "$key" \
    ops "http://$(reachable "$ops")" \
    stop Ctrl-C
cat <<LINES

curl -H 'content-type: application/json' --data-binary @tests/fixtures/01-message-customer-text.json $webhook
curl -H "authorization: Bearer $bearer" $api/v1/rooms
LINES

code=0
wait "$child" || code=$?
child=
say "service exited with code $code"
exit $((code > 0 ? code : 1))
