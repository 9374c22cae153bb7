#!/usr/bin/env bash
# Tests the alert rules with promtool, and that every query of the alerts and of the dashboard parses and
# returns data of a live service. `--rules`: only the rules; without promtool it says so and succeeds.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/live.sh

export PATH=$PWD/target/prometheus/usr/bin:$PATH

# Debian's package is unpacked, not installed: its service would start.
find_tools() {
    ! { command -v promtool && command -v prometheus; } >/dev/null || return 0
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    say 'unpacking the package prometheus in target/prometheus'
    mkdir -p target/prometheus
    (cd target/prometheus && apt-get -q download prometheus && dpkg -x prometheus_*.deb . && rm ./*.deb) \
        >/dev/null 2>&1 && command -v promtool >/dev/null
}

if [[ ${1:-} != --with-postgres ]]; then
    if ! find_tools; then
        say 'NOT CHECKED: promtool not found; install Prometheus to test monitoring/alerts.yml'
        [[ ${1:-} == --rules ]]
        exit
    fi
    promtool check rules monitoring/alerts.yml
    promtool test rules monitoring/alerts.test.yml
    [[ ${1:-} != --rules ]] || exit 0
    SQLX_OFFLINE=true cargo build --locked
    exec scripts/postgres.sh with "$0" --with-postgres
fi

# Qontak, for the metrics of webhook settings.
target/debug/qontak-receiver simulate --serve 127.0.0.1:0 >"$folder/qontak" &
fake=$(wait_for 's/^api  *//p' "$folder/qontak")
export RECEIVER__QONTAK__SHOP__BASE_URL=$fake
RECEIVER__QONTAK__SHOP__CLIENT_ID=$(wait_for 's/^client_id  *//p' "$folder/qontak")
RECEIVER__QONTAK__SHOP__CLIENT_SECRET=$(wait_for 's/^client_secret  *//p' "$folder/qontak")
export RECEIVER__QONTAK__SHOP__CLIENT_ID RECEIVER__QONTAK__SHOP__CLIENT_SECRET
export RECEIVER__QONTAK__SHOP__WEBHOOK_URL=http://127.0.0.1:9/webhooks/qontak/webhook-token-of-the-test
export RECEIVER__SPOOL__FOLDER=$folder/spool
start_service
ops=$(wait_for 's/.*"ops.listen":"\([^"]*\)".*/\1/p' "$folder/service")
target/debug/qontak-receiver simulate "$ADDRESS/webhooks/qontak/$TOKEN" --rate 20 --seconds 600 >/dev/null 2>&1 &

cat >"$folder/prometheus.yml" <<END
scrape_configs:
  - job_name: qontak-receiver
    scrape_interval: 1s
    static_configs: [{targets: ["$ops"]}]
END
prometheus --config.file="$folder/prometheus.yml" --storage.tsdb.path="$folder/prometheus" \
    --web.listen-address=127.0.0.1:0 --log.format=logfmt 2>"$folder/prometheus.log" &
url=http://$(wait_for 's/.*msg="Listening on" address=\([^ ]*\).*/\1/p' "$folder/prometheus.log")

curl -s -o /dev/null -H "authorization: Bearer $KEY" "$ADDRESS/v1/rooms"
python3 - "$url" <<'END'
import json, re, sys, time, urllib.parse, urllib.request

def ask(query):
    url = f"{sys.argv[1]}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        return json.load(urllib.request.urlopen(url))["data"]["result"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{query}: {error.read().decode()}")

panels = json.load(open("monitoring/dashboard.json"))["panels"]
queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
queries = [q.replace("$instance", ".*").replace("$__rate_interval", "10s") for q in queries]
alerts = re.findall(r"^ *expr: (.*)$", open("monitoring/alerts.yml").read(), re.M)
names = sorted(set(re.findall(r"\b(?:qontak_receiver|process)_[a-z_]+", " ".join(alerts))))
for alert in alerts:
    ask(alert)
left = queries + names
deadline = time.time() + 60
while left and time.time() < deadline:
    time.sleep(2)
    left = [query for query in left if not ask(query)]
if left:
    sys.exit("no data:\n" + "\n".join(left))
print(f"{len(queries)} queries of the dashboard and {len(alerts)} alerts have data")
END
