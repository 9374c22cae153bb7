#!/usr/bin/env bash
# Manages a private PostgreSQL cluster in a folder. It listens on a unix socket only.
#
#   scripts/postgres.sh start  DIR [DBNAME]   start it; create DBNAME if missing
#   scripts/postgres.sh url    DIR [DBNAME]   print its URL, in the form sqlx expects
#   scripts/postgres.sh psql   DIR DBNAME …   run psql with the remaining arguments
#   scripts/postgres.sh status DIR            print its state; exit code 3 if stopped
#   scripts/postgres.sh stop   DIR [--wipe]   stop it; --wipe also deletes the data
#   scripts/postgres.sh with   COMMAND…       run COMMAND with the DATABASE_URL of a
#                                             temporary cluster
#
# POSTGRES_OPTIONS contains additional server options, such as `-c fsync=off`. POSTGRES_PRIMARY is the URL of
# a server of which a new cluster becomes a hot standby.
set -euo pipefail

# PGOPTIONS, PGPORT and the like are meant for another server.
unset "${!PG@}"

oldest=15
socket_prefix=qontak-receiver-pg

say() { printf 'postgres.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# --- user of the server ---------------------------------------------------------

# Postgres refuses to run as root.
server_user() {
    if [[ $EUID -ne 0 ]]; then id -un
    elif [[ -d $data ]]; then stat -c %U "$data"
    elif id -u postgres >/dev/null 2>&1; then echo postgres
    else echo nobody
    fi
}

as_server() {
    local user
    user=$(server_user)
    if [[ $EUID -ne 0 ]]; then
        "$@"
    # Some builds of setpriv cannot change the user.
    elif setpriv --reuid "$user" true 2>/dev/null; then
        setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups "$@"
    elif command -v runuser >/dev/null; then
        runuser -u "$user" -- "$@"
    else
        # shellcheck disable=SC2016 # Expanded by the inner shell.
        su -s /bin/sh -c 'exec "$@"' -- "$user" sh "$@"
    fi
}

# --- folder ---------------------------------------------------------------------

# Sets `home` to DIR with links resolved, because the server's user may be unable to follow them,
# and `away` to the folder to use if that user cannot access DIR.
locate() {
    away=/var/tmp/qontak-receiver-postgres-$(printf %s "$dir" | cksum | tr ' ' -)
    # In a copied checkout the link points to the data of the original.
    if [[ -L $dir && $(readlink "$dir") == "${away%%-[0-9]*}"-* && $(readlink "$dir") != "$away" ]]; then
        rm "$dir"
    fi
    home=$dir
    [[ ! -d $dir ]] || home=$(cd "$dir" && pwd -P)
    data=$home/data log=$home/log
}

# Creates the folder and makes it writable for the server's user.
settle() {
    if [[ ! -L $dir ]]; then
        mkdir -p "$dir"
        hand_over "$dir"
        as_server test -w "$dir" && return
        # A parent folder such as /root is closed to other users, and we do not change it.
        rmdir "$dir" || die "user $(server_user) has no access to $dir"
        ln -s "$away" "$dir"
    fi
    # A different link was made by the user, for example to a larger disk.
    if [[ $(readlink "$dir") == "$away" ]]; then
        # /var/tmp is world-writable and the name is predictable.
        [[ ! -L $away ]] || die "$away is a symbolic link that this script did not create; delete it"
        mkdir -p "$away"
        locate
    fi
    hand_over "$home"
    as_server test -w "$home" || die "user $(server_user) cannot write to $home"
}

hand_over() {
    local foreign
    foreign=$(find "$1/" -mindepth 1 -maxdepth 1 ! -name data ! -name data.new ! -name log | head -n 1)
    [[ ! -e $1/data || -f $1/data/PG_VERSION ]] || foreign=$1/data
    [[ -z $foreign ]] || die "$1 was not created by this script: it contains $foreign"
    [[ -O $1 || -n $(find "$1/." -prune -user "$(server_user)") ]] \
        || die "$1 belongs to another user; run as that user or as root, or delete it"
    [[ $EUID -ne 0 ]] || chown "$(server_user)" "$1"
}

# --- PostgreSQL binaries --------------------------------------------------------

# Sets `bin` to the folder of the newest version installed, or of the version that created the data.
find_programs() {
    local created_by='' newest=0 folder major
    [[ ! -f $data/PG_VERSION ]] || created_by=$(<"$data/PG_VERSION")
    bin=
    for folder in \
        "$(dirname "$(command -v postgres || echo /none/)")" \
        "$(pg_config --bindir 2>/dev/null || true)" \
        /usr/lib/postgresql/*/bin \
        /usr/libexec/postgresql*/ \
        /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin \
        /usr/local/opt/postgresql*/bin \
        /home/linuxbrew/.linuxbrew/opt/postgresql*/bin
    do
        [[ -x $folder/initdb && -x $folder/pg_ctl && -x $folder/postgres ]] || continue
        major=$(as_server "$folder/postgres" --version 2>/dev/null | sed 's/^[^0-9]*\([0-9]*\).*/\1/') \
            || continue
        if [[ $major -ge $oldest && $major -gt $newest && $major == "${created_by:-$major}" ]]; then
            bin=$folder newest=$major
        fi
    done
    [[ -n $bin ]] && return
    [[ -z $created_by ]] || die "$dir was created by PostgreSQL $created_by; install that version or delete the folder"
    return 1
}

as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi; }

