//! The file of the spool: a redb database, for its transactions, checksums and file lock.
//!
//! Not a log-structured store: a queue deletes as much as it writes, and redb reuses the space of
//! deleted rows without compaction.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend,
    TableDefinition, Value,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::event::Webhook;
use crate::ingest::queue::OVERHEAD_BYTES;
use crate::model::{EventId, Timestamp};

/// A webhook: id, time of receipt (microseconds since 1970), endpoint, organisation of the
/// endpoint, request id, body.
type Row = (u128, i64, &'static str, Option<&'static str>, &'static str, &'static [u8]);

/// Webhooks in the order in which they were appended.
const WEBHOOKS: TableDefinition<'_, u64, Row> = TableDefinition::new("webhook");

/// Page cache of redb. Small: a webhook is read long after it was written, so a cache would not hold
/// it.
const CACHE_BYTES: usize = 4 << 20;

/// Number and size of the spooled webhooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Number of webhooks.
    pub events: u64,
    /// Size as it counts towards `spool.max_bytes`.
    pub bytes: u64,
    /// Time of receipt of the oldest webhook.
    pub oldest_at: Option<Timestamp>,
    /// Whether the last operation failed.
    pub has_failed: bool,
}

/// The spooled webhooks. All methods block.
pub struct Disk {
    open: Box<Open>,
    state: Mutex<State>,
    depth: watch::Sender<Depth>,
}

type Open = dyn Fn() -> Result<Database, DatabaseError> + Send + Sync;

struct State {
    /// `None` after a failure: redb is opened again and repairs the file.
    database: Option<Database>,
    contents: Contents,
}

#[derive(Clone, Copy)]
struct Contents {
    depth: Depth,
    next_key: u64,
}

impl Disk {
    /// Opens or creates the file in `folder`, which is created if it is missing. Fails if another
    /// process has the file open.
    pub fn in_folder(folder: &Path) -> Result<Self, redb::Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let file = folder.join("spool.redb");
        let disk = Self::on(move || {
            let mut options = OpenOptions::new();
            // Readable by this user only: it contains bodies.
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            FileBackend::new(options.open(&file)?)
        })?;
        // A new file survives a power failure only after an fsync of its folder, and a new folder
        // only after one of its parent.
        File::open(folder)?.sync_all()?;
        if let Some(parent) = folder.canonicalize()?.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(disk)
    }

    /// Opens or creates a database on `storage`.
    pub fn on<S: StorageBackend>(
        storage: impl Fn() -> Result<S, DatabaseError> + Send + Sync + 'static,
    ) -> Result<Self, redb::Error> {
        let open = move || {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES);
            builder.create_with_backend(storage()?)
        };
        let database = open()?;
        let contents = contents(&database)?;
        let depth = watch::Sender::new(contents.depth);
        let state = Mutex::new(State { database: Some(database), contents });
        Ok(Self { open: Box::new(open), state, depth })
    }

    /// Number and size of the spooled webhooks.
    pub fn depth(&self) -> Depth {
        *self.depth.borrow()
    }

    /// Subscribes to changes of the depth.
    pub fn watch(&self) -> watch::Receiver<Depth> {
        self.depth.subscribe()
    }

    /// Appends webhooks up to a total size of `max_bytes`, and returns how many were appended once
    /// they are on the disk.
    pub fn append(&self, webhooks: &[Webhook], max_bytes: u64) -> Result<usize, redb::Error> {
        self.use_database(|database, contents| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(WEBHOOKS)?;
            let mut added = 0;
            for webhook in webhooks {
                let bytes = contents.depth.bytes + size(webhook.body.len());
                if bytes > max_bytes {
                    break;
                }
                table.insert(contents.next_key, row(webhook))?;
                contents.next_key += 1;
                contents.depth.bytes = bytes;
                contents.depth.events += 1;
                contents.depth.oldest_at.get_or_insert(webhook.received_at);
                added += 1;
            }
            drop(table);
            // redb's default durability: returns after an fsync.
            transaction.commit()?;
            Ok(added)
        })
    }

    /// The oldest webhooks with their keys: at most `limit`, up to the one that reaches
    /// `max_bytes`.
    pub fn first(&self, limit: usize, max_bytes: u64) -> Result<Vec<(u64, Webhook)>, redb::Error> {
        self.use_database(|database, _| {
            let table = database.begin_read()?.open_table(WEBHOOKS)?;
            let (mut webhooks, mut bytes) = (Vec::new(), 0);
            for entry in table.iter()?.take(limit) {
                let (key, value) = entry?;
                let webhook = webhook(value.value());
                bytes += size(webhook.body.len());
                webhooks.push((key.value(), webhook));
                if bytes >= max_bytes {
                    break;
                }
            }
            Ok(webhooks)
        })
    }

    /// Removes webhooks by key.
    pub fn remove(&self, keys: &[u64]) -> Result<(), redb::Error> {
        self.use_database(|database, Contents { depth, .. }| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(WEBHOOKS)?;
            for key in keys {
                if let Some(removed) = table.remove(key)? {
                    depth.events -= 1;
                    depth.bytes -= size(removed.value().5.len());
                }
            }
            depth.oldest_at = table.first()?.and_then(|(_, first)| received_at(first.value()));
            drop(table);
            Ok(transaction.commit()?)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // After a panic `database` is `None`; the next operation opens it again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn use_database<T>(
        &self,
        operation: impl FnOnce(&Database, &mut Contents) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let mut state = self.state();
        let result = state.use_database(&*self.open, operation);
        // Sent while the state is locked, so that depths are published in order.
        let depth = Depth { has_failed: result.is_err(), ..state.contents.depth };
        self.depth.send_replace(depth);
        result
    }
}

