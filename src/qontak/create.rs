//! Creates templates and contact lists at Qontak, and follows what becomes of them. Nothing else is ever
//! sent there for a caller.
//!
//! A handler commits a row of table `creation` and hands the call to [`Worker`]. A call is not the
//! handler's future: that is dropped when its client disconnects, and nobody would know whether Qontak
//! took it.

mod contact_list;
mod fields;
mod template;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use metrics::counter;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::sync::watch::Receiver;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use uuid::Uuid;

pub use self::contact_list::{MAX_CSV, NewContactList};
pub use self::template::NewTemplate;
use super::client::{Body, Client, Route};
use super::error::Error;
use super::{Clients, catalog};
use crate::model::Timestamp;
use crate::store::Failure;
use crate::store::catalog::{self as names, Entry};
use crate::store::creation::{self, CreationRow, Kind, Pending, Report, State};
use crate::telemetry::fault::Fault;

static NOT_STORED: Fault = Fault::error("result of a creation not stored");
static NOT_CHECKED: Fault = Fault::warn("state of creations not checked");

/// Time in which Qontak has to accept the credentials before something is created.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two looks for creations to ask Qontak about.
const TICK: Duration = Duration::from_secs(2);

/// Attempts to store a result, a second apart: the database may be failing over.
const STORE_ATTEMPTS: u32 = 30;

/// Creations that may wait for a call.
const QUEUE: usize = 64;

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
    creation_id: Uuid,
    client: Arc<Client>,
    new: NewCreation,
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

    /// Organisations of the settings. Fails if Qontak has to be asked for an id and does not answer.
    pub async fn targets(&self) -> Result<Vec<Target>, Error> {
        let mut targets = Vec::new();
        for client in self.clients.values() {
            if let Some(organization_id) = client.organization_id().await? {
                targets.push(Target { client: client.clone(), organization_id });
            }
        }
        Ok(targets)
    }

    /// Sends a creation whose row is committed. The receiver gets its row after the call. `None` if the
    /// service is stopping, or too many creations wait.
    pub fn send(
        &self,
        creation_id: Uuid,
        target: Target,
        new: NewCreation,
    ) -> Option<oneshot::Receiver<CreationRow>> {
        let (done, sent) = oneshot::channel();
        let job = Job { creation_id, client: target.client, new, done };
        self.queue.try_send(job).ok().map(|()| sent)
    }
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
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checking: Option<BoxFuture<'static, ()>> = None;
        loop {
            tokio::select! {
                Some(job) = self.jobs.recv() => calls.push(Box::pin(send(db.clone(), job))),
                Some(()) = calls.next() => {}
                () = async { checking.as_mut().expect("is some").await }, if checking.is_some() => {
                    checking = None;
                }
                _ = tick.tick(), if checking.is_none() => {
                    checking = Some(Box::pin(check(db.clone(), self.clients.clone())));
                }
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        self.jobs.close();
        while let Some(job) = self.jobs.recv().await {
            calls.push(Box::pin(send(db.clone(), job)));
        }
        while calls.next().await.is_some() {}
    }
}

