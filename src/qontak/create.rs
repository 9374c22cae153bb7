//! Creates templates and contact lists at Qontak, and follows their state. Nothing else is ever
//! sent there for a caller.
//!
//! A handler commits a row of table `creation` and hands the call to [`Worker`]. A call is not the
//! handler's future: that is dropped when its client disconnects, and nobody would know whether Qontak
//! accepted it.

mod answer;
mod contact_list;
mod fields;
mod poll;
mod template;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Fuse, FusedFuture, FutureExt, ready};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use metrics::counter;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::sync::watch::Receiver;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use self::answer::{assess, catalog_kind, created};
pub use self::contact_list::{MAX_CSV, NewContactList};
pub use self::template::NewTemplate;
use super::Clients;
use super::client::{Body, Client, Route};
use super::error::Error;
use crate::model::Timestamp;
use crate::store::Failure;
use crate::store::catalog::{self as names, Entry};
use crate::store::creation::{self, Attempt, CreationRow, Kind, Report, State};
use crate::telemetry::fault::Fault;

static NOT_STORED: Fault = Fault::error("result of a creation not stored");

/// Time in which the call that creates something has to begin.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Time in which Qontak has to name the organisation of the credentials.
const TARGET_TIMEOUT: Duration = Duration::from_secs(10);

/// Poll interval of the creations to ask Qontak about.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Attempts to store a result, a second apart: the database may be failing over.
const STORE_ATTEMPTS: u32 = 30;

/// Creations that may wait for a call.
const QUEUE: usize = 64;

/// Creations that are sent at the same time. Each holds a file in memory.
const MAX_CALLS: usize = 8;

/// A request to create something, validated.
#[derive(Debug)]
pub enum NewCreation {
    /// A template.
    Template(NewTemplate),
    /// A contact list.
    ContactList(NewContactList),
}

impl NewCreation {
    /// What it creates.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Template(_) => Kind::Template,
            Self::ContactList(_) => Kind::ContactList,
        }
    }

    /// Name of the template or contact list.
    pub fn name(&self) -> &str {
        match self {
            Self::Template(template) => &template.name,
            Self::ContactList(list) => &list.name,
        }
    }

    /// Hash of kind and content; the order of fields and white space of the request do not matter.
    pub fn sha256(&self) -> [u8; 32] {
        let hash = |content: serde_json::Result<Vec<u8>>| {
            let content = content.expect("texts and JSON are JSON");
            Sha256::new().chain_update(self.kind().as_str()).chain_update(content).finalize().into()
        };
        match self {
            Self::Template(template) => hash(serde_json::to_vec(template)),
            Self::ContactList(list) => hash(serde_json::to_vec(list)),
        }
    }

    /// Fields of the request as Qontak's row has them.
    fn fields(&self) -> Map<String, Value> {
        match self {
            Self::Template(template) => template.fields(),
            Self::ContactList(list) => list.fields(),
        }
    }

    fn call(&self) -> (Route, Body) {
        match self {
            Self::Template(template) => (Route::post("templates/whatsapp"), template.body()),
            Self::ContactList(list) => (Route::post("contacts/contact_lists/async"), list.body()),
        }
    }
}

/// Hands creations to the worker; cheap to clone.
#[derive(Clone)]
pub struct Creations {
    clients: Clients,
    queue: mpsc::Sender<Job>,
}

/// A creation to send, whose row is committed.
struct Job {
    attempt: Attempt,
    client: Arc<Client>,
    new: NewCreation,
    deadline: Instant,
    done: oneshot::Sender<CreationRow>,
}

/// An organisation in which something can be created.
pub struct Target {
    client: Arc<Client>,
    /// Its id.
    pub organization_id: String,
}

impl Creations {
    /// The two halves. `db` holds the rows.
    pub fn new(clients: Clients, db: PgPool) -> (Self, Worker) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let worker = Worker { clients: clients.clone(), db, jobs };
        (Self { clients, queue }, worker)
    }

    /// Organisations of the settings, see [`targets`].
    pub fn targets(&self) -> impl Stream<Item = Result<Target, Error>> + Unpin {
        targets(&self.clients)
    }

    /// Sends a creation whose row is committed. The receiver gets its row after the call. `None` if the
    /// service is stopping, or too many creations wait.
    pub fn send(
        &self,
        attempt: Attempt,
        target: Target,
        new: NewCreation,
    ) -> Option<oneshot::Receiver<CreationRow>> {
        let (done, sent) = oneshot::channel();
        let deadline = Instant::now() + BEGIN_TIMEOUT;
        let job = Job { attempt, client: target.client, new, deadline, done };
        self.queue.try_send(job).ok().map(|()| sent)
    }
}

