//! Composition root: starts the parts, serves, and stops them in order.

pub mod check;
mod measure;
pub mod open_files;
pub mod retention;
mod trace_export;
pub mod upkeep;

use std::sync::Arc;

use anyhow::{Context, bail};
use futures_util::future::join;
use metrics::gauge;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use self::measure::Measured;
use self::trace_export::TraceExport;
use crate::alarm::Alarms;
use crate::config::{self, Config};
use crate::console::state::{ConsoleState, DemoTraffic};
use crate::http::server::admission::Connections;
use crate::http::server::listener::Inherited;
use crate::ingest::Ingest;
use crate::ingest::replay::job;
use crate::ingest::spool::disk::Disk;
use crate::ingest::spool::medium::Medium;
use crate::ingest::spool::nats::{Nats, PrepareError};
use crate::ingest::writer::kinds;
use crate::qontak::Clients;
use crate::qontak::catalog::Catalog;
use crate::qontak::create::{Creations, Worker};
use crate::qontak::recovery::Recovery;
use crate::qontak::watch::Watch;
use crate::read::state::ReadState;
use crate::receive::state::ReceiveState;
use crate::router::PublicPort;
use crate::router::ops::{self, Ops};
use crate::store::primary::Follower;
use crate::{http, media, qontak, store, telemetry};

/// The service without its ports: the router, and the parts that outlive requests.
pub struct App {
    /// Every route of the public port.
    pub router: PublicPort,
    /// Stores events.
    pub ingest: Ingest,
    /// State of the read API.
    pub read: ReadState,
    /// Clients of Qontak's API.
    pub clients: Clients,
    /// Connections for what is read from there.
    pub qontak_db: PgPool,
    /// Creates at Qontak what callers ask for; `None` unless `api.write` is set.
    pub worker: Option<Worker>,
}

impl App {
    /// Starts ingest and builds the router. `db` are connections for reading, `demo` is the traffic that
    /// the console can play. Fails if a URL of the database cannot be parsed.
    pub fn start(
        config: &Config,
        db: PgPool,
        media: Vec<Medium>,
        demo: Option<DemoTraffic>,
        tasks: &mut JoinSet<()>,
    ) -> sqlx::Result<Self> {
        let ingest = Ingest::start(config, &db, media, tasks);
        let receive = Arc::new(ReceiveState::new(config, ingest.clone()));
        let qontak_db = store::connect_for_qontak(&config.database)?;
        let clients = qontak::clients(config, &qontak_db);
        let (creations, worker) = if config.api.write {
            let (creations, worker) = Creations::new(clients.clone(), qontak_db.clone());
            (Some(creations), Some(worker))
        } else {
            (None, None)
        };
        let read = ReadState::new(config, db, ingest.clone(), creations)?;
        let console = ConsoleState::new(config, &read, demo);
        let router = PublicPort::new(receive, read.clone(), console);
        Ok(Self { router, ingest, read, clients, qontak_db, worker })
    }
}

