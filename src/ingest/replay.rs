//! Replay: processes events of the journal again with the current parser.
//!
//! A replayed event gets the outcome of the current parser, and its changes are merged again.
//! Merging is idempotent: with an unchanged parser nothing changes, and emptied tables are filled
//! again.

pub mod job;

use std::collections::VecDeque;
use std::time::Duration;

use sqlx::PgPool;
use tokio::task::{JoinError, JoinSet};

use crate::event::{Event, Outcome, Webhook};
use crate::ingest::normalize::{Normalized, normalize};
use crate::ingest::writer::{Receipt, WriteError, Writer};
use crate::model::EventId;
use crate::store::dry_run::{self, Difference};
use crate::store::event::Selection;
use crate::store::{self, Failure, Written};

/// Number of events read and written together.
const PAGE_SIZE: i64 = 200;

/// Retries of an event that could not be written, and the interval between them.
const MAX_RETRIES: u32 = 5;
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a replay stopped. The reported events are written; the replay can go on after the last page.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A query of the journal failed.
    #[error("could not read the journal")]
    Journal(#[from] sqlx::Error),
    /// An event could not be written.
    #[error("could not write an event; the remaining events were not replayed")]
    Write(#[from] WriteError),
    /// The database rejected a dry run.
    #[error("dry run failed")]
    DryRun(#[from] Failure),
    /// A write panicked.
    #[error("a write panicked")]
    Panic(#[from] JoinError),
}

/// Result of a replayed event.
#[derive(Debug)]
pub struct Replayed {
    /// The event.
    pub event_id: EventId,
    /// Outcome before the replay.
    pub before: Outcome,
    /// Outcome after the replay.
    pub outcome: Outcome,
}

impl Replayed {
    /// Converts the receipt of a replay; `None` if the event is no longer in the journal.
    pub fn from_receipt(receipt: &Receipt) -> Option<Self> {
        let before = receipt.before.as_ref()?.outcome;
        Some(Self { event_id: receipt.event_id, before, outcome: receipt.outcome? })
    }
}

/// Normalizes a webhook of the journal for a replay. `None` if the current parser recognises a
/// handshake.
pub fn normalize_again(webhook: Webhook) -> Option<Event> {
    match normalize(webhook) {
        Normalized::Event(event) => Some(Event { is_replay: true, ..*event }),
        Normalized::Handshake(_) => None,
    }
}

/// The selected webhooks of the journal, page by page.
struct Pages<'a> {
    db: &'a PgPool,
    selection: &'a Selection,
    after: Option<EventId>,
}

impl<'a> Pages<'a> {
    const fn new(db: &'a PgPool, selection: &'a Selection, after: Option<EventId>) -> Self {
        Self { db, selection, after }
    }

    /// The next page in the order of the journal; `None` after the last.
    async fn next(&mut self) -> sqlx::Result<Option<Vec<Webhook>>> {
        let webhooks = store::event::select(self.db, self.selection, self.after, PAGE_SIZE).await?;
        let Some(last) = webhooks.last() else { return Ok(None) };
        self.after = Some(last.id);
        Ok(Some(webhooks))
    }
}

/// What a replay reports.
#[derive(Debug)]
pub enum Report {
    /// An event was replayed.
    Event(Replayed),
    /// A row would change; in a dry run only. A row that several events change may be reported
    /// several times.
    Row(Difference),
    /// A page is complete, up to the event with this id: a replay can go on from there.
    Page {
        /// Last event of the page.
        last: EventId,
        /// Number of events, with those that turned out to be no events.
        events: usize,
    },
}

/// Writes the selected events after `after` again, in the order of the journal, and reports each.
pub async fn replay(
    db: &PgPool,
    writer: &Writer,
    selection: &Selection,
    after: Option<EventId>,
    mut report: impl FnMut(Report),
) -> Result<(), ReplayError> {
    let mut after = after;
    while let Some(page) = replay_page(db, writer, selection, after).await? {
        page.replayed.into_iter().map(Report::Event).for_each(&mut report);
        report(Report::Page { last: page.last, events: page.events });
        after = Some(page.last);
    }
    Ok(())
}

/// A page that was replayed.
#[derive(Debug)]
pub struct ReplayedPage {
    /// Last event of the page.
    pub last: EventId,
    /// Number of events, with those that turned out to be no events.
    pub events: usize,
    /// The events.
    pub replayed: Vec<Replayed>,
}

/// Writes the next page of the selected events again; `None` after the last page.
pub async fn replay_page(
    db: &PgPool,
    writer: &Writer,
    selection: &Selection,
    after: Option<EventId>,
) -> Result<Option<ReplayedPage>, ReplayError> {
    let mut pages = Pages::new(db, selection, after);
    let Some(webhooks) = pages.next().await? else { return Ok(None) };
    let events = webhooks.len();
    let mut writes = JoinSet::new();
    for webhook in webhooks {
        writes.spawn(write(writer.clone(), webhook));
    }
    let mut replayed = Vec::new();
    while let Some(written) = writes.join_next().await {
        replayed.extend(written??);
    }
    Ok(pages.after.map(|last| ReplayedPage { last, events, replayed }))
}

fn report_page(pages: &Pages<'_>, events: usize, report: &mut impl FnMut(Report)) {
    if let Some(last) = pages.after {
        report(Report::Page { last, events });
    }
}

async fn write(writer: Writer, webhook: Webhook) -> Result<Option<Replayed>, WriteError> {
    let mut retries = 0;
    loop {
        let Some(event) = normalize_again(webhook.clone()) else {
            return Ok(None);
        };
        match writer.write(event).await {
            Ok(receipt) => return Ok(Replayed::from_receipt(&receipt)),
            Err(_) if retries < MAX_RETRIES => {
                retries += 1;
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reports what [`replay`] would do: writes through `write` within `limit`, and rolls back.
pub async fn dry_run(
    db: &PgPool,
    write: &PgPool,
    limit: Duration,
    selection: &Selection,
    after: Option<EventId>,
    mut report: impl FnMut(Report),
) -> Result<(), ReplayError> {
    let mut pages = Pages::new(db, selection, after);
    while let Some(webhooks) = pages.next().await? {
        let count = webhooks.len();
        let events: Vec<Event> = webhooks.into_iter().filter_map(normalize_again).collect();
        let mut parts = VecDeque::from([events]);
        while let Some(mut events) = parts.pop_front() {
            match dry_run::dry_run(write, limit, &events).await {
                Ok((stored, differences)) => {
                    for row in stored {
                        if let Written::Replay(before) = row.written {
                            let (event_id, outcome) = (row.event_id, row.outcome);
                            let before = before.outcome;
                            report(Report::Event(Replayed { event_id, before, outcome }));
                        }
                    }
                    differences.into_iter().map(Report::Row).for_each(&mut report);
                }
                // Quarantines and splits as the writer does.
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
        report_page(&pages, count, &mut report);
    }
    Ok(())
}
