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
    /// Organisation of the row; null when unknown.
    organization_id: Option<String>,
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

/// A traced row: kind, id and organisation.
#[derive(Clone, Copy)]
struct Row<'a>(Subject, &'a str, &'a Option<String>);

/// Merges everything that happened to the rows of a trace, oldest first.
pub fn of(trace: &Trace) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    for row in &trace.broadcasts {
        let (at, source) = reported_or(row.created_at, row.at);
        let traced = Row(Subject::Broadcast, &row.id, &row.organization_id);
        entries.push(TimelineEntry::new(at, source, traced, "created"));
    }
    for log in &trace.logs {
        let traced = Row(Subject::Log, &log.row.id, &log.row.organization_id);
        entries.extend(statuses(traced, &log.progress));
    }
    for message in &trace.messages {
        let traced = Row(Subject::Message, &message.row.id, &message.row.organization_id);
        entries.extend(statuses(traced, &message.progress));
    }
    for row in &trace.room_events {
        let (at, source) = reported_or(row.at, row.received_at);
        let traced = Row(Subject::Room, &row.room_id, &row.organization_id);
        entries.push(TimelineEntry::new(at, source, traced, &row.r#type));
    }
    for row in &trace.events {
        let (id, what) = (row.event_id.to_string(), row.kind.as_deref().unwrap_or(&row.outcome));
        let traced = Row(Subject::Event, &id, &row.organization_id);
        entries.push(TimelineEntry::new(row.received_at, Source::Received, traced, what));
    }
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn statuses<'a>(row: Row<'a>, progress: &'a Progress) -> impl Iterator<Item = TimelineEntry> + 'a {
    progress.times().map(move |(status, at, source)| TimelineEntry::new(at, source, row, status))
}

/// The time reported by Qontak, else the time of receipt.
fn reported_or(reported: Option<Timestamp>, received: Timestamp) -> (Timestamp, Source) {
    reported.map_or((received, Source::Received), |at| (at, Source::Body))
}

impl TimelineEntry {
    fn new(at: Timestamp, source: Source, row: Row<'_>, what: &str) -> Self {
        let Row(subject, id, organization_id) = row;
        let (id, organization_id) = (id.to_owned(), organization_id.clone());
        Self { at, source, subject, id, organization_id, what: what.to_owned() }
    }
}
