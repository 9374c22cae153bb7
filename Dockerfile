ARG RUST_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# Queries are checked against .sqlx/, so the build needs no database.
ENV SQLX_OFFLINE=true

# A layer with the dependencies only. It is cached until Cargo.toml or Cargo.lock changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked

COPY build.rs sqlx.toml ./
COPY .sqlx .sqlx
COPY config config
COPY migrations migrations
COPY src src
# Cargo compares modification times, and these files are older than the build of the placeholders.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked && mkdir /spool

FROM ${RUNTIME_IMAGE}
COPY --from=build /build/target/release/qontak-receiver /usr/local/bin/qontak-receiver
# Webhooks are stored here while the database is unavailable. The service writes no other files, so
# the root file system can be read-only.
COPY --from=build --chown=65532:65532 /spool /var/lib/qontak-receiver/spool
VOLUME /var/lib/qontak-receiver/spool
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