/// Serves until `stop` resolves, then finishes the requests and events in flight.
///
/// Fails if a port is taken, if a background task ends, or if queued events are not stored within
/// `http.stop_timeout`.
pub async fn serve(
    config: Config,
    demo: Option<DemoTraffic>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    // First, because what follows sets metrics.
    let metrics = telemetry::metrics()?;
    http::metrics::register();
    http::trace::configure(&config.log);
    let trace_export = TraceExport::start(&config.trace)?;
    kinds::register(config.endpoint.keys());
    log_settings(&config);
    for warning in &config.warnings {
        warn!(warning, "setting is probably not meant");
    }
    upkeep::report(&open_files::raise_limit(&config))?;
    store::primary::choose(&config.database).await;
    let db = store::connect_to_read(&config.database, config.database.read_connections)?;
    let (disk, spool_problem) = open_disk(&config.spool);
    let nats = connect_nats(&config).await?;
    let is_prepared = match upkeep::prepare(&config, &db).await {
        Ok(()) => true,
        Err(cause) if (disk.is_some() || nats.is_some()) && upkeep::is_outage(&cause) => {
            error!(error = format!("{cause:#}"), "database unavailable, spooling");
            false
        }
        Err(cause) => return Err(cause),
    };

    let is_handover = disk.as_ref().is_some_and(Disk::is_shared);
    let mut inherited = Inherited::find();
    let listener = inherited
        .next_or_bind(config.http.listen, is_handover)
        .with_context(|| format!("http.listen: cannot listen on {}", config.http.listen))?;
    let ops_listener = inherited
        .next_or_bind(config.ops.listen, is_handover)
        .with_context(|| format!("ops.listen: cannot listen on {}", config.ops.listen))?;
    let api_listener = match config.api.listen {
        Some(address) => Some(
            inherited
                .next_or_bind(address, is_handover)
                .with_context(|| format!("api.listen: cannot listen on {address}"))?,
        ),
        None => None,
    };
    let api = api_listener.as_ref().unwrap_or(&listener).socket.local_addr()?;
    info!(
        http.listen = %listener.socket.local_addr()?,
        api.listen = %api,
        ops.listen = %ops_listener.socket.local_addr()?,
        "ready for webhooks",
    );
    let (stopping, is_stopping) = watch::channel(false);

    let mut ingesting = JoinSet::new();
    // NATS first: any replica can take over what waits there.
    let mediums = nats.map(Medium::from).into_iter().chain(disk.map(Medium::from)).collect();
    let started = App::start(&config, db.clone(), mediums, demo, &mut ingesting)?;
    let App { router, ingest, read, clients, qontak_db, worker } = started;
    let mut background = JoinSet::new();
    let keys = read.keys.clone();
    background.spawn(async move { keys.update_last_used().await });
    if let Some(replica) = read.replica.clone() {
        let primary = db.clone();
        background.spawn(async move { replica.watch(&primary).await });
    }
    measure::limits(&config, &ingest.spools);
    let measured = Measured {
        metrics: metrics.clone(),
        db: db.clone(),
        spools: ingest.spools.clone(),
        read: read.clone(),
    };
    background.spawn(measured.run());
    // Apart from `background`, because they are not aborted: they may hold tokens or counts that are not
    // stored yet.
    let mut watching = JoinSet::new();
    let mut pools: Vec<Follower> =
        vec![(db.clone(), store::read_options), (qontak_db.clone(), store::options)];
    if let Some(worker) = worker {
        watching.spawn(worker.run(is_stopping.clone()));
    }
    if let Some(watch) = Watch::new(&config, &clients, qontak_db.clone()) {
        watching.spawn(watch.run(is_stopping.clone()));
    }
    if let Some(catalog) = Catalog::new(&config, clients.clone(), qontak_db.clone()) {
        watching.spawn(catalog.run(is_stopping.clone()));
    }
    if let Some(recovery) =
        Recovery::new(&config, clients.clone(), ingest.clone(), qontak_db.clone())
    {
        watching.spawn(recovery.run(is_stopping.clone()));
    }
    if let Some(worker) = media::Worker::new(&config)? {
        pools.push((worker.db.clone(), store::read_options));
        watching.spawn(worker.run(is_stopping.clone()));
    }
    watching.spawn(job::run(db.clone(), ingest.writer.clone(), is_stopping.clone()));
    if config.database.servers().len() > 1 {
        let settings = config.database.clone();
        background.spawn(async move { store::primary::follow(&settings, &pools).await });
    }
    let alarms = Alarms::new(&config, ingest.clone(), qontak_db);
    watching.spawn(alarms.run(is_stopping.clone()));
    if spool_problem.is_some() {
        gauge!("qontak_receiver_spool_failed", "medium" => "disk").set(1.0);
    }
    let ops = Ops {
        db: db.clone(),
        writer: ingest.writer.clone(),
        spools: ingest.spools.clone(),
        spool_problem,
        metrics,
        stopping: is_stopping.clone(),
    };
    background.spawn(async move {
        let served = axum::serve(ops_listener.socket, ops::router(ops)).await;
        error!(result = ?served, "ops port closed");
    });

    let connections = Connections::new(config.http.max_connections);
    let serve_port = |listener, router| {
        let mut is_stopping = is_stopping.clone();
        let stop = async move { _ = is_stopping.wait_for(|stopping| *stopping).await };
        http::server::serve(listener, router, &config.http, connections.clone(), stop)
    };
    let serving = async {
        match api_listener {
            None => serve_port(listener, router).await,
            Some(api) => {
                let webhooks = serve_port(listener, router.only_webhooks());
                _ = join(webhooks, serve_port(api, router.without_webhooks())).await;
            }
        }
    };
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        () = stop => {}
        () = &mut serving => bail!("the HTTP server ended unexpectedly"),
        // Without the cause: a panic message may quote data. Its location is in the log.
        _ = ingesting.join_next() => bail!("an ingest task ended unexpectedly"),
        _ = background.join_next() => bail!("a background task ended unexpectedly"),
        Some(_) = watching.join_next() => bail!("a watching task ended unexpectedly"),
        never = upkeep::keep_database(&config, &db, is_prepared) => never
    }

    stopping.send_replace(true);
    read.event_tail.close();
    serving.await;
    // `http::server::serve` used the other half for requests in flight.
    let limit = config.http.stop_timeout / 2;
    if ingest.drain(limit).await.is_err() {
        bail!("queued events not stored within {limit:?}");
    }
    ingesting.shutdown().await;
    background.shutdown().await;
    let ends = async {
        while watching.join_next().await.is_some() {}
        for client in clients.values() {
            client.finish().await;
        }
    };
    _ = tokio::time::timeout(limit, ends).await;
    if let Some(trace_export) = trace_export {
        trace_export.stop().await;
    }
    // No `PgPool::close`: it would wait for the connections of aborted requests.
    info!(spooled = ingest.spooled(), "stopped");
    Ok(())
}