impl State {
    fn use_database<T>(
        &mut self,
        open: &Open,
        operation: impl FnOnce(&Database, &mut Contents) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let database = open()?;
                self.contents = contents(&database)?;
                database
            }
        };
        let mut contents = self.contents;
        let result = operation(&database, &mut contents)?;
        *self = Self { database: Some(database), contents };
        Ok(result)
    }
}

/// Reads all rows to compute the depth; creates the table if it is missing.
fn contents(database: &Database) -> Result<Contents, redb::Error> {
    let transaction = database.begin_write()?;
    let table = transaction.open_table(WEBHOOKS)?;
    let mut contents = Contents { depth: Depth::default(), next_key: 0 };
    for entry in table.iter()? {
        let (key, value) = entry?;
        contents.next_key = key.value() + 1;
        contents.depth.events += 1;
        contents.depth.bytes += size(value.value().5.len());
        contents.depth.oldest_at = contents.depth.oldest_at.or_else(|| received_at(value.value()));
    }
    drop(table);
    transaction.commit()?;
    Ok(contents)
}

/// Size of a webhook as it counts towards the limit.
const fn size(body: usize) -> u64 {
    (body + OVERHEAD_BYTES) as u64
}

fn row(webhook: &Webhook) -> <Row as Value>::SelfType<'_> {
    let Webhook { id, received_at, endpoint, organization_id, body, request_id } = webhook;
    let micros = received_at.0.timestamp_micros();
    (id.0.as_u128(), micros, endpoint, organization_id.as_deref(), request_id, body)
}

fn webhook(row: <Row as Value>::SelfType<'_>) -> Webhook {
    let (id, _, endpoint, organization_id, request_id, body) = row;
    let id = EventId(Uuid::from_u128(id));
    Webhook {
        id,
        received_at: received_at(row).or_else(|| id.received_at()).unwrap_or_default(),
        endpoint: endpoint.into(),
        organization_id: organization_id.map(Arc::from),
        body: Bytes::copy_from_slice(body),
        request_id: request_id.to_owned(),
    }
}

fn received_at(row: <Row as Value>::SelfType<'_>) -> Option<Timestamp> {
    Timestamp::from_micros(row.1)
}
