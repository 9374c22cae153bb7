# Builds an image that contains one statically linked program. To build it from base images by digest:
#   docker build --build-arg RUST_IMAGE=rust@sha256:… --build-arg REVISION=$(git rev-parse HEAD) .
ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# Queries are checked against .sqlx/, so the build needs no database. A target has to be named: without it,
# the flags would apply to procedural macros too, which cannot be static.
ENV SQLX_OFFLINE=true \
    RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_TARGET_DIR=/build/target
RUN rustc -vV | sed -n 's/^host: //p' >/target

# A layer with the dependencies only. It is cached until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --target "$(cat /target)"

COPY build.rs sqlx.toml ./
COPY .sqlx .sqlx
COPY config config
COPY migrations migrations
COPY src src
ARG REVISION=unknown
# Cargo compares modification times, and these files are older than the build of the placeholders.
RUN touch src/lib.rs src/main.rs && REVISION=${REVISION} cargo build --release --locked --target "$(cat /target)" \
    && mkdir -p /image/usr/local/bin /image/var/lib/qontak-receiver/spool /image/tmp \
    && cp "target/$(cat /target)/release/qontak-receiver" /image/usr/local/bin/

# Nothing but the program: root certificates and time zones are compiled in.
FROM scratch
COPY --from=build /image/usr /usr
# Webhooks are stored in the spool while the database is unavailable, and files in /tmp before they are copied into
# media.bucket. The service writes no other files unless media.folder is set, so the root file system can be read-only.
COPY --from=build --chown=65532:65532 /image/var /var
COPY --from=build --chown=65532:65532 /image/tmp /tmp
VOLUME /var/lib/qontak-receiver/spool /tmp
# A numeric id: runAsNonRoot of Kubernetes cannot verify a user name.
USER 65532:65532
ENV RECEIVER__HTTP__LISTEN=0.0.0.0:8080 \
    RECEIVER__HTTP__DRAIN_DELAY=5s \
    RECEIVER__OPS__LISTEN=0.0.0.0:9090 \
    RECEIVER__SPOOL__FOLDER=/var/lib/qontak-receiver/spool \
    RECEIVER__LOG__FORMAT=json
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["/usr/local/bin/qontak-receiver", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/qontak-receiver"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="qontak-receiver" \
      org.opencontainers.image.description="Stores Mekari Qontak webhooks in Postgres and serves them over a REST API." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
