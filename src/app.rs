//! Puts the parts together, and takes them apart in order.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::extract::FromRef;
use axum::http::HeaderValue;
use chrono::Days;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::config::{self, Config, Retention};
use crate::model::Timestamp;
use crate::read::key::Keys;
use crate::read::stream::feed::Feed;
use crate::receive::auth::{Doors, Limits};
use crate::receive::spool::disk::Disk;
use crate::receive::spool::{self, Spool};
use crate::receive::writer::Writer;
use crate::store::{self, batch, broadcast_log, ledger, message, partition, search};
use crate::{http, telemetry};

/// How long what comes from the spool waits for its commit: nobody else waits for it.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(60);

/// What every request may use, shared: each request gets a clone of it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What there is to share.
pub struct Parts {
    /// Connections of the read API.
    pub db: PgPool,
    /// The way into the database.
    pub writer: Writer,
    /// Where webhooks wait while the database is away.
    pub spool: Option<Spool>,
    /// The endpoints and their tokens.
    pub doors: Doors,
    /// What a body may cost.
    pub limits: Limits,
    /// Keys of the read API.
    pub keys: Keys,
    /// Whether `q` is understood.
    pub search_enabled: bool,
    /// How long the read API may take to answer.
    pub read_timeout: Duration,
    /// Of which origins a browser's pages may read the API.
    pub cors_origins: Vec<HeaderValue>,
    /// What was applied lately, for those who listen.
    pub feed: Arc<Feed>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for PgPool {
    fn from_ref(app: &App) -> Self {
        app.db.clone()
    }
}

impl App {
    /// Puts together what requests use. The writer's tasks end once the last clone is dropped.
    /// Fails if `database.url` is none.
    pub fn start(
        config: &Config,
        read: PgPool,
        disk: Option<Disk>,
        tasks: &mut JoinSet<()>,
    ) -> sqlx::Result<Self> {
        let (max_bytes, max_queue_bytes) = (config.spool.max_bytes, config.writer.max_queue_bytes);
        let spool = disk.map(|disk| Spool::start(disk, max_bytes, max_queue_bytes, tasks));
        let mut writer = Writer::start(&config.database, &config.writer, tasks)?;
        if spool.is_some() {
            // Both together must not take longer than a caller waits.
            let timeout = config.writer.answer_timeout.saturating_sub(spool::PATIENCE);
            writer = writer.waiting(timeout);
        }
        // Once each: no answer needs several slow statements.
        let read_timeout = config.database.acquire_timeout + config.database.statement_timeout;
        Ok(Self(Arc::new(Parts {
            keys: Keys::new(&config.key, &config.api, read.clone()),
            feed: Arc::new(Feed::new(read.clone(), read_timeout, config.stream)),
            db: read,
            writer,
            spool,
            doors: Doors::new(&config.endpoint),
            limits: Limits {
                max_body_bytes: config.http.max_body_bytes,
                body_timeout: config.http.body_timeout,
                reading: Semaphore::new(config.http.max_reading_bytes),
            },
            search_enabled: config.search.enabled,
            read_timeout,
            cors_origins: config.api.cors_origins.iter().map(|origin| origin.0.clone()).collect(),
        })))
    }
}

/// What the ops port tells about.
#[derive(Clone)]
pub struct Ops {
    /// Connections of the read API.
    pub db: PgPool,
    /// Where webhooks wait while the database is away.
    pub spool: Option<Spool>,
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
    let read = store::connect_to_read(&config.database, config.database.read_connections)?;
    let disk = open_disk(&config.spool)?;
    let is_prepared = match prepare(&config, &read).await {
        Ok(()) => true,
        Err(cause) if disk.is_some() && store::is_away(&cause) => {
            error!("{cause:#}; until it is back, webhooks go to the spool");
            false
        }
        Err(cause) => return Err(cause),
    };

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
    let app = App::start(&config, read.clone(), disk, &mut writing)?;
    let (writer, spool) = (app.writer.clone(), app.spool.clone());
    let (feed, keys) = (app.feed.clone(), app.keys.clone());
    let ops = Ops {
        db: read.clone(),
        spool: spool.clone(),
        metrics: metrics.clone(),
        stopping: is_stopping.clone(),
    };
    let mut background = JoinSet::new();
    let handing_over = spool.clone().map(|spool| {
        let writer = writer.clone().waiting(HAND_OVER_TIMEOUT);
        background.spawn(spool.hand_over(writer))
    });
    background.spawn(async move { keys.note_uses().await });
    background.spawn(keep_metrics(metrics, spool.clone()));
    background.spawn(async move {
        let served = axum::serve(ops_listener, http::ops::router(ops)).await;
        error!("the ops port is no longer served: {served:?}");
    });

