//! Baselines: the server, authentication and parsing of the service, followed by nothing (*ceiling*)
//! or by one transaction per event (*one each*).

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::{IntoResponse, Response};
use axum::routing::{Router, any};
use qontak_receiver::config::{self, Config};
use qontak_receiver::event::Event;
use qontak_receiver::http::{self, Error};
use qontak_receiver::ingest::Ingest;
use qontak_receiver::ingest::normalize::{Normalized, normalize};
use qontak_receiver::ingest::writer::{Receipt, WriteError, Writer};
use qontak_receiver::receive::auth::Authentic;
use qontak_receiver::receive::state::ReceiveState;
use qontak_receiver::receive::{event_response, handshake_response};
use qontak_receiver::{router, telemetry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Concurrent transactions of *one each*: the fastest of 8, 16, 32 and 64 with 256 clients.
const CONCURRENCY: u32 = 16;

/// Parses and drops each event.
pub async fn serve_ceiling() -> anyhow::Result<()> {
    serve(&Config::load(None)?, async |event| {
        Ok(Receipt {
            event_id: event.id(),
            outcome: Some(event.outcome),
            duplicate: false,
            kind: event.kind,
            reasons: event.reasons,
            batch_size: 0,
            before: None,
        })
    })
    .await
}

/// Writes each event in a transaction of its own, to a migrated database.
pub async fn serve_one_each() -> anyhow::Result<()> {
    let config = Config::load(None)?;
    let settings = config::Writer { tasks: 1, max_batch: 1, ..config.writer.clone() };
    let mut tasks = JoinSet::new();
    // A writer runs one transaction at a time, so concurrency needs several.
    let writers = (0..CONCURRENCY)
        .map(|_| Writer::start(&config.database, &settings, &mut tasks))
        .collect::<Result<Arc<[_]>, _>>()?;
    let next = Arc::new(AtomicUsize::new(0));
    serve(&config, move |event| {
        let writer = writers[next.fetch_add(1, Ordering::Relaxed) % writers.len()].clone();
        async move { writer.write(event).await }
    })
    .await
}

async fn serve<F>(
    config: &Config,
    write: impl Fn(Event) -> F + Clone + Send + Sync + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<Receipt, WriteError>> + Send,
{
    telemetry::start(&config.log)?;
    telemetry::metrics()?;
    // The state that the extractor needs. Its writer never connects.
    let db = store::connect(&config.database)?;
    let ingest = Ingest::start(config, db, None, &mut JoinSet::new())?;
    let state = Arc::new(ReceiveState::new(config, ingest));
    let receive = async move |Authentic(webhook): Authentic| -> Response {
        match normalize(webhook) {
            Normalized::Handshake(handshake) => handshake_response(&handshake),
            Normalized::Event(event) => match write(*event).await {
                Ok(receipt) => event_response(receipt),
                Err(error) => Error::from(error).into_response(),
            },
        }
    };
    let routes = Router::new().route("/webhooks/qontak/{token}", any(receive)).with_state(state);
    let listener = TcpListener::bind(config.http.listen).await?;
    http::server::serve(listener, router::with_middleware(routes), &config.http, pending()).await;
    Ok(())
}
