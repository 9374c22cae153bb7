//! Decision list that determines the kind of a body.
//!
//! Qontak's bodies have no envelope. The event name is in one of four places; bodies from 2021 have
//! none, so their shape decides. A known name takes precedence over a shape; an unknown one does not:
//! a sender that renames an event must not hide the messages in it.

use super::fields::Fields;
use super::room::is_flat_room;
use crate::event::Kind;
use crate::model::Author;

/// Kind and name of a body.
#[derive(Debug, PartialEq)]
pub struct Class {
    /// `None` if neither name nor shape determines it.
    pub kind: Option<Kind>,
    /// Event name as Qontak sent it.
    pub name: Option<String>,
}

/// The decision list in words, for the reason of a body whose kind is unknown.
pub const EXPECTED_KIND: &str = "expected an event's name in data_event, in event_type or event \
     (beside the object data), in service_name with event_name or in webhook_event; or the fields of a message \
     (id; room_id or room; sender_type, participant_type or sender_id), of a room (id, channel and \
     channel_integration_id; or room.id) or of a broadcast log (messages_broadcast_id; \
     whatsapp_message_id, contact_phone_number or messages_response)";

/// Whether a body is the handshake, and not an event with a field of that name. A handshake may name
/// the category of the events to come.
pub fn is_handshake(body: &Fields<'_>) -> bool {
    const EVENT_FIELDS: [&str; 4] = ["id", "data_event", "event_type", "service_name"];
    body.has("verify_info")
        && !EVENT_FIELDS.iter().any(|key| body.has(key))
        && !(body.has("webhook_event") && shape(body).is_some())
}

/// Determines the kind of a body that is an object and no handshake.
pub fn classify(body: &Fields<'_>) -> Class {
    let name = name(body);
    let kind = match &name {
        Some(name) => {
            let kind = Kind::from_name(name).or_else(|| shape(&body.with_data()));
            Some(kind.unwrap_or(Kind::Unknown))
        }
        None => shape(body),
    };
    Class { kind, name }
}

/// Finds the event name.
fn name(body: &Fields<'_>) -> Option<String> {
    if let Some(name) = body.non_blank("data_event") {
        return Some(name);
    }
    if let Some(name) = body.non_blank("event_type")
        && body.object("data").is_some()
    {
        return Some(name);
    }
    // Other products have an `event` as well.
    if body.has_object("data")
        && let Some(name) = body.non_blank("event")
        && (Kind::from_name(&name).is_some() || shape(&body.with_data()).is_some())
    {
        return Some(name);
    }
    if let (Some(service), Some(event)) =
        (body.non_blank_str("service_name"), body.non_blank_str("event_name"))
    {
        return Some(format!("{}_{}", service.trim(), event.trim()));
    }
    let category = body.non_blank_str("webhook_event")?;
    match category.trim().to_ascii_lowercase().as_str() {
        "waba_interaction" => Some(Kind::StatusTemplate.as_str().to_owned()),
        // Categories of several events: the shape decides.
        "message_interaction" | "room_interaction" | "agent_responsibility" => None,
        // `custom_agent_allocation` and `available_user_status` name both a category and an event.
        _ => Some(category.into_owned()),
    }
}

/// Classifies a body without a known event name.
fn shape(body: &Fields<'_>) -> Option<Kind> {
    let any_of = |keys: [&str; 3]| keys.iter().any(|key| body.has(key));
    if body.id_str("messages_broadcast_id").is_some()
        && any_of(["whatsapp_message_id", "contact_phone_number", "messages_response"])
    {
        return Some(Kind::BroadcastLogStatus);
    }
    let room = body.object("room");
    if body.id_str("id").is_some()
        && (body.has("room_id") || room.is_some())
        && any_of(["sender_type", "participant_type", "sender_id"])
    {
        return Some(message_shape(body));
    }
    if is_flat_room(body) || room.is_some_and(|room| room.id_str("id").is_some()) {
        return Some(Kind::RoomUpdated);
    }
    None
}