/// Logs the version and the settings in force. Secrets are redacted; endpoints and organisations are named
/// only, keys counted.
fn log_settings(config: &Config) {
    let Config { http, api, console, ops, database, writer, spool, stream, search, .. } = config;
    let Config { retention, media, alarm, notify, log, trace, .. } = config;
    let names = |names: Vec<&String>| format!("{names:?}");
    info!(
        version = env!("CARGO_PKG_VERSION"),
        revision = telemetry::REVISION,
        settings.http = ?http,
        settings.api = ?api,
        settings.console = ?console,
        settings.ops = ?ops,
        settings.database = ?database,
        settings.writer = ?writer,
        settings.spool = ?spool,
        settings.stream = ?stream,
        settings.search = ?search,
        settings.retention = ?retention,
        settings.media = ?media,
        settings.alarm = ?alarm,
        settings.notify = ?notify,
        settings.log = ?log,
        settings.trace = ?trace,
        settings.endpoint = names(config.endpoint.keys().collect()),
        settings.keys = config.key.len(),
        settings.qontak = names(config.qontak.keys().collect()),
        "starting",
    );
}

/// Connects to NATS, if it is configured. While it is unavailable the service starts without it, and uses
/// it later. Streams with other limits are refused.
async fn connect_nats(config: &Config) -> anyhow::Result<Option<Nats>> {
    if config.spool.servers.is_empty() {
        return Ok(None);
    }
    let nats = Nats::connect(&config.spool, config.http.max_body_bytes).await;
    let nats = nats.context("spool.servers: cannot be used")?;
    for found in check::nats::monitors(&config.spool).await {
        upkeep::warn_of(&found);
    }
    match nats.prepare().await {
        Ok(()) => {}
        Err(error @ PrepareError::Unavailable(_)) => {
            error!(%error, "nats unavailable, starting without it");
        }
        Err(error) => return Err(error).context("spool.servers: cannot be used"),
    }
    Ok(Some(nats))
}

/// Opens the spool's folder, or says why its disk cannot be used: with a healthy database webhooks are
/// accepted without it.
fn open_disk(settings: &config::Spool) -> (Option<Disk>, Option<String>) {
    let Some(folder) = settings.folder() else {
        if settings.servers.is_empty() {
            warn!("spool.folder is not set, webhooks get 503 while the database is unavailable");
        }
        return (None, None);
    };
    upkeep::warn_of(&check::disk::file_system(settings, folder));
    match Disk::in_folder(folder) {
        Ok(disk) => {
            if disk.is_shared() {
                warn!("spool.folder is used by another process, taking it over when that ends");
            }
            (Some(disk), None)
        }
        Err(error) => {
            let folder = folder.display().to_string();
            error!(%error, folder, "spool unusable, webhooks get 503 while the database is unavailable");
            (None, Some(format!("spool: {folder}: {error}")))
        }
    }
}
