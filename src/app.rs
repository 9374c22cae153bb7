//! Puts the parts together, and takes them apart in order.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::extract::FromRef;
use chrono::Days;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::config::{Config, Retention};
use crate::model::Timestamp;
use crate::read::key::Keys;
use crate::receive::auth::{Doors, Limits};
use crate::receive::writer::Writer;
use crate::store::{self, ledger, partition};
use crate::{http, telemetry};

/// What every request may use.
#[derive(Clone)]
pub struct App {
    /// Connections of the read API.
    pub db: PgPool,
    /// The way into the database.
    pub writer: Writer,
    /// The endpoints and their tokens.
    pub doors: Arc<Doors>,
    /// What a body may cost.
    pub limits: Limits,
    /// Keys of the read API.
    pub keys: Arc<Keys>,
}

impl FromRef<App> for Writer {
    fn from_ref(app: &App) -> Self {
        app.writer.clone()
    }
}

impl FromRef<App> for PgPool {
    fn from_ref(app: &App) -> Self {
        app.db.clone()
    }
}

impl App {
    /// Puts together what requests use. The writer's tasks end once the last clone is dropped.
    pub fn start(config: &Config, read: PgPool, write: &PgPool, tasks: &mut JoinSet<()>) -> Self {
        Self {
            db: read,
            writer: Writer::start(write, &config.writer, tasks),
            doors: Arc::new(Doors::new(&config.endpoint)),
            limits: Limits {
                max_body_bytes: config.http.max_body_bytes,
                body_timeout: config.http.body_timeout,
            },
            keys: Arc::new(Keys::new(&config.key)),
        }
    }
}

/// What the ops port tells about.
#[derive(Clone)]
pub struct Ops {
    /// Connections of the read API.
    pub db: PgPool,
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Whether the service was told to stop.
    pub stopping: watch::Receiver<bool>,
}

/// Serves until `stop` resolves, then finishes what was begun.
///
/// Fails if a port is taken, if something that must run ends by itself, or if what was begun
/// is not finished in time.
pub async fn serve(
    config: Config,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let read = store::connect(&config.database, config.database.read_connections)?;
    // One connection a task: a task never waits for another one's.
    let write = store::connect(&config.database, config.writer.tasks)?;
    prepare(&config, &read).await?;

    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("http.listen: cannot listen on {}", config.http.listen))?;
    let ops_listener = TcpListener::bind(config.ops.listen)
        .await
        .with_context(|| format!("ops.listen: cannot listen on {}", config.ops.listen))?;
    info!(
        http.listen = %listener.local_addr()?, ops.listen = %ops_listener.local_addr()?,
        "ready for webhooks",
    );
    let (stopping, mut is_stopping) = watch::channel(false);
    let metrics = telemetry::metrics()?;

    let mut writing = JoinSet::new();
    let app = App::start(&config, read.clone(), &write, &mut writing);
    let writer = app.writer.clone();
    let ops = Ops { db: read.clone(), metrics: metrics.clone(), stopping: is_stopping.clone() };
    let mut background = JoinSet::new();
    background.spawn(keep_journal(read.clone(), config.retention));
    background.spawn(keep_metrics(metrics));
    background.spawn(async move {
        let served = axum::serve(ops_listener, http::ops::router(ops)).await;
        error!("the ops port is no longer served: {served:?}");
    });

    let serving = axum::serve(listener, http::router(app)).with_graceful_shutdown(async move {
        _ = is_stopping.wait_for(|stopping| *stopping).await
    });
    let mut serving = std::pin::pin!(serving.into_future());
    tokio::select! {
        () = stop => {}
        _ = &mut serving => bail!("the server ended by itself"),
        // Not why: the text of a panic may quote data. Its place is in the log.
        _ = writing.join_next() => bail!("a writer ended by itself"),
        _ = background.join_next() => bail!("a background task ended by itself"),
    }

    stopping.send_replace(true);
    // Requests in flight may end; a stranger who never ends one must not keep us.
    let (for_requests, for_queue) = (config.http.stop_timeout / 2, config.http.stop_timeout / 2);
    match tokio::time::timeout(for_requests, serving).await {
        Ok(served) => served?,
        Err(_) => warn!("some requests did not end in {for_requests:?} and are cut off"),
    }
    if tokio::time::timeout(for_queue, writer.drain()).await.is_err() {
        bail!("what was queued could not be committed in {for_queue:?}");
    }
    writing.shutdown().await;
    background.shutdown().await;
    // Not `close`: that would wait for the requests that were cut off.
    info!("stopped, everything acknowledged is committed");
    Ok(())
}

/// Brings the schema up to date and looks whether the database keeps what it commits.
async fn prepare(config: &Config, db: &PgPool) -> anyhow::Result<()> {
    store::reach(&config.database).await.context("database")?;
    if config.database.migrate {
        store::migrate(db).await.context("database: cannot bring the schema up to date")?;
    }
    let pending = store::pending_migrations(db).await.context("database: cannot be read")?;
    if pending > 0 {
        bail!("database: {pending} migration(s) to run; run `qontak-receiver migrate`");
    }
    make_partitions(db, &config.retention).await.context("database: cannot make partitions")?;
    for weak in store::durability(db).await? {
        warn!("{weak} at the database: a crash can lose what was acknowledged");
    }
    Ok(())
}

/// Makes the journal's partitions for today and the next days.
pub async fn make_partitions(db: &PgPool, retention: &Retention) -> sqlx::Result<()> {
    let today = Timestamp::now().day();
    let days = (0..=retention.days_ahead).map(|ahead| today + Days::new(ahead));
    partition::create(db, days).await
}

/// Keeps the journal once an hour. A failure is tried again: partitions last for days.
async fn keep_journal(db: PgPool, retention: Retention) {
    let mut every_hour = tokio::time::interval(Duration::from_secs(3600));
    loop {
        every_hour.tick().await;
        if let Err(cause) = keep_journal_once(&db, &retention).await {
            error!("keeping the journal: {}", store::Failure::from(cause));
        }
    }
}

/// Makes partitions ahead, drops old ones, and merges old lines of the ledger.
async fn keep_journal_once(db: &PgPool, retention: &Retention) -> sqlx::Result<()> {
    make_partitions(db, retention).await?;
    // By the earlier of two clocks: one that runs ahead must not cost the journal.
    let now = store::clock(db).await?.min(Timestamp::now());
    let oldest = now.day() - Days::new(retention.event_days);
    let dropped = partition::drop_before(db, oldest).await?;
    if !dropped.is_empty() {
        info!(days = dropped.len(), "dropped old days of the journal");
    }
    ledger::compact(db).await
}

/// The recorder keeps raw samples until somebody scrapes; nobody may ever.
async fn keep_metrics(metrics: PrometheusHandle) {
    let mut often = tokio::time::interval(Duration::from_secs(5));
    loop {
        often.tick().await;
        metrics.run_upkeep();
    }
}
