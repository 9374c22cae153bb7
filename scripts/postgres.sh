#!/usr/bin/env bash
# A private PostgreSQL in a folder of its own, on a unix socket only.
#
#   scripts/postgres.sh start  DIR [DBNAME]   start it, and make DBNAME if missing
#   scripts/postgres.sh url    DIR [DBNAME]   its URL, as sqlx reads it
#   scripts/postgres.sh psql   DIR DBNAME …   ask it; what follows is for psql
#   scripts/postgres.sh status DIR            what runs, else exit code 3
#   scripts/postgres.sh stop   DIR [--wipe]   stop it; --wipe also deletes it
#   scripts/postgres.sh with   COMMAND…       run that with the DATABASE_URL of a
#                                             new one, which is deleted at the end
#
# POSTGRES_OPTIONS holds more options for the server, such as `-c fsync=off`.
set -euo pipefail

# An option or a port meant for another server must not reach this one.
unset "${!PG@}"

oldest=15
socket_prefix=qontak-receiver-pg

say() { printf 'postgres.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# --- the server's user ----------------------------------------------------------

# Never root, which Postgres refuses.
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
    # There are small versions of setpriv that cannot change the user.
    elif setpriv --reuid "$user" true 2>/dev/null; then
        setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups "$@"
    elif command -v runuser >/dev/null; then
        runuser -u "$user" -- "$@"
    else
        # shellcheck disable=SC2016 # It is for the inner shell.
        su -s /bin/sh -c 'exec "$@"' -- "$user" sh "$@"
    fi
}

# --- the folder -----------------------------------------------------------------

# Sets `home`, where DIR really is: the server's user may be unable to follow a
# link to it. `away` is where it goes if that user cannot reach DIR itself.
locate() {
    away=/var/tmp/qontak-receiver-postgres-$(printf %s "$dir" | cksum | tr ' ' -)
    # A copied checkout brings along a link to the data of the first.
    if [[ -L $dir && $(readlink "$dir") == "${away%%-[0-9]*}"-* && $(readlink "$dir") != "$away" ]]; then
        rm "$dir"
    fi
    home=$dir
    [[ ! -d $dir ]] || home=$(cd "$dir" && pwd -P)
    data=$home/data log=$home/log
}

# Makes it a folder that the server's user can write to.
settle() {
    if [[ ! -L $dir ]]; then
        mkdir -p "$dir"
        hand_over "$dir"
        as_server test -w "$dir" && return
        # A folder above is closed to others, as /root is, and that is not ours to change.
        rmdir "$dir" || die "the user $(server_user) cannot reach $dir"
        ln -s "$away" "$dir"
    fi
    # Else somebody made the link, to a larger disk for one.
    if [[ $(readlink "$dir") == "$away" ]]; then
        # Everyone may write to /var/tmp, and this name can be guessed.
        [[ ! -L $away ]] || die "$away is not ours"
        mkdir -p "$away"
        locate
    fi
    hand_over "$home"
    as_server test -w "$home" || die "the user $(server_user) cannot reach $home"
}

hand_over() {
    local strange
    strange=$(find "$1/" -mindepth 1 -maxdepth 1 ! -name data ! -name data.new ! -name log | head -n 1)
    [[ ! -e $1/data || -f $1/data/PG_VERSION ]] || strange=$1/data
    [[ -z $strange ]] || die "$1 is not a folder of ours: it holds $strange"
    [[ -O $1 || -n $(find "$1/." -prune -user "$(server_user)") ]] \
        || die "$1 is another user's: run as that user or as root, or delete it"
    [[ $EUID -ne 0 ]] || chown "$(server_user)" "$1"
}

# --- PostgreSQL's programs ------------------------------------------------------

# Sets `bin` to the newest there is, or to the one that made the data.
find_programs() {
    local made_by='' newest=0 folder major
    [[ ! -f $data/PG_VERSION ]] || made_by=$(<"$data/PG_VERSION")
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
        if [[ $major -ge $oldest && $major -gt $newest && $major == "${made_by:-$major}" ]]; then
            bin=$folder newest=$major
        fi
    done
    [[ -n $bin ]] && return
    [[ -z $made_by ]] || die "$dir was made by PostgreSQL $made_by: install that, or delete it"
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
    [[ -n $how ]] || die "needs PostgreSQL $oldest or newer (initdb, pg_ctl, postgres, psql): please install it"

    say "installs PostgreSQL with $how"
    output=$("install_with_$how" 2>&1) || die "$how failed:"$'\n'"$(tail -n 15 <<<"$output")"
}

