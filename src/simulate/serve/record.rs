//! The data of the organisation, computed from the bodies of its webhooks, and which of them receivers got.
//!
//! The state of a row is that of its newest body; what is known of it are the newest values of the bodies
//! that were delivered. The difference is what a receiver has to ask for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::page::millis;

type Fields = Map<String, Value>;

/// All rows by kind and id.
#[derive(Default)]
pub struct Records {
    /// Rooms, with all that their details show.
    pub rooms: BTreeMap<String, Record>,
    /// Messages of all rooms.
    pub messages: BTreeMap<String, Record>,
    /// Recipients of broadcasts.
    pub logs: BTreeMap<String, Record>,
    /// Number of bodies so far.
    sequence: u64,
}

/// A row.
#[derive(Default)]
pub struct Record {
    /// Its state.
    pub fields: Fields,
    /// Delivered values, each with the number of its body.
    known: BTreeMap<String, (u64, Value)>,
    known_statuses: BTreeSet<String>,
}

/// Something that a client has created.
pub struct Created {
    /// Its row.
    pub row: Value,
    /// Number of times that a client has asked for it.
    pub polls: u32,
}

/// What receivers lack.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Lacking {
    /// Number of rows.
    pub total: usize,
    /// Rows that no delivered body contains.
    pub missing: usize,
    /// Rows of which a value or status was not delivered.
    pub changed: usize,
}

/// Fields of a body that say which event it is.
const EVENT: [&str; 2] = ["data_event", "webhook_event"];

/// Fields that the list of rooms shows as they were when the room was created, or not at all.
pub const NOT_LISTED: [&str; 5] =
    ["updated_at", "resolved_at", "resolved_by_id", "resolved_by_type", "channel_uniq_id"];

#[derive(Clone, Copy)]
enum Kind {
    Room,
    Message,
    Log,
}

impl Records {
    /// Adds what a new body says. Returns its number.
    pub fn add(&mut self, body: &Value) -> u64 {
        self.sequence += 1;
        for (kind, fields, is_copy) in parts(body) {
            let Some(record) = self.record(kind, &fields) else { continue };
            for (name, value) in fields {
                if !is_copy && (!value.is_null() || !record.fields.contains_key(&name)) {
                    record.fields.insert(name, value);
                }
            }
        }
        self.sequence
    }

    /// Notes that the body with this number was delivered.
    pub fn deliver(&mut self, number: u64, body: &Value) {
        for (kind, fields, _) in parts(body) {
            let Some(record) = self.record(kind, &fields) else { continue };
            if let Some(status) = fields["status"].as_str() {
                record.known_statuses.insert(status.to_owned());
            }
            for (name, value) in fields {
                let known = record.known.entry(name).or_default();
                if !value.is_null() && known.0 <= number {
                    *known = (number, value);
                }
            }
        }
    }

    fn record(&mut self, kind: Kind, fields: &Fields) -> Option<&mut Record> {
        let id = fields.get("id")?.as_str()?.to_owned();
        let records = match kind {
            Kind::Room => &mut self.rooms,
            Kind::Message => &mut self.messages,
            Kind::Log => &mut self.logs,
        };
        Some(records.entry(id).or_default())
    }

    /// What receivers lack, by kind.
    pub fn lacking(&self) -> BTreeMap<&'static str, Lacking> {
        let count = |records: &BTreeMap<String, Record>, unlisted: &[&str]| {
            let mut count = Lacking { total: records.len(), ..Lacking::default() };
            for record in records.values() {
                if record.known.is_empty() {
                    count.missing += 1;
                } else if record.is_behind(unlisted) {
                    count.changed += 1;
                }
            }
            count
        };
        BTreeMap::from([
            ("room", count(&self.rooms, &NOT_LISTED)),
            ("message", count(&self.messages, &["status"])),
            ("broadcast_log", count(&self.logs, &[])),
        ])
    }
}

impl Record {
    /// Whether a value was not delivered, or not the current status.
    fn is_behind(&self, ignored: &[&str]) -> bool {
        let is_unknown = |(name, value): (&String, &Value)| {
            let known = self.known.get(name).map(|(_, value)| value);
            !value.is_null() && !ignored.contains(&name.as_str()) && known != Some(value)
        };
        let status = self.fields.get("status").and_then(Value::as_str).unwrap_or_default();
        self.fields.iter().any(is_unknown) || !self.known_statuses.contains(status)
    }

    /// A time of the row in milliseconds since 1970.
    pub fn at(&self, field: &str) -> i64 {
        self.fields.get(field).map_or(0, millis)
    }
}

/// The rows in a body, and whether each is a copy of less than the row.
fn parts(body: &Value) -> Vec<(Kind, Fields, bool)> {
    let Some(mut fields) = body.as_object().cloned() else { return Vec::new() };
    let event = fields.get("data_event").and_then(Value::as_str).unwrap_or_default().to_owned();
    fields.retain(|name, _| !EVENT.contains(&name.as_str()));
    let mut object = |name: &str| match fields.remove(name) {
        Some(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    match event.as_str() {
        "broadcast_log_status" => vec![(Kind::Log, fields, false)],
        "receive_message_from_customer" | "receive_message_from_agent" | "status_message" => {
            let room = object("room").map(|room| (Kind::Room, room, false));
            room.into_iter().chain([(Kind::Message, fields, false)]).collect()
        }
        _ => {
            let last = object("last_message").map(|last| (Kind::Message, last, true));
            last.into_iter().chain([(Kind::Room, fields, false)]).collect()
        }
    }
}
