//! Timeline of a trace.

use serde::Serialize;
use utoipa::ToSchema;

use super::Trace;
use crate::model::Timestamp;
use crate::read::status::{Progress, Source};

/// Something that happened to a traced row.
#[derive(Serialize, ToSchema)]
pub struct TimelineEntry {
    /// Time of the change.
    at: Timestamp,
    source: Source,
    subject: Subject,
    /// Id of the row.
    id: String,
    /// Status of a log or message; lifecycle event of a room, such as `assigned`; kind of an event.
    what: String,
}

/// Kind of the row; `event` is a received webhook.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Subject {
    Broadcast,
    Log,
    Message,
    Room,
    Event,
}

/// Merges everything that happened to the rows of a trace, oldest first.
pub fn of(trace: &Trace) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    for row in &trace.broadcasts {
        let (at, source) = reported_or(row.created_at, row.at);
        entries.push(TimelineEntry::new(at, source, Subject::Broadcast, &row.id, "created"));
    }
    for log in &trace.logs {
        entries.extend(statuses(Subject::Log, &log.row.id, &log.progress));
    }
    for message in &trace.messages {
        entries.extend(statuses(Subject::Message, &message.row.id, &message.progress));
    }
    for row in &trace.room_events {
        let (at, source) = reported_or(row.at, row.received_at);
        entries.push(TimelineEntry::new(at, source, Subject::Room, &row.room_id, &row.r#type));
    }
    for row in &trace.events {
        let (id, what) = (row.event_id.to_string(), row.kind.as_deref().unwrap_or(&row.outcome));
        entries.push(TimelineEntry::new(
            row.received_at,
            Source::Received,
            Subject::Event,
            &id,
            what,
        ));
    }
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn statuses(
    subject: Subject,
    id: &str,
    progress: &Progress,
) -> impl Iterator<Item = TimelineEntry> {
    progress
        .times()
        .map(move |(status, at, source)| TimelineEntry::new(at, source, subject, id, status))
}

/// The time reported by Qontak, else the time of receipt.
fn reported_or(reported: Option<Timestamp>, received: Timestamp) -> (Timestamp, Source) {
    reported.map_or((received, Source::Received), |at| (at, Source::Body))
}

impl TimelineEntry {
    fn new(at: Timestamp, source: Source, subject: Subject, id: &str, what: &str) -> Self {
        Self { at, source, subject, id: id.to_owned(), what: what.to_owned() }
    }
}
