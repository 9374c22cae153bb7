//! Timeline of a trace.

use serde::Serialize;
use utoipa::ToSchema;

use super::Trace;
use crate::model::Timestamp;
use crate::read::status::Progress;

/// Something that happened to a traced row.
#[derive(Serialize, ToSchema)]
pub struct TimelineEntry {
    /// Time of the change.
    at: Timestamp,
    /// Clock of `at`: `channel`, `body` or `received`, as in `status_times`.
    source: &'static str,
    /// Kind of the row: `broadcast`, `log`, `message` or `room`; or `event` for a received webhook.
    subject: &'static str,
    /// Id of the row.
    id: String,
    /// Organisation of the row; null when unknown.
    organization_id: Option<String>,
    /// Status of a log or message; lifecycle event of a room, such as `assigned`; kind of an event.
    what: String,
}

/// A traced row: kind, id and organisation.
#[derive(Clone, Copy)]
struct Subject<'a>(&'static str, &'a str, &'a Option<String>);

/// Merges everything that happened to the rows of a trace, oldest first.
pub fn of(trace: &Trace) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    for row in &trace.broadcasts {
        let (at, source) = reported_or(row.created_at, row.at);
        let subject = Subject("broadcast", &row.id, &row.organization_id);
        entries.push(TimelineEntry::new(at, source, subject, "created"));
    }
    for log in &trace.logs {
        let subject = Subject("log", &log.row.id, &log.row.organization_id);
        entries.extend(statuses(subject, &log.progress));
    }
    for message in &trace.messages {
        let subject = Subject("message", &message.row.id, &message.row.organization_id);
        entries.extend(statuses(subject, &message.progress));
    }
    for row in &trace.room_events {
        let (at, source) = reported_or(row.at, row.received_at);
        let subject = Subject("room", &row.room_id, &row.organization_id);
        entries.push(TimelineEntry::new(at, source, subject, &row.r#type));
    }
    for row in &trace.events {
        let (id, what) = (row.event_id.to_string(), row.kind.as_deref().unwrap_or(&row.outcome));
        let subject = Subject("event", &id, &row.organization_id);
        entries.push(TimelineEntry::new(row.received_at, "received", subject, what));
    }
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn statuses<'a>(
    subject: Subject<'a>,
    progress: &'a Progress,
) -> impl Iterator<Item = TimelineEntry> + 'a {
    progress
        .times()
        .map(move |(status, at, source)| TimelineEntry::new(at, source, subject, status))
}

/// The time reported by Qontak, else the time of receipt.
fn reported_or(reported: Option<Timestamp>, received: Timestamp) -> (Timestamp, &'static str) {
    reported.map_or((received, "received"), |at| (at, "body"))
}

impl TimelineEntry {
    fn new(at: Timestamp, source: &'static str, subject: Subject<'_>, what: &str) -> Self {
        let Subject(subject, id, organization_id) = subject;
        let (id, organization_id) = (id.to_owned(), organization_id.clone());
        Self { at, source, subject, id, organization_id, what: what.to_owned() }
    }
}
