//! Parser of Qontak's bodies. The only place that knows Qontak's field names.
//!
//! No body is rejected: fields are read leniently ([`fields`]), and the decision list in
//! [`classify()`] determines the kind.

mod broadcast_log;
mod catalog_state;
mod changes;
mod classify;
mod delivery_error;
mod fields;
mod issues;
mod message;
mod room;
mod time;
mod value;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

pub use self::changes::changes;
pub use self::classify::{Class, EXPECTED_KIND, classify, is_handshake};
pub use self::fields::Fields;
pub use self::issues::{ParseIssues, ReadPaths};
pub use self::value::describe;
use crate::event::{BodyHash, Kind};
use crate::model::{EventId, Timestamp};

/// What all changes of one event share.
pub struct EventContext<'a> {
    /// Id of the event.
    pub event_id: EventId,
    /// Time of receipt.
    pub received_at: Timestamp,
    /// Organisation of the event; empty if unknown.
    pub organization_id: &'a str,
    /// Hash of the body.
    pub hash: BodyHash,
}

impl EventContext<'_> {
    /// The latest of these times, each as it counts for ordering.
    pub fn latest(&self, times: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
        times.into_iter().flatten().max().map(|time| time.ordering(self.received_at))
    }
}

/// Body that Qontak posts when a webhook URL is saved, and expects as the response.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Handshake {
    /// Any JSON, returned unchanged.
    // Not a `Value`, which would round long numbers.
    #[schema(value_type = Value)]
    pub verify_info: Box<RawValue>,
}

/// The organisation in a body.
pub fn organization_id(body: &Fields<'_>) -> Option<String> {
    let of_room = |fields: &Fields<'_>| fields.object("room")?.id("organization_id");
    let of_data = || {
        let data = body.object("data")?;
        data.id("organization_id").or_else(|| of_room(&data))
    };
    body.id("organization_id").or_else(|| of_room(body)).or_else(of_data)
}

/// Reason for an event without a usable subject id: where the id was expected, and what is there.
pub fn missing_subject(body: &Fields<'_>, kind: Kind) -> String {
    let (subject, paths) = match kind {
        Kind::RoomCreated | Kind::RoomResolved | Kind::RoomUpdated => ("room", room::ID_PATHS),
        kind => {
            let paths = if body.has_object("data") { &["id", "data.id"][..] } else { &["id"] };
            let is_log = kind == Kind::BroadcastLogStatus;
            (if is_log { "broadcast log" } else { "message" }, paths)
        }
    };
    let actual: Vec<String> = match paths {
        [path] => vec![format!("it is {}", body.describe(path))],
        paths => paths.iter().map(|path| format!("{path} is {}", body.describe(path))).collect(),
    };
    let (paths, actual) = (paths.join(", "), actual.join(", "));
    format!("{paths}: expected the {subject}'s id, {}, but {actual}", fields::ID)
}