/// Organisations of the settings, each as soon as its id is known. An error if Qontak has to be asked for
/// it and does not answer.
fn targets(clients: &Clients) -> impl Stream<Item = Result<Target, Error>> + Unpin {
    let asked = clients.values().cloned().map(|client| async move {
        match timeout(TARGET_TIMEOUT, client.organization_id()).await {
            Ok(Ok(Some(organization_id))) => Some(Ok(Target { client, organization_id })),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some(Err(error)),
            Err(_) => Some(Err(Error::Late)),
        }
    });
    asked.collect::<FuturesUnordered<_>>().filter_map(ready)
}

/// Calls Qontak.
pub struct Worker {
    clients: Clients,
    db: PgPool,
    jobs: mpsc::Receiver<Job>,
}

impl Worker {
    /// Works until `stopping`, and completes the calls that have begun.
    pub async fn run(mut self, mut stopping: Receiver<bool>) {
        let db = self.db.clone();
        let mut calls: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        let mut polls = interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checking: Fuse<BoxFuture<'static, ()>> = Fuse::terminated();
        loop {
            tokio::select! {
                Some(job) = self.jobs.recv(), if calls.len() < MAX_CALLS => {
                    calls.push(Box::pin(send(db.clone(), job)));
                }
                Some(()) = calls.next() => {}
                () = &mut checking, if !checking.is_terminated() => {}
                _ = polls.tick(), if checking.is_terminated() => {
                    checking = poll::check(db.clone(), self.clients.clone()).boxed().fuse();
                }
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        self.jobs.close();
        while let Some(mut job) = self.jobs.recv().await {
            job.deadline = Instant::now();
            calls.push(Box::pin(send(db.clone(), job)));
        }
        loop {
            tokio::select! {
                call = calls.next() => if call.is_none() { break },
                // A call may wait for the place of a check in the rate limit.
                () = &mut checking, if !checking.is_terminated() => {}
            }
        }
    }
}

/// Calls Qontak once, and stores and returns what it has shown.
async fn send(db: PgPool, Job { attempt, client, new, deadline, done }: Job) {
    let report = call(&client, &new, deadline).await;
    for _ in 0..STORE_ATTEMPTS {
        match store(&db, attempt, new.kind(), &report).await {
            Ok(row) => {
                if let Some(row) = row {
                    count(report.state);
                    // Nobody listens any more if the client has disconnected.
                    _ = done.send(row);
                }
                return;
            }
            Err(cause) => NOT_STORED.occurred(Failure::from(cause)),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Calls Qontak once. Nothing is sent before Qontak has accepted the credentials, so that fewer errors
/// leave open whether it was accepted.
async fn call(client: &Client, new: &NewCreation, deadline: Instant) -> Report {
    let failed = |state, error: &Error| Report::of_error(state, describe(new.kind(), error));
    let checked = timeout_at(deadline, client.check_organization()).await;
    if let Err(error) = checked.unwrap_or(Err(Error::Late)) {
        return failed(State::NotSent, &error);
    }
    let (route, body) = new.call();
    let error = match client.call(route.begun_until(deadline), Some(&body)).await {
        Ok(answer) => match created(&answer) {
            Some(row) => return with_fields(new, assess(new.kind(), row)),
            None => Error::UnknownForm { route: "the creation", problem: "it names no id" },
        },
        Err(error) => error,
    };
    let state = match &error {
        error if error.may_have_effect() => State::Unknown,
        Error::Rejected { .. } => State::Rejected,
        _ => State::NotSent,
    };
    failed(state, &error)
}

/// Adds the fields of the request that Qontak's row lacks: it may have only an id.
fn with_fields(new: &NewCreation, mut report: Report) -> Report {
    let mut fields = new.fields();
    if let Some(Value::Object(shown)) = report.result.take() {
        fields.extend(shown);
    }
    report.result = Some(fields.into());
    report
}

/// An error as it is stored and shown. Qontak's messages about a contact list may quote contacts.
fn describe(kind: Kind, error: &Error) -> String {
    match kind {
        Kind::Template => error.to_string(),
        Kind::ContactList => error.without_messages(),
    }
}

/// Stores a report, and adds what Qontak has created to the lists: the next sync would do it much later.
async fn store(
    db: &PgPool,
    attempt: Attempt,
    kind: Kind,
    report: &Report,
) -> sqlx::Result<Option<CreationRow>> {
    let row = creation::report(db, attempt, report).await?;
    if report.result.is_some()
        && let Some(row) = &row
        && let (Some(id), Some(data)) = (&row.qontak_id, &row.result)
    {
        let name = data["name"].as_str().unwrap_or(&row.name).to_owned();
        let entry = Entry { id: id.clone(), name: Some(name), data: data.clone() };
        let now = Timestamp::now();
        names::store(db, &row.organization_id, catalog_kind(kind), &[entry], now).await?;
    }
    Ok(row)
}

/// Counts a creation that reached this state.
fn count(state: State) {
    counter!("qontak_receiver_creations_total", "state" => state.as_str()).increment(1);
}
