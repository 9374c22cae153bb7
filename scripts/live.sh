# Sourced by test-api.sh, test-web.sh and test-clients.sh: installs packages, and starts a service that contains the
# fixtures.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }
as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi; }

# Installs packages: $1 for apt, $2 for dnf, $3 for apk.
install_packages() {
    local how apt dnf apk
    read -ra apt <<<"$1"; read -ra dnf <<<"$2"; read -ra apk <<<"$3"
    for how in apt-get dnf apk ''; do ! command -v "$how" >/dev/null || break; done
    [[ -n $how ]] || { say "no package manager found"; return 1; }
    say "installing $1 with $how"
    case $how in
        apt-get)
            as_root apt-get -q update
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get -q -y install --no-install-recommends "${apt[@]}"
            ;;
        dnf) as_root dnf install -y "${dnf[@]}" ;;
        apk) as_root apk add "${apk[@]}" ;;
    esac >/dev/null
}

# Makes the virtual environment $1, unless it exists.
make_venv() {
    "$1/bin/python" --version >/dev/null 2>&1 && return
    rm -rf "$1"
    python3 -m venv "$1" >/dev/null 2>&1 \
        || { rm -rf "$1" && install_packages python3-venv python3 python3 && python3 -m venv "$1"; } \
        || die "Python 3 with venv not found; install it"
}

# Installs the Python package $1 in version $2 into the virtual environment target/$1.
install_python_package() {
    local venv=target/$1
    [[ $("$venv/bin/pip" show "$1" 2>/dev/null) != *$'\n'"Version: $2"$'\n'* ]] || return 0
    rm -rf "$venv"
    make_venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$1==$2"
}

folder=$(mktemp -d)
trap 'finish' EXIT
finish() {
    local pids
    pids=$(jobs -p)
    # shellcheck disable=SC2086 # One word for each process.
    [[ -z $pids ]] || { kill $pids 2>/dev/null; wait || true; }
    rm -rf "$folder"
}

# Prints the first output of the sed expression $1 on the file $2; waits up to 30 s for it.
wait_for() {
    local tenths found
    for ((tenths = 0; tenths < 300; tenths++)); do
        # The process may not have created the file yet.
        found=$(sed -n "$1" "$2" 2>/dev/null | head -n 1) || true
        [[ -z $found ]] || { echo "$found"; return; }
        sleep 0.1
    done
    die "not started after 30 s: $(tail -n 5 "$2")"
}

# Starts the service on the database DATABASE_URL, posts the fixtures, and sets ADDRESS, TOKEN and
# KEY. The key has all scopes for all organisations.
start_service() {
    export TOKEN=webhook-token-of-the-test KEY=api-key-of-the-test ADDRESS
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
    except urllib.error.HTTPError as error:
        assert error.code == 400, error
END
}