install_programs() {
    local how='' output
    if as_root true 2>/dev/null; then
        for how in apt-get dnf apk ''; do ! command -v "$how" >/dev/null || break; done
    fi
    # Homebrew refuses root.
    [[ -n $how || $EUID -eq 0 ]] || ! command -v brew >/dev/null || how=brew
    [[ -n $how ]] || die "PostgreSQL $oldest or newer not found (initdb, pg_ctl, postgres, psql); install it"

    say "installing PostgreSQL with $how"
    output=$("install_with_$how" 2>&1) || die "$how failed:"$'\n'"$(tail -n 15 <<<"$output")"
}

install_with_apt-get() {
    local get='as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y'
    local install="$get install --no-install-recommends -o DPkg::Lock::Timeout=300"
    local conf=/etc/postgresql-common/createcluster.conf server result=0
    $get update || true
    server=$(apt-cache search --names-only '^postgresql-[0-9]+$' | sed 's/ .*//' | sort -t - -k 2n | tail -n 1)
    [[ ${server#postgresql-} -ge $oldest ]] || { echo "no package of PostgreSQL $oldest or newer"; return 1; }
    $install postgresql-common || return
    # By default Debian creates and starts a system-wide cluster.
    as_root sed -i.before 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' "$conf" || return
    $install "$server" || result=$?
    as_root mv "$conf.before" "$conf"
    return "$result"
}
# The contrib package contains pg_trgm, and auto_explain, with which tests and benches read plans.
install_with_dnf() { as_root dnf install -y postgresql-server postgresql-contrib; }
install_with_apk() { as_root apk add postgresql postgresql-client postgresql-contrib; }
install_with_brew() { brew install postgresql@17; }

# --- server ---------------------------------------------------------------------

# Prints the process ids of this cluster. postmaster.pid is not reliable: it survives kill -9 and a
# reboot, and the id in it may then belong to another process.
processes() {
    [[ -d $data ]] || return 0
    if [[ -d /proc/self ]]; then
        # /proc/PID/cwd is readable only by the user of the process.
        # shellcheck disable=SC2016 # Expanded by the inner shell.
        as_server bash -c '
            for process in /proc/[0-9]*; do
                [[ $process/cwd -ef $0 && $(<"$process/comm") == postgres ]] && echo "${process##*/}"
            done 2>/dev/null
            exit 0' "$data"
    else
        lsof -a -t -c postgres -d cwd -- "$data" || true
    fi
}

# Prints the process id of the postmaster.
server() {
    local pid
    pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) || return 1
    [[ -n $pid && $'\n'$(processes)$'\n' == *$'\n'"$pid"$'\n'* ]] && echo "$pid"
}

# Postgres writes the folder of its socket to postmaster.pid.
socket_dir() { sed -n 5p "$data/postmaster.pid"; }

wait_until_gone() {
    local tenths
    for ((tenths = 0; tenths < $1 * 10; tenths++)); do
        [[ -n $(processes) ]] || return 0
        sleep 0.1
    done
    return 1
}

# Removes what a server leaves behind after kill -9 or a reboot.
tidy() {
    local pid_file=$data/postmaster.pid
    if ! wait_until_gone 2; then
        # A backend in a long query does not notice that the postmaster is gone.
        processes | xargs kill
        wait_until_gone 10 || die "processes of the previous server did not exit:" "$(processes | xargs)"
    fi
    [[ -f $pid_file ]] || return 0
    # In a copied folder it would be the socket of the original.
    [[ $(sed -n 2p "$pid_file") != "$data" ]] || remove_socket "$(socket_dir)"
    rm "$pid_file"
}

remove_socket() {
    [[ $1 != */"$socket_prefix".* ]] || rm -rf -- "$1"
}

create_cluster() {
    local basebackup output options=(--username=postgres --auth=trust --encoding=UTF8 --no-locale)
    [[ " ${POSTGRES_OPTIONS:-} " != *" fsync=off "* ]] || options+=(--no-sync)
    # Renamed when complete, so an interrupted initdb is repeated.
    rm -rf "$data.new"
    if [[ -n ${POSTGRES_PRIMARY:-} ]]; then
        # Links to the programs of the server may leave out this one.
        basebackup=$(dirname "$(readlink -f "$bin/postgres")")/pg_basebackup
        output=$(as_server "$basebackup" --dbname="$POSTGRES_PRIMARY" --pgdata="$data.new" \
            --write-recovery-conf --checkpoint=fast --no-sync 2>&1) || die "pg_basebackup failed:"$'\n'"$output"
        mv "$data.new" "$data"
        return
    fi
    output=$(as_server "$bin/initdb" --pgdata="$data.new" "${options[@]}" 2>&1) || die "initdb failed:"$'\n'"$output"
    mv "$data.new" "$data"
}

launch() {
    local tmp=${TMPDIR:-/tmp} socket output
    tmp=${tmp%/}
    # The path of a unix socket is limited to about 100 bytes. This one is also part of a setting
    # and of a URL.
    [[ $tmp =~ ^/[A-Za-z0-9/._-]{1,60}$ ]] && as_server test -w "$tmp" || tmp=/tmp
    socket=$(as_server mktemp -d "$tmp/$socket_prefix.XXXXXX")
    # pg_ctl starts it in a new session, so Ctrl-C in this terminal does not reach it.
    output=$(as_server "$bin/pg_ctl" start --silent --wait --timeout=120 --pgdata="$data" --log="$log" \
        --options="-p 5432 -c listen_addresses= -c unix_socket_directories=$socket ${POSTGRES_OPTIONS:-}" 2>&1) \
        && return
    remove_socket "$socket"
    tail -n 20 "$log" >&2 || true
    die "server did not start; the end of $log is above"$'\n'"$output"
}

# Another invocation may have started it a moment ago.
wait_until_ready() {
    local tenths
    for ((tenths = 0; tenths < 1200; tenths++)); do
        [[ $(sed -n 8p "$data/postmaster.pid" 2>/dev/null) != ready* ]] || return 0
        sleep 0.1
    done
    die "server not ready after 120 s; see $log"
}

# Sets `client` to the psql command for the database $1.
find_client() {
    local psql=$bin/psql
    [[ -x $psql ]] || psql=$(command -v psql) || die "psql not found; install the PostgreSQL client"
    client=("$psql" --no-psqlrc --quiet --tuples-only --no-align --host="$(socket_dir)" --port=5432
        --username=postgres --dbname="$1")
}

create_database() {
    find_client postgres
    [[ -n $(as_server "${client[@]}" --command "select 1 from pg_database where datname = '$1'") ]] \
        || as_server "${client[@]}" --command "create database \"$1\""
}

# --- commands -------------------------------------------------------------------

start() {
    # First, because the installation may create the user postgres.
    find_programs || { install_programs && find_programs; } \
        || die "PostgreSQL $oldest or newer not found; install it"
    settle
    if ! server >/dev/null; then
        tidy
        [[ -d $data ]] || create_cluster
        launch
    fi
    wait_until_ready
    [[ -z $1 ]] || create_database "$1"
}

url() {
    local socket
    server >/dev/null || die "no server is running in $dir"
    socket=$(socket_dir)
    echo "postgres://postgres@localhost:5432/${1:-postgres}?host=${socket//\//%2F}"
}

run_psql() {
    server >/dev/null || die "no server is running in $dir"
    find_programs
    find_client "$1"
    exec "${client[@]}" "${@:2}"
}

status() {
    local pid
    pid=$(server) || { echo stopped; exit 3; }
    echo "running, process $pid, socket in $(socket_dir)"
}

stop() {
    local pid socket signal=INT
    # SIGINT shuts down cleanly, SIGQUIT aborts without a checkpoint.
    [[ -z $1 ]] || signal=QUIT
    if pid=$(server); then
        socket=$(socket_dir)
        kill "-$signal" "$pid"
        wait_until_gone 60 || die "server did not stop within 60 s; see $log"
        remove_socket "$socket"
    else
        tidy
    fi
    [[ -n $1 ]] || return 0
    [[ ! -e $data || -f $data/PG_VERSION ]] || die "$data is not a PostgreSQL cluster"
    rm -rf "$data" "$data.new" "$log"
    [[ ! -d $home ]] || rmdir "$home"
    [[ ! -L $dir ]] || rm "$dir"
}

with() {
    local child code=0
    temporary=$(mktemp -d)
    trap '"$0" stop "$temporary" --wipe' EXIT
    # Many tests in parallel, on data that need not survive a crash.
    POSTGRES_OPTIONS="-c fsync=off -c max_connections=300 ${POSTGRES_OPTIONS:-}" "$0" start "$temporary" receiver
    DATABASE_URL=$("$0" url "$temporary" receiver)
    export DATABASE_URL
    # A process group of its own, so that all of COMMAND is stopped before the server.
    set -m
    "$@" </dev/null &
    child=$!
    set +m
    trap 'kill -TERM -- "-$child" 2>/dev/null' INT TERM HUP
    wait "$child" || code=$?
    # A signal ends `wait` before the process has exited.
    while kill -0 "$child" 2>/dev/null; do wait "$child" || code=$?; done
    exit "$code"
}

if [[ ${1:-} == with && $# -ge 2 ]]; then
    with "${@:2}"
fi
[[ $# -ge 2 && -n $2 && ($# -le 3 || $1 == psql) ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
command=$1 dir=$2 option=${3:-}

# DIR may be a link and stays one.
[[ $command != start ]] || mkdir -p "$(dirname "$dir")"
[[ -d $(dirname "$dir") ]] || die "$dir does not exist"
dir=$(cd "$(dirname "$dir")" && pwd -P)/$(basename "$dir")
locate
# The server's user may have no access to the current folder.
cd /

case $command:$option in
    psql:?*) run_psql "${@:3}" ;;
    stop: | stop:--wipe) stop "$option" ;;
    status:) status ;;
    start: | url:) "$command" '' ;;
    start:* | url:*)
        [[ $option =~ ^[a-z_][a-z0-9_]{0,62}$ ]] || die "invalid database name: $option"
        "$command" "$option"
        ;;
    *) die "unknown command: $command${option:+ $option}" ;;
esac