/// Calls Qontak once, and stores and returns what it has shown.
async fn send(db: PgPool, Job { creation_id, client, new, done }: Job) {
    let (report, entry) = call(&client, &new).await;
    for _ in 0..STORE_ATTEMPTS {
        match store(&db, creation_id, new.kind(), &report, entry.as_ref()).await {
            Ok(row) => {
                counted(report.state);
                if let Some(row) = row {
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
/// leave open whether it was taken.
async fn call(client: &Client, new: &NewCreation) -> (Report, Option<Entry>) {
    let failed = |state, error: String| {
        (Report { state, qontak_id: None, result: None, error: Some(error) }, None)
    };
    match timeout(CHECK_TIMEOUT, client.check_organization()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return failed(State::NotSent, error.to_string()),
        Err(_) => {
            let limit = CHECK_TIMEOUT.as_secs();
            return failed(State::NotSent, format!("no response within {limit}s"));
        }
    }
    let (route, body) = new.call();
    let error = match client.call(route, Some(&body)).await {
        Ok(answer) => match created(&answer) {
            Some(row) => {
                let (report, mut entry) = assess(new.kind(), row);
                entry.name.get_or_insert_with(|| new.name().to_owned());
                return (report, Some(entry));
            }
            None => Error::UnknownForm { route: "the creation", problem: "it names no id" },
        },
        Err(error) => error,
    };
    let state = match &error {
        error if error.may_have_effect() => State::Unknown,
        Error::Rejected { .. } => State::Rejected,
        _ => State::NotSent,
    };
    failed(state, error.to_string())
}

/// The row in the response to a creation. Documents and recordings differ.
fn created(answer: &Value) -> Option<&Value> {
    let places = ["/data/data/0", "/data/data", "/data/0", "/data", ""];
    let mut rows = places.iter().filter_map(|place| answer.pointer(place));
    rows.find(|row| row["id"].is_string())
}

/// What Qontak's row says about a creation that it took, and those of its fields that are stored.
fn assess(kind: Kind, row: &Value) -> (Report, Entry) {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_ascii_lowercase();
    let failed = |why: &str| (State::Failed, Some(why.to_owned()));
    let (state, error) = match kind {
        Kind::Template => match text("status").as_str() {
            "" | "created" | "submitted" | "pending" | "in_appeal" => (State::Processing, None),
            "rejected" => failed("rejected in review"),
            _ => (State::Done, None),
        },
        Kind::ContactList if row["finished_at"].is_null() => (State::Processing, None),
        Kind::ContactList if text("progress") != "success" => failed("the import failed"),
        // Qontak calls an import a success that has imported nobody.
        Kind::ContactList if row["contacts_count_success"] == 0 => {
            failed("no contact was imported")
        }
        Kind::ContactList => (State::Done, None),
    };
    let entry = catalog::entry(list(kind), row).expect("`created` has found its id");
    let (qontak_id, result) = (Some(entry.id.clone()), Some(entry.data.clone()));
    (Report { state, qontak_id, result, error }, entry)
}

const fn list(kind: Kind) -> names::Kind {
    match kind {
        Kind::Template => names::Kind::Template,
        Kind::ContactList => names::Kind::ContactList,
    }
}

/// Stores a report, and adds what Qontak has created to the lists: the next sync would do it much later.
async fn store(
    db: &PgPool,
    creation_id: Uuid,
    kind: Kind,
    report: &Report,
    entry: Option<&Entry>,
) -> sqlx::Result<Option<CreationRow>> {
    let row = creation::report(db, creation_id, report).await?;
    if let (Some(row), Some(entry)) = (&row, entry) {
        let (organization_id, now) = (&row.organization_id, Timestamp::now());
        names::store(db, organization_id, list(kind), std::slice::from_ref(entry), now).await?;
    }
    Ok(row)
}

/// Asks Qontak about creations that it is processing, and notes those that were interrupted.
async fn check(db: PgPool, clients: Clients) {
    let checked = async {
        for _ in 0..creation::note_interrupted(&db).await? {
            counted(State::Unknown);
        }
        for pending in creation::take_pending(&db).await? {
            check_one(&db, &clients, pending).await?;
        }
        Ok::<_, sqlx::Error>(())
    };
    if let Err(cause) = checked.await {
        NOT_CHECKED.occurred(Failure::from(cause));
    }
}

async fn check_one(db: &PgPool, clients: &Clients, pending: Pending) -> sqlx::Result<()> {
    let Pending { creation_id, organization_id, kind, qontak_id } = pending;
    let mut found = None;
    for client in clients.values() {
        if matches!(client.organization_id().await, Ok(Some(id)) if id == organization_id) {
            found = Some(client);
        }
    }
    let Some(client) = found else { return Ok(()) };
    // Qontak's own id, but a path must not depend on that.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !qontak_id.chars().all(is_plain) {
        return Ok(());
    }
    let route = match kind {
        Kind::Template => Route::get_path(
            "templates/{id}/whatsapp",
            format!("templates/{qontak_id}/whatsapp"),
            String::new(),
        ),
        Kind::ContactList => Route::get_path(
            "contacts/contact_lists/{id}",
            format!("contacts/contact_lists/{qontak_id}"),
            String::new(),
        ),
    };
    let answer = match client.call(route, None).await {
        Ok(answer) => answer,
        Err(error) => {
            NOT_CHECKED.occurred(error);
            return Ok(());
        }
    };
    let Some(row) = created(&answer) else { return Ok(()) };
    let (report, entry) = assess(kind, row);
    if report.state != State::Processing {
        counted(report.state);
    }
    store(db, creation_id, kind, &report, Some(&entry)).await.map(drop)
}

/// Counts a creation that reached this state.
fn counted(state: State) {
    counter!("qontak_receiver_creations_total", "state" => state.as_str()).increment(1);
}