install_with_apt-get() {
    local get='as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y'
    local install="$get install --no-install-recommends -o DPkg::Lock::Timeout=300"
    local conf=/etc/postgresql-common/createcluster.conf server result=0
    $get update || true
    server=$(apt-cache search --names-only '^postgresql-[0-9]+$' | sed 's/ .*//' | sort -t - -k 2n | tail -n 1)
    [[ ${server#postgresql-} -ge $oldest ]] || { echo "it has no PostgreSQL $oldest or newer"; return 1; }
    $install postgresql-common || return
    # Else Debian makes and starts a server for the whole machine.
    as_root sed -i.before 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' "$conf" || return
    $install "$server" || result=$?
    as_root mv "$conf.before" "$conf"
    return "$result"
}
# Among what is contributed is auto_explain, which tells tests and benches of plans.
install_with_dnf() { as_root dnf install -y postgresql-server postgresql-contrib; }
install_with_apk() { as_root apk add postgresql postgresql-client postgresql-contrib; }
install_with_brew() { brew install postgresql@17; }

# --- the server -----------------------------------------------------------------

# The processes of this cluster. postmaster.pid does not tell: it outlives a
# kill -9 and a reboot, and then its number may be anyone's.
processes() {
    [[ -d $data ]] || return 0
    if [[ -d /proc/self ]]; then
        # Where a process is can be seen by its own user only.
        # shellcheck disable=SC2016 # It is for the inner shell.
        as_server bash -c '
            for process in /proc/[0-9]*; do
                [[ $process/cwd -ef $0 && $(<"$process/comm") == postgres ]] && echo "${process##*/}"
            done 2>/dev/null
            exit 0' "$data"
    else
        lsof -a -t -c postgres -d cwd -- "$data" || true
    fi
}

# Prints the number of the first of them, which the others follow.
server() {
    local pid
    pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) || return 1
    [[ -n $pid && $'\n'$(processes)$'\n' == *$'\n'"$pid"$'\n'* ]] && echo "$pid"
}

# The server notes where its socket is.
socket_dir() { sed -n 5p "$data/postmaster.pid"; }

wait_until_gone() {
    local tenths
    for ((tenths = 0; tenths < $1 * 10; tenths++)); do
        [[ -n $(processes) ]] || return 0
        sleep 0.1
    done
    return 1
}

# What a server leaves that could not tidy up, because of a kill -9 or a reboot.
tidy() {
    local noted=$data/postmaster.pid
    if ! wait_until_gone 2; then
        # One in the middle of a long query does not see that its server is gone.
        processes | xargs kill
        wait_until_gone 10 || die "processes of the last server do not end:" "$(processes | xargs)"
    fi
    [[ -f $noted ]] || return 0
    # In a copy of a folder it would be the socket of the first.
    [[ $(sed -n 2p "$noted") != "$data" ]] || remove_socket "$(socket_dir)"
    rm "$noted"
}

remove_socket() {
    [[ $1 != */"$socket_prefix".* ]] || rm -rf -- "$1"
}

make_cluster() {
    local output options=(--username=postgres --auth=trust --encoding=UTF8 --no-locale)
    [[ " ${POSTGRES_OPTIONS:-} " != *" fsync=off "* ]] || options+=(--no-sync)
    # Under another name until it is whole: an interrupted one is started anew.
    rm -rf "$data.new"
    output=$(as_server "$bin/initdb" --pgdata="$data.new" "${options[@]}" 2>&1) || die "initdb failed:"$'\n'"$output"
    mv "$data.new" "$data"
}

launch() {
    local tmp=${TMPDIR:-/tmp} socket output
    tmp=${tmp%/}
    # The path of a socket has some 100 bytes at most, and this one is part of
    # a setting and of a URL.
    [[ $tmp =~ ^/[A-Za-z0-9/._-]{1,60}$ ]] && as_server test -w "$tmp" || tmp=/tmp
    socket=$(as_server mktemp -d "$tmp/$socket_prefix.XXXXXX")
    # It becomes the leader of a session, so Ctrl-C in our terminal does not reach it.
    output=$(as_server "$bin/pg_ctl" start --silent --wait --timeout=120 --pgdata="$data" --log="$log" \
        --options="-p 5432 -c listen_addresses= -c unix_socket_directories=$socket ${POSTGRES_OPTIONS:-}" 2>&1) \
        && return
    remove_socket "$socket"
    tail -n 20 "$log" >&2 || true
    die "the server did not start; above is the end of $log"$'\n'"$output"
}

# Another call may have started it, and not be done.
wait_until_ready() {
    local tenths
    for ((tenths = 0; tenths < 1200; tenths++)); do
        [[ $(sed -n 8p "$data/postmaster.pid" 2>/dev/null) != ready* ]] || return 0
        sleep 0.1
    done
    die "the server does not become ready; see $log"
}

# Sets `client`, which asks the database $1.
find_client() {
    local psql=$bin/psql
    [[ -x $psql ]] || psql=$(command -v psql) || die "needs PostgreSQL's psql: please install it"
    client=("$psql" --no-psqlrc --quiet --tuples-only --no-align --host="$(socket_dir)" --port=5432
        --username=postgres --dbname="$1")
}

make_database() {
    find_client postgres
    [[ -n $(as_server "${client[@]}" --command "select 1 from pg_database where datname = '$1'") ]] \
        || as_server "${client[@]}" --command "create database \"$1\""
}

# --- what can be asked ----------------------------------------------------------

start() {
    # First: to install them may make the user that the server then runs as.
    find_programs || { install_programs && find_programs; } \
        || die "found no PostgreSQL $oldest or newer: please install it"
    settle
    if ! server >/dev/null; then
        tidy
        [[ -d $data ]] || make_cluster
        launch
    fi
    wait_until_ready
    [[ -z $1 ]] || make_database "$1"
}

url() {
    local socket
    server >/dev/null || die "no server runs in $dir"
    socket=$(socket_dir)
    echo "postgres://postgres@localhost:5432/${1:-postgres}?host=${socket//\//%2F}"
}

ask() {
    server >/dev/null || die "no server runs in $dir"
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
    # SIGINT writes everything down first, SIGQUIT does not.
    [[ -z $1 ]] || signal=QUIT
    if pid=$(server); then
        socket=$(socket_dir)
        kill "-$signal" "$pid"
        wait_until_gone 60 || die "the server does not end; see $log"
        remove_socket "$socket"
    else
        tidy
    fi
    [[ -n $1 ]] || return 0
    [[ ! -e $data || -f $data/PG_VERSION ]] || die "$data is not ours"
    rm -rf "$data" "$data.new" "$log"
    [[ ! -d $home ]] || rmdir "$home"
    [[ ! -L $dir ]] || rm "$dir"
}

with() {
    local child code=0
    throw_away=$(mktemp -d)
    trap '"$0" stop "$throw_away" --wipe' EXIT
    # Many tests at once, of data that nobody will miss.
    POSTGRES_OPTIONS="-c fsync=off -c max_connections=300 ${POSTGRES_OPTIONS:-}" "$0" start "$throw_away" receiver
    DATABASE_URL=$("$0" url "$throw_away" receiver)
    export DATABASE_URL
    # A group of its own, so that all of it can be ended before the server is.
    set -m
    "$@" </dev/null &
    child=$!
    set +m
    trap 'kill -TERM -- "-$child" 2>/dev/null' INT TERM HUP
    wait "$child" || code=$?
    # A signal ends the wait, but not yet what was waited for.
    while kill -0 "$child" 2>/dev/null; do wait "$child" || code=$?; done
    exit "$code"
}

if [[ ${1:-} == with && $# -ge 2 ]]; then
    with "${@:2}"
fi
[[ $# -ge 2 && -n $2 && ($# -le 3 || $1 == psql) ]] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
what=$1 dir=$2 option=${3:-}

# DIR may be a link, and has to stay one.
[[ $what != start ]] || mkdir -p "$(dirname "$dir")"
[[ -d $(dirname "$dir") ]] || die "there is no $dir"
dir=$(cd "$(dirname "$dir")" && pwd -P)/$(basename "$dir")
locate
# The server's user may not be allowed into the folder that we are in.
cd /

case $what:$option in
    psql:?*) ask "${@:3}" ;;
    stop: | stop:--wipe) stop "$option" ;;
    status:) status ;;
    start: | url:) "$what" '' ;;
    start:* | url:*)
        [[ $option =~ ^[a-z_][a-z0-9_]{0,62}$ ]] || die "not a name for a database: $option"
        "$what" "$option"
        ;;
    *) die "cannot $what${option:+ $option}" ;;
esac
