//! Baselines: the server, authentication and parsing of the service, followed by nothing (*ceiling*)
//! or by one transaction per event (*one each*).

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use qontak_receiver::config::{self, Config};
use qontak_receiver::event::Event;
use qontak_receiver::http::server::admission::Connections;
use qontak_receiver::ingest::Ingest;
use qontak_receiver::ingest::activity::Activity;
use qontak_receiver::ingest::writer::{Receipt, WriteError, Writer};
use qontak_receiver::receive::state::ReceiveState;
use qontak_receiver::{http, receive, store, telemetry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::service_fn;

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
            transaction: None,
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
        .map(|_| Writer::start(&config.database, &settings, &Activity::new(false), &mut tasks))
        .collect::<Arc<[_]>>();
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
    F: Future<Output = Result<Receipt, WriteError>> + Send + 'static,
{
    telemetry::start(&config.log)?;
    telemetry::metrics()?;
    // The state that a webhook needs. Its writer never connects.
    let db = store::connect(&config.database)?;
    let ingest = Ingest::start(config, &db, Vec::new(), &mut JoinSet::new());
    let state = Arc::new(ReceiveState::new(config, ingest));
    let service = service_fn(move |request| {
        let (state, write) = (state.clone(), write.clone());
        async move { Ok(receive::respond(request, &state, |event, _| write(event)).await) }
    });
    let listener = TcpListener::bind(config.http.listen).await?;
    let connections = Connections::new(config.http.max_connections);
    http::server::serve(listener.into(), service, &config.http, connections, pending()).await;
    Ok(())
}
