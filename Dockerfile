ARG RUST_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# Queries are checked against .sqlx/, so no database is needed.
ENV SQLX_OFFLINE=true

# A layer with the dependencies alone: it is built again only when they change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked

COPY build.rs sqlx.toml ./
COPY .sqlx .sqlx
COPY config config
COPY migrations migrations
COPY src src
# Cargo compares ages, and the files above are older than what was built in their place.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked && mkdir /spool

FROM ${RUNTIME_IMAGE}
COPY --from=build /build/target/release/qontak-receiver /usr/local/bin/qontak-receiver
# Where webhooks wait while the database is away. Nothing else is written, so it works with a
# read-only root.
COPY --from=build --chown=65532:65532 /spool /var/lib/qontak-receiver/spool
VOLUME /var/lib/qontak-receiver/spool
# A number, because Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
ENV RECEIVER__HTTP__LISTEN=0.0.0.0:8080 \
    RECEIVER__OPS__LISTEN=0.0.0.0:9090 \
    RECEIVER__SPOOL__FOLDER=/var/lib/qontak-receiver/spool \
    RECEIVER__LOG__FORMAT=json
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["/usr/local/bin/qontak-receiver", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/qontak-receiver"]
