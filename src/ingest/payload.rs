//! What does a body of Qontak's say? The only place that knows Qontak's field names.
//!
//! Nothing here refuses a body: fields are read leniently ([`fields`]), and what a body *is*
//! follows from the decision list in [`classify()`].

mod broadcast_log;
mod changes;
mod classify;
mod fields;
mod message;
mod room;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use self::changes::changes;
pub use self::classify::{Class, TELLING, classify};
pub use self::fields::{Fields, ParseIssues, found};
use crate::event::{BodyHash, Kind};
use crate::model::{EventId, Timestamp};

/// What everything read from one body has in common.
pub struct EventContext<'a> {
    /// The event that the body becomes.
    pub event_id: EventId,
    /// When it was received.
    pub received_at: Timestamp,
    /// The organisation it belongs to; empty when unknown.
    pub organization_id: &'a str,
    /// Hash of the body.
    pub hash: BodyHash,
}

/// What Qontak posts when a webhook's URL is saved, and wants back.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Handshake {
    /// Any JSON; kept as it is written, for a number may have more digits than a type.
    #[schema(value_type = Value)]
    pub verify_info: Box<RawValue>,
}

/// Whether a body is the handshake and not an event that happens to have such a field.
pub fn is_handshake(body: &Map<String, Value>) -> bool {
    const OF_EVENTS: [&str; 5] =
        ["id", "data_event", "webhook_event", "event_type", "service_name"];
    body.contains_key("verify_info") && !OF_EVENTS.iter().any(|key| body.contains_key(*key))
}

/// The organisation that a body names.
pub fn organization_id(body: &Fields<'_>) -> Option<String> {
    let of_room = |fields: &Fields<'_>| fields.object("room")?.id("organization_id");
    let of_data = || {
        let data = body.object("data")?;
        data.id("organization_id").or_else(|| of_room(&data))
    };
    body.id("organization_id").or_else(|| of_room(body)).or_else(of_data)
}

/// Where the id of what an event of this kind is about was looked for in vain, and what is there.
pub fn missing_subject(body: &Fields<'_>, kind: Kind) -> String {
    let (subject, paths) = match kind {
        Kind::RoomCreated | Kind::RoomResolved | Kind::RoomUpdated => ("room", room::ID_PATHS),
        Kind::BroadcastLogStatus => ("broadcast log", &["id"][..]),
        _ => ("message", &["id"][..]),
    };
    let found: Vec<String> = match paths {
        [path] => vec![format!("it is {}", body.found(path))],
        paths => paths.iter().map(|path| format!("{path} is {}", body.found(path))).collect(),
    };
    let (paths, found) = (paths.join(", "), found.join(", "));
    format!("{paths}: expected the {subject}'s id, {}, but {found}", fields::ID)
}
