//! What happened, in the order of time.

use serde::Serialize;
use utoipa::ToSchema;

use super::Trace;
use crate::model::Timestamp;
use crate::read::status::Progress;

/// Something that happened, and whose clock says when.
#[derive(Serialize, ToSchema)]
pub struct TimelineEntry {
    at: Timestamp,
    /// `channel`, `body` or `received`, as in `status_times`.
    source: &'static str,
    /// What it happened to: `broadcast`, `log`, `message`, `room`; or `event`: a webhook came in.
    subject: &'static str,
    /// The id of that.
    id: String,
    /// A status of a log or a message; `created`, `assigned`, … of a room; the kind of an event.
    what: String,
}

/// All that happened to what was found, oldest first.
pub fn of(trace: &Trace) -> Vec<TimelineEntry> {
    let mut moments = Vec::new();
    for row in &trace.broadcasts {
        let (at, source) = own_or(row.created_at, row.at);
        moments.push(TimelineEntry::new(at, source, "broadcast", &row.id, "created"));
    }
    for log in &trace.logs {
        moments.extend(statuses("log", &log.row.id, &log.progress));
    }
    for message in &trace.messages {
        moments.extend(statuses("message", &message.row.id, &message.progress));
    }
    for row in &trace.room_events {
        let (at, source) = own_or(row.at, row.received_at);
        moments.push(TimelineEntry::new(at, source, "room", &row.room_id, &row.r#type));
    }
    for row in &trace.events {
        let (id, what) = (row.event_id.to_string(), row.kind.as_deref().unwrap_or(&row.outcome));
        moments.push(TimelineEntry::new(row.received_at, "received", "event", &id, what));
    }
    moments.sort_by_key(|moment| moment.at);
    moments
}

fn statuses(
    subject: &'static str,
    id: &str,
    progress: &Progress,
) -> impl Iterator<Item = TimelineEntry> {
    progress
        .times()
        .map(move |(status, at, source)| TimelineEntry::new(at, source, subject, id, status))
}

/// The time that Qontak gives, or else that of the receipt.
fn own_or(own: Option<Timestamp>, received: Timestamp) -> (Timestamp, &'static str) {
    own.map_or((received, "received"), |at| (at, "body"))
}

impl TimelineEntry {
    fn new(
        at: Timestamp,
        source: &'static str,
        subject: &'static str,
        id: &str,
        what: &str,
    ) -> Self {
        Self { at, source, subject, id: id.to_owned(), what: what.to_owned() }
    }
}
