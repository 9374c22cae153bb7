//! Snapshots of the events that the fixtures are normalized to.

use qontak_receiver::event::Event;
use qontak_receiver::ingest::normalize::{Normalized, normalize};
use qontak_receiver::model::{EventId, Timestamp};
use serde_json::json;

use super::bodies::received;
use super::fixtures::ALL;

/// The event of a body; none for a handshake.
fn event(body: Vec<u8>) -> Option<Event> {
    let received_at = Timestamp::parse("2025-06-13T00:00:00Z").unwrap();
    match normalize(received(body, received_at)) {
        Normalized::Handshake(_) => None,
        Normalized::Event(event) => Some(*event),
    }
}

#[test]
fn every_fixture_normalizes_to_its_snapshot() {
    for fixture in &ALL {
        let Some(mut event) = event(fixture.body()) else {
            continue;
        };
        // The only value that differs between runs.
        for room_event in &mut event.changes.room_events {
            room_event.event_id = EventId(uuid::Uuid::nil());
        }
        for state in &mut event.changes.catalog_states {
            state.event_id = EventId(uuid::Uuid::nil());
        }
        let name = fixture.file.split('.').next().unwrap();
        let normalized = json!({
            "kind": event.kind.map(|kind| kind.as_str()),
            "name": event.name,
            "organization_id": event.organization_id,
            "subject_id": event.subject_id,
            "outcome": event.outcome,
            "reasons": event.reasons,
            "changes": event.changes,
        });
        insta::assert_json_snapshot!(name, normalized);
    }
}

#[test]
fn truncated_or_corrupted_fixtures_do_not_panic() {
    for fixture in &ALL {
        let body = fixture.body();
        for end in (0..body.len()).step_by(7) {
            event(body[..end].to_vec());
            let mut flipped = body.clone();
            flipped[end] ^= 0x15;
            event(flipped);
        }
    }
}
