//! Reads events of the journal again, through the same door as a webhook.
//!
//! A replayed event gets the outcome that this version's rules give it, and what it says is merged
//! once more. Merging is idempotent: under the same rules nothing changes, and of emptied tables
//! everything comes back.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;
use tokio::task::JoinSet;

use crate::event::{Event, Outcome, Webhook};
use crate::ingest::normalize::{Normalized, normalize};
use crate::ingest::writer::{Receipt, Writer};
use crate::model::EventId;
use crate::store::dry_run::{self, Difference};
use crate::store::event::Selection;
use crate::store::{self, Failure, Written};

/// How many events are read and written together.
const CHUNK: i64 = 200;

/// How often what could not be written is tried again, and after which pause.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// What became of one event.
#[derive(Debug)]
pub struct Replayed {
    /// The event.
    pub event_id: EventId,
    /// What its outcome was.
    pub before: Outcome,
    /// What its outcome is now.
    pub outcome: Outcome,
}

impl Replayed {
    /// Of an event that was written; `None` if it is not in the journal any more.
    pub fn of(receipt: &Receipt) -> Option<Self> {
        let before = receipt.before.as_ref()?.outcome;
        Some(Self { event_id: receipt.event_id, before, outcome: receipt.outcome? })
    }
}

/// The event that a webhook of the journal is under this version's rules. `None` for what these
/// take for a handshake.
pub fn read_again(webhook: Webhook) -> Option<Event> {
    match normalize(webhook) {
        Normalized::Event(event) => Some(Event { is_replay: true, ..*event }),
        Normalized::Handshake(_) => None,
    }
}

/// What the journal holds of a selection, chunk by chunk.
struct Chunks<'a> {
    db: &'a PgPool,
    selection: &'a Selection,
    after: Option<EventId>,
}

impl<'a> Chunks<'a> {
    const fn of(db: &'a PgPool, selection: &'a Selection) -> Self {
        Self { db, selection, after: None }
    }

    /// The next ones in the order of the journal; `None` after the last.
    async fn next(&mut self) -> sqlx::Result<Option<Vec<Webhook>>> {
        let webhooks = store::event::select(self.db, self.selection, self.after, CHUNK).await?;
        self.after = webhooks.last().map(|webhook| webhook.id);
        Ok(self.after.map(|_| webhooks))
    }
}

/// Writes the selected events again, in the order of the journal, and tells of each.
///
/// Fails if the database stays away; what was told is written then, and it can be run again.
pub async fn replay(
    db: &PgPool,
    writer: &Writer,
    selection: &Selection,
    mut tell: impl FnMut(Replayed),
) -> anyhow::Result<()> {
    let mut chunks = Chunks::of(db, selection);
    while let Some(webhooks) = chunks.next().await? {
        let mut writing = JoinSet::new();
        for webhook in webhooks {
            writing.spawn(write(writer.clone(), webhook));
        }
        while let Some(written) = writing.join_next().await {
            if let Some(replayed) = written?? {
                tell(replayed);
            }
        }
    }
    Ok(())
}

async fn write(writer: Writer, webhook: Webhook) -> anyhow::Result<Option<Replayed>> {
    let mut tries = 0;
    loop {
        let Some(event) = read_again(webhook.clone()) else {
            return Ok(None);
        };
        match writer.write(event).await {
            Ok(receipt) => return Ok(Replayed::of(&receipt)),
            Err(_) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(cause) => return Err(cause).context("the rest is not replayed; run it again"),
        }
    }
}

/// Finds out what [`replay`] would do, and does not do it: `write` is for what is taken back, within
/// `limit`. Rows that several events change may be told of several times.
pub async fn rehearse(
    db: &PgPool,
    write: &PgPool,
    limit: Duration,
    selection: &Selection,
    mut tell: impl FnMut(Replayed),
    mut tell_difference: impl FnMut(Difference),
) -> anyhow::Result<()> {
    let mut chunks = Chunks::of(db, selection);
    while let Some(webhooks) = chunks.next().await? {
        let events: Vec<Event> = webhooks.into_iter().filter_map(read_again).collect();
        let mut parts = VecDeque::from([events]);
        while let Some(mut events) = parts.pop_front() {
            match dry_run::dry_run(write, limit, &events).await {
                Ok((stored, differences)) => {
                    for row in stored {
                        if let Written::Replay(before) = row.written {
                            let (event_id, outcome) = (row.event_id, row.outcome);
                            tell(Replayed { event_id, before: before.outcome, outcome });
                        }
                    }
                    differences.into_iter().for_each(&mut tell_difference);
                }
                // As the writer does.
                Err(Failure::Data(code)) if events.len() == 1 && !events[0].changes.is_empty() => {
                    events[0].quarantine(&code);
                    parts.push_front(events);
                }
                Err(Failure::Data(_) | Failure::LockTimeout(_)) if events.len() > 1 => {
                    let second = events.split_off(events.len() / 2);
                    parts.push_front(second);
                    parts.push_front(events);
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }
    Ok(())
}