    let serving = http::server::serve(listener, http::router(app), &config.http, async move {
        _ = is_stopping.wait_for(|stopping| *stopping).await
    });
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        () = stop => {}
        () = &mut serving => bail!("the server ended by itself"),
        // Not why: the text of a panic may quote data. Its place is in the log.
        _ = writing.join_next() => bail!("a writer ended by itself"),
        _ = background.join_next() => bail!("a background task ended by itself"),
        never = keep_database(&config, &read, is_prepared) => never
    }

    stopping.send_replace(true);
    feed.close();
    serving.await;
    if let Some(handing_over) = handing_over {
        handing_over.abort();
    }
    // The other half went to the requests.
    let for_queue = config.http.stop_timeout / 2;
    let committed = tokio::time::timeout(for_queue, writer.drain()).await;
    if let Some(spool) = &spool {
        // Each of them gives up waiting by itself, and it is late.
        _ = tokio::time::timeout(spool::PATIENCE, spool.drain()).await;
    } else if committed.is_err() {
        bail!("what was queued could not be committed in {for_queue:?}");
    }
    writing.shutdown().await;
    background.shutdown().await;
    // Not `close`: that would wait for the requests that were cut off.
    match spool.map_or(0, |spool| spool.depth().events) {
        0 => info!("stopped, everything acknowledged is committed"),
        waiting => info!(spool.events = waiting, "stopped, the rest waits in the spool"),
    }
    Ok(())
}

/// Opens the spool's folder, if there is to be a spool.
fn open_disk(settings: &config::Spool) -> anyhow::Result<Option<Disk>> {
    let Some(folder) = settings.folder() else {
        warn!("spool.folder is not set: while the database is away, webhooks are answered 503");
        return Ok(None);
    };
    let help = match Disk::in_folder(folder) {
        Ok(disk) => return Ok(Some(disk)),
        Err(redb::Error::DatabaseAlreadyOpen) => {
            "another process uses it; each needs a folder of its own".to_owned()
        }
        Err(cause) => format!("cannot be used: {cause}"),
    };
    bail!("spool.folder: {}: {help}", folder.display())
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
    batch::forget_future(db).await.context("database: cannot be written")?;
    for weak in store::durability(db).await? {
        warn!("{weak} at the database: a crash can lose what was acknowledged");
    }
    Ok(())
}

/// Makes the journal's partitions for today and the next days.
pub async fn make_partitions(db: &PgPool, retention: &Retention) -> sqlx::Result<()> {
    let today = Timestamp::now().day();
    let days = (0..=retention.days_ahead).map(|ahead| today + Days::new(ahead));
    partition::create(&mut *db.acquire().await?, days).await
}

/// Prepares the database if it was away at the start, then keeps the journal once an hour. A
/// failure is tried again: partitions last for days.
async fn keep_database(config: &Config, db: &PgPool, mut is_prepared: bool) -> ! {
    while !is_prepared {
        tokio::time::sleep(Duration::from_secs(2)).await;
        match prepare(config, db).await {
            Ok(()) => is_prepared = true,
            Err(cause) => error!("{cause:#}"),
        }
    }
    let mut every_hour = tokio::time::interval(Duration::from_secs(3600));
    loop {
        every_hour.tick().await;
        // A database that is gone without a word must not end this for good.
        let limit = Duration::from_secs(600);
        if let Err(cause) = store::within(limit, keep_journal(db, config)).await {
            error!("keeping the journal: {}", store::Failure::from(cause));
        }
        // It may take long, but partitions last for days only.
        let limit = Duration::from_secs(6 * 3600);
        let prepared = store::within(limit, search::prepare(db, config.search.enabled));
        if config.database.migrate
            && let Err(cause) = prepared.await
        {
            error!("preparing search: {}", store::Failure::from(cause));
        }
    }
}

/// Makes partitions ahead, drops old ones, and merges what writers counted each for itself. One
/// of these that fails does not keep the others from their turn.
async fn keep_journal(db: &PgPool, config: &Config) -> sqlx::Result<()> {
    let steps = [
        keep_partitions(db, &config.retention).await,
        batch::forget(db, config.stream.keep).await.map(drop),
        ledger::compact(db).await,
        message::count::compact(db).await,
        broadcast_log::count::compact(db).await,
    ];
    steps.into_iter().collect()
}

async fn keep_partitions(db: &PgPool, retention: &Retention) -> sqlx::Result<()> {
    make_partitions(db, retention).await?;
    // By the earlier of two clocks: one that runs ahead must not cost the journal.
    let now = store::clock(db).await?.min(Timestamp::now());
    let oldest = now.day() - Days::new(retention.event_days);
    let dropped = partition::drop_before(db, oldest).await?;
    if !dropped.is_empty() {
        info!(days = dropped.len(), "dropped old days of the journal");
    }
    Ok(())
}

/// The recorder keeps raw samples until somebody scrapes; nobody may ever.
async fn keep_metrics(metrics: PrometheusHandle, spool: Option<Spool>) {
    let mut often = tokio::time::interval(Duration::from_secs(5));
    loop {
        often.tick().await;
        metrics.run_upkeep();
        spool.iter().for_each(Spool::measure);
    }
}
