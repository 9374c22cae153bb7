#!/usr/bin/env bash
# Builds the container image `qontak-receiver`, and starts it once on a temporary PostgreSQL: it must become ready,
# store a webhook and stop with exit code 0. Uses Docker, or buildah where no Docker engine runs.
#
#   scripts/image.sh           build everything in the image RUST_IMAGE
#   scripts/image.sh --local   build the program with the toolchain of this machine (buildah only)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/live.sh

image=qontak-receiver:latest
max_mib=25

# The build stage of the Dockerfile, with the program built here.
build_locally() {
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    SQLX_OFFLINE=true RUSTFLAGS='-C target-feature=+crt-static' REVISION=$(revision) \
        cargo build --release --locked --target "$host" --target-dir target/image
    mkdir -p "$1/image/usr/local/bin" "$1/image/var/lib/qontak-receiver/spool" "$1/image/tmp"
    cp "target/image/$host/release/qontak-receiver" "$1/image/usr/local/bin/"
}

revision() { git rev-parse --short=12 HEAD 2>/dev/null || echo unknown; }

has_docker() { docker info >/dev/null 2>&1; }

build() {
    if [[ ${1:-} != --local ]] && has_docker; then
        docker build --build-arg REVISION="$(revision)" --tag "$image" .
        return
    fi
    command -v buildah >/dev/null || install_packages buildah buildah buildah
    local from=()
    if [[ ${1:-} == --local ]]; then
        build_locally "$folder/stage"
        # The last stage only, from the files built here.
        sed -n '/^FROM scratch/,$p' Dockerfile | sed 's/ --from=build / /; s| /image/| image/|' >"$folder/Dockerfile"
        from=(--file "$folder/Dockerfile" "$folder/stage")
    else
        from=(.)
    fi
    buildah build --isolation chroot --storage-driver vfs --build-arg REVISION="$(revision)" \
        --tag "$image" "${from[@]}"
}

# Bytes of the image as a registry stores and sends it.
bytes() {
    if [[ $1 == docker ]]; then
        docker save "$image" | gzip | wc -c
    else
        buildah inspect --storage-driver vfs --type image --format '{{.OCIv1.Config.Labels}}' "$image" >&2
        local container mounted
        container=$(buildah from --storage-driver vfs "$image")
        mounted=$(buildah mount --storage-driver vfs "$container")
        tar -C "$mounted" -c . | gzip | wc -c
        buildah rm --storage-driver vfs "$container" >/dev/null
    fi
}

# Runs a command of the image on the host's network. `$1`: docker or buildah.
in_container() {
    local settings=() name container files
    for name in ${!RECEIVER__@} DATABASE_URL; do settings+=(--env "$name=${!name}"); done
    if [[ $1 == docker ]]; then
        exec docker run --rm --network host --read-only --cap-drop ALL "${settings[@]}" "$image" "${@:2}"
    fi
    # Engines allow more open files than 1024 by default, buildah does not.
    files=$(ulimit -Hn)
    [[ $files =~ ^[0-9]+$ ]] || files=65536
    container=$(buildah from --storage-driver vfs --ulimit "nofile=$files:$files" "$image")
    exec buildah run --isolation chroot --storage-driver vfs "${settings[@]}" \
        "$container" /usr/local/bin/qontak-receiver "${@:2}"
}

tool=docker
{ [[ ${1:-} != --local ]] && has_docker; } || tool=buildah
build "$@"
size=$(bytes "$tool")
say "$image has $((size / 1024 / 1024)) MiB, compressed"
((size <= max_mib * 1024 * 1024)) || die "$image is larger than $max_mib MiB"

# By TCP: the user of the image may not use the server's socket.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
trap 'scripts/postgres.sh stop "$folder/server" --wipe; finish' EXIT
POSTGRES_OPTIONS="-c fsync=off -c listen_addresses=127.0.0.1 -c port=$port" scripts/postgres.sh start "$folder/server"
export DATABASE_URL=postgres://postgres@127.0.0.1:$port/postgres
export TOKEN=webhook-token-of-the-test
export RECEIVER__ENDPOINT__QONTAK__TOKENS=$TOKEN RECEIVER__HTTP__DRAIN_DELAY=0s
export RECEIVER__HTTP__LISTEN=127.0.0.1:0 RECEIVER__OPS__LISTEN=127.0.0.1:0
(in_container "$tool" serve) >"$folder/service" &
address=http://$(wait_for 's/.*"http.listen":"\([^"]*\)".*/\1/p' "$folder/service")
ops=http://$(wait_for 's/.*"ops.listen":"\([^"]*\)".*/\1/p' "$folder/service")
curl -sf "$ops/readyz" >/dev/null || die 'the container is not ready'
answer=$(curl -sS -H 'content-type: application/json' --data-binary @tests/fixtures/01-message-customer-text.json \
    "$address/webhooks/qontak/$TOKEN" 2>&1) || true
grep -q '"outcome":"applied"' <<<"$answer" || die "the webhook was not applied: $answer; $(tail -n 3 "$folder/service")"
pkill -TERM --full '^/usr/local/bin/qontak-receiver serve$' || true
code=0
wait || code=$?
grep -q '"message":"stopped"' "$folder/service" || die "did not stop: $(tail -n 1 "$folder/service")"
say "the image starts, stores a webhook and stops"
exit "$code"
