# Sourced by the tests of a live service: a program from PyPI, packages of the machine, and a
# service of our own that holds what the fixtures tell.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }
as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi; }

# Installs what apt ($1), dnf ($2) and apk ($3) call it.
install_packages() {
    local how apt dnf apk
    read -ra apt <<<"$1"; read -ra dnf <<<"$2"; read -ra apk <<<"$3"
    for how in apt-get dnf apk ''; do ! command -v "$how" >/dev/null || break; done
    say "installs $1 with ${how:-nothing}"
    case $how in
        apt-get)
            as_root apt-get -q update
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -q -y install --no-install-recommends "${apt[@]}"
            ;;
        dnf) as_root dnf install -y "${dnf[@]}" ;;
        apk) as_root apk add "${apk[@]}" ;;
        *) return 1 ;;
    esac >/dev/null
}

# Makes target/$1 hold $1 from PyPI, in version $2, in a Python of its own.
install_python_package() {
    local venv=target/$1
    [[ $("$venv/bin/pip" show "$1" 2>/dev/null) != *$'\n'"Version: $2"$'\n'* ]] || return 0
    rm -rf "$venv"
    python3 -m venv "$venv" >/dev/null 2>&1 \
        || { rm -rf "$venv" && install_packages python3-venv python3 python3 && python3 -m venv "$venv"; } \
        || die "needs Python 3 with venv: please install it"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$1==$2"
}

folder=$(mktemp -d)
trap 'end' EXIT
end() {
    local pids
    pids=$(jobs -p)
    # shellcheck disable=SC2086 # One word each.
    [[ -z $pids ]] || { kill $pids 2>/dev/null; wait || true; }
    rm -rf "$folder"
}

# Waits for the first line of the file $2 that the sed expression $1 makes something of; prints that.
wait_for() {
    local tenths found
    for ((tenths = 0; tenths < 300; tenths++)); do
        found=$(sed -n "$1" "$2" 2>/dev/null | head -n 1)
        [[ -z $found ]] || { echo "$found"; return; }
        sleep 0.1
    done
    die "did not start: $(tail -n 5 "$2")"
}

# Starts the service on the database DATABASE_URL, tells it the fixtures, and sets ADDRESS, TOKEN
# and KEY, which may do everything.
start_service() {
    export TOKEN=test-posts-with-this-token KEY=test-asks-with-this-key ADDRESS
    export RECEIVER__HTTP__LISTEN=127.0.0.1:0 RECEIVER__OPS__LISTEN=127.0.0.1:0
    export RECEIVER__LOG__FORMAT=json
    export RECEIVER__ENDPOINT__QONTAK__TOKENS=$TOKEN
    export RECEIVER__KEY__ALL__SCOPES=read,export,replay RECEIVER__KEY__ALL__ORGANIZATIONS='*'
    RECEIVER__KEY__ALL__SHA256=$(printf %s "$KEY" | sha256sum | cut -d ' ' -f 1)
    export RECEIVER__KEY__ALL__SHA256
    target/debug/qontak-receiver >"$folder/service" &
    ADDRESS=http://$(wait_for 's/.*"http.listen":"\([^"]*\)".*/\1/p' "$folder/service")
    python3 - "$ADDRESS/webhooks/qontak/$TOKEN" tests/fixtures/* <<'END'
import sys, urllib.error, urllib.request
for path in sys.argv[2:]:
    body = urllib.request.Request(sys.argv[1], open(path, "rb").read(), {"content-type": "application/json"})
    try:
        urllib.request.urlopen(body)
    except urllib.error.HTTPError as refused:
        assert refused.code == 400, refused
END
}
