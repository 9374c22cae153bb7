//! The services that ours is compared with: the same server, the same door, the same reading; and
//! then nothing, or a transaction for each event.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::{IntoResponse, Response};
use axum::routing::{Router, any};
use qontak_receiver::app::{self, App};
use qontak_receiver::config::{self, Config};
use qontak_receiver::event::Event;
use qontak_receiver::http::Error;
use qontak_receiver::ingest::normalize::{Normalized, normalize};
use qontak_receiver::ingest::writer::{Receipt, Unwritten, Writer};
use qontak_receiver::receive::auth::Authentic;
use qontak_receiver::receive::{answer, echo};
use qontak_receiver::store::{self, search};
use qontak_receiver::{http, telemetry};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How many transactions *one each* has at a time, each on a connection of its own. Of 8, 16, 32
/// and 64 it is the fastest with 256 connections.
const AT_ONCE: u32 = 16;

/// Reads and drops, until it is killed.
pub async fn serve_ceiling() -> anyhow::Result<()> {
    let config = Config::load(None)?;
    serve(&config, async |event: Event| {
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

/// Writes each event in a transaction of its own, until it is killed.
pub async fn serve_one_each() -> anyhow::Result<()> {
    let config = Config::load(None)?;
    let db = store::connect(&config.database)?;
    store::migrate(&db).await?;
    app::make_partitions(&db, &config.retention).await?;
    search::prepare(&db, config.search.enabled).await?;
    let settings = config::Writer { tasks: 1, max_batch: 1, ..config.writer.clone() };
    let mut tasks = JoinSet::new();
    // One of ours never has two transactions without need, so there are several.
    let start = |_| Writer::start(&config.database, &settings, &mut tasks);
    let writers = (0..AT_ONCE).map(start).collect::<sqlx::Result<Vec<Writer>>>()?;
    let (writers, next) = (Arc::new(writers), Arc::new(AtomicUsize::new(0)));
    serve(&config, move |event| {
        // In turn: the next one is the one that began first, so most likely it is done.
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
    F: Future<Output = Result<Receipt, Unwritten>> + Send,
{
    telemetry::start(&config.log)?;
    telemetry::metrics()?;
    // Nobody uses it to read or to write, so it never connects.
    let db = store::connect(&config.database)?;
    let app = App::start(config, db, None, &mut JoinSet::new())?;
    let receive = async move |Authentic(webhook): Authentic| -> Response {
        match normalize(webhook) {
            Normalized::Handshake(handshake) => echo(&handshake),
            Normalized::Event(event) => match write(*event).await {
                Ok(receipt) => answer(receipt),
                Err(unwritten) => Error::from(unwritten).into_response(),
            },
        }
    };
    let routes = Router::new().route("/webhooks/qontak/{token}", any(receive));
    let listener = TcpListener::bind(config.http.listen).await?;
    http::server::serve(listener, http::serving(routes, app), &config.http, pending()).await;
    Ok(())
}