fn message_shape(body: &Fields<'_>) -> Kind {
    let status = body.non_blank_str("status");
    let is_new = status.is_none_or(|status| status.trim().eq_ignore_ascii_case("created"));
    match super::message::author(body) {
        Some(Author::Customer) if is_new => Kind::ReceiveMessageFromCustomer,
        Some(Author::Agent | Author::Bot) if is_new => Kind::ReceiveMessageFromAgent,
        _ => Kind::StatusMessage,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::issues::ParseIssues;
    use super::*;
    use crate::ingest::json::Object;
    use crate::model::Timestamp;

    fn class(body: &Value) -> (Option<&'static str>, Option<String>) {
        let issues = ParseIssues::new(Timestamp::now());
        let body = body.to_string();
        let class = classify(&Fields::of_body(Object::new(&body).unwrap(), &issues));
        (class.kind.map(Kind::as_str), class.name)
    }

    #[test]
    fn name_takes_precedence_over_shape() {
        let body = json!({
            "data_event": " Status_Message ", "event_type": "room_resolved", "data": {},
            "id": "1", "channel": "wa", "channel_integration_id": "2",
        });
        assert_eq!(class(&body), (Some("status_message"), Some(" Status_Message ".into())));
    }

    #[test]
    fn event_type_is_a_name_only_with_data() {
        let body = json!({"event_type": "room_resolved", "data": {"room_id": "r"}});
        assert_eq!(class(&body).0, Some("room_resolved"));
        assert_eq!(class(&json!({"event_type": "room_resolved"})).0, None);
    }

    #[test]
    fn event_is_a_name_only_beside_data_that_fits() {
        let message = json!({"id": "m", "room_id": "r", "sender_type": "Models::Contact"});
        let cases = [
            (json!({"event": "status_message", "data": {"id": "m"}}), Some("status_message")),
            (json!({"event": "renamed", "data": message}), Some("receive_message_from_customer")),
            (json!({"event": "deal.updated", "data": {"id": 7}}), None),
            (json!({"event": "status_message"}), None),
        ];
        for (body, expected) in cases {
            let class = class(&body);
            assert_eq!(class.0, expected, "{body}");
            assert_eq!(class.1.is_some(), expected.is_some(), "{body}");
        }
    }

    #[test]
    fn unknown_name_beside_data_is_classified_by_the_shape_of_data() {
        let log = json!({"id": "l", "messages_broadcast_id": "b", "messages_response": {}});
        let body = json!({"event_type": "blast_status", "data": log});
        assert_eq!(class(&body), (Some("broadcast_log_status"), Some("blast_status".into())));
        // Without a name it is not Qontak's envelope.
        assert_eq!(class(&json!({"data": log})).0, None);
    }

    #[test]
    fn service_name_and_event_name_form_a_name() {
        let body = json!({"service_name": "room", "event_name": "resolved", "room": {"id": "r"}});
        assert_eq!(class(&body), (Some("room_resolved"), Some("room_resolved".into())));
    }

    #[test]
    fn category_of_a_single_event_is_a_name() {
        let template = json!({"webhook_event": "waba_interaction"});
        assert_eq!(class(&template).0, Some("status_template"));
        let allocation = json!({"webhook_event": "custom_agent_allocation", "id": "r"});
        assert_eq!(class(&allocation).0, Some("custom_agent_allocation"));
        assert_eq!(class(&json!({"webhook_event": "room_interaction"})).0, None);
    }

    #[test]
    fn body_with_an_unknown_name_is_classified_by_shape_and_keeps_the_name() {
        let named = |mut body: Value| {
            body["data_event"] = json!("Renamed");
            class(&body)
        };
        let name = || Some("Renamed".to_owned());
        let room = json!({"id": "r", "channel": "wa", "type": "Models::CustomerServiceRoom"});
        assert_eq!(named(room), (Some("room_updated"), name()));
        let message = json!({"id": "m", "room_id": "r", "sender_type": "Models::Contact"});
        assert_eq!(named(message), (Some("receive_message_from_customer"), name()));
        let log = json!({"id": "l", "messages_broadcast_id": "b", "contact_phone_number": "62"});
        assert_eq!(named(log), (Some("broadcast_log_status"), name()));
        assert_eq!(named(json!({"room": {"id": "r"}})), (Some("room_updated"), name()));
        assert_eq!(named(json!({"id": "m", "room_id": "r"})), (Some("unknown"), name()));
    }

    #[test]
    fn bodies_without_a_name_are_classified_by_shape() {
        let message = |status: Value, participant: &str| {
            json!({
                "id": "m", "room_id": "r", "status": status, "participant_type": participant,
            })
        };
        let cases = [
            (message(json!("created"), "customer"), Some("receive_message_from_customer")),
            (message(json!(null), "bot"), Some("receive_message_from_agent")),
            (message(json!("read"), "agent"), Some("status_message")),
            (message(json!("created"), "ghost"), Some("status_message")),
            (
                json!({"messages_broadcast_id": "b", "contact_phone_number": null}),
                Some("broadcast_log_status"),
            ),
            (json!({"room": {"id": "r"}}), Some("room_updated")),
            (json!({"id": "m", "status": "read"}), None),
            (json!({"entry": [], "statuses": []}), None),
        ];
        for (body, expected) in cases {
            assert_eq!(class(&body).0, expected, "{body}");
        }
    }
}
