//! Compares rows of Qontak with what is stored: by a write that is rolled back, so that the comparison
//! cannot disagree with the write.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use sqlx::PgPool;
use tokio::time::sleep;

use crate::event::{BACKFILL, DedupKey, Event, Webhook};
use crate::ingest::normalize::{Normalized, normalize};
use crate::model::{EventId, Timestamp};
use crate::store::Failure;
use crate::store::dry_run::{Difference, dry_run};
use crate::store::reconciliation::Kind;

/// Attempts of a comparison that waits for a lock of the webhooks.
const ATTEMPTS: u32 = 5;

/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(500);

/// A row of Qontak.
pub struct Item {
    /// Id of the room, message, …
    pub id: String,
    /// Time of the row, which determines its day.
    pub at: Timestamp,
    /// The row, as the body of a webhook.
    pub body: Value,
}

/// How a row differs from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is not stored.
    Missing,
    /// A value of it is not.
    Changed,
    /// Only rows that it contains differ, or it cannot be read.
    Other,
    /// It does not differ.
    Equal,
}

/// A table and an id of it, as [`Difference`] names them.
type Key<'a> = (&'static str, &'a str);

/// Compares rows of one kind.
pub async fn compare(
    db: &PgPool,
    timeout: Duration,
    organization_id: &str,
    kind: Kind,
    items: &[Item],
) -> Result<Vec<Comparison>, Failure> {
    let table = match kind {
        Kind::Room => "room",
        Kind::Message => "message",
        Kind::BroadcastLog | Kind::Broadcast => "broadcast_log",
    };
    let keys: Vec<Key<'_>> = items.iter().map(|item| (table, item.id.as_str())).collect();
    let webhooks: Vec<Webhook> =
        items.iter().map(|item| webhook(organization_id, &item.body)).collect();
    let mut results = vec![Comparison::Other; items.len()];
    let mut parts = VecDeque::from([(0..items.len(), 1)]);
    while let Some((part, attempt)) = parts.pop_front() {
        if part.is_empty() {
            continue;
        }
        let events = part.clone().filter_map(|i| Some((i, event(webhooks[i].clone())?)));
        // Not a duplicate of the event by which the same bytes were stored before.
        let own = |event: Event| Event { dedup_key: DedupKey(*event.id().0.as_bytes()), ..event };
        let (places, events): (Vec<usize>, Vec<Event>) =
            events.map(|(i, event)| (i, own(event))).unzip();
        match dry_run(db, timeout, &events).await {
            Ok((_, differences)) => {
                let visible: Vec<&Difference> =
                    differences.iter().filter(|it| it.is_visible()).collect();
                for (i, event) in places.into_iter().zip(&events) {
                    results[i] = compared(keys[i], event, &visible);
                }
            }
            Err(Failure::Data(_)) if events.len() > 1 => {
                let middle = part.start + part.len() / 2;
                parts.push_front((middle..part.end, 1));
                parts.push_front((part.start..middle, 1));
            }
            // Stored as it is: the writer quarantines it.
            Err(Failure::Data(_)) => {}
            Err(Failure::LockTimeout(_) | Failure::Race(_)) if attempt < ATTEMPTS => {
                sleep(PAUSE).await;
                parts.push_front((part, attempt + 1));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(results)
}

fn compared((table, id): Key<'_>, event: &Event, differences: &[&Difference]) -> Comparison {
    let key = format!("{id} {}", event.organization_id);
    let own = differences.iter().find(|it| it.table == table && it.key == key.trim_end());
    match own {
        Some(difference) if difference.is_new => Comparison::Missing,
        Some(_) => Comparison::Changed,
        None if differences.iter().any(|it| it.is_of(&event.changes)) => Comparison::Other,
        None => Comparison::Equal,
    }
}

/// A row as a webhook of the endpoint `backfill`.
pub fn webhook(organization_id: &str, body: &Value) -> Webhook {
    let received_at = Timestamp::now();
    Webhook {
        id: EventId::next(received_at),
        received_at,
        endpoint: BACKFILL.into(),
        organization_id: Some(organization_id.into()),
        body: body.to_string().into(),
        request_id: String::new(),
        is_damaged: false,
    }
}

/// The event of a webhook; `None` if it is a handshake, which no row of Qontak is.
pub fn event(webhook: Webhook) -> Option<Event> {
    match normalize(webhook) {
        Normalized::Event(event) => Some(*event),
        Normalized::Handshake(_) => None,
    }
}
