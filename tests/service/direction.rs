//! Direction of messages whose sender is missing or of an unknown type.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::funnel::post_all;
use super::harness::{ORGANIZATION, Service};

const DAY: &str = "start_date=2025-06-12&end_date=2025-06-12";

/// Event `kind` of message `m` with this status and these fields.
fn event(kind: &str, status: &str, more: Value) -> Value {
    let mut body = json!({"data_event": kind, "id": "m", "room_id": "r", "type": "text",
        "organization_id": ORGANIZATION, "text": "halo", "status": status, "sender_id": "s",
        "created_at": "2025-06-12T02:00:00Z", "room": {"id": "r", "channel": "wa_cloud"}});
    let Value::Object(more) = more else { panic!("not an object") };
    body.as_object_mut().unwrap().extend(more);
    body
}

/// A room whose last message is `m`.
fn embedded(more: Value) -> Value {
    let mut last_message = event("", "created", more);
    for name in ["room", "data_event", "room_id"] {
        last_message.as_object_mut().unwrap().remove(name);
    }
    json!({"id": "r", "type": "Models::CustomerServiceRoom", "channel": "wa_cloud",
        "organization_id": ORGANIZATION, "last_message": last_message})
}

/// What the API says of message `m`: its direction; the values of filter `direction` that find it;
/// the number of its delivery statuses; messages in, out, by agents and by others in the statistics.
async fn seen(service: &Service) -> (Value, String, usize, [i64; 4]) {
    let direction = service.data("/v1/messages/m").await["direction"].take();
    let mut found = Vec::new();
    for filter in ["in", "out", "customer", "agent", "bot"] {
        let rows = service.data(&format!("/v1/messages?{DAY}&direction={filter}")).await;
        if rows != json!([]) {
            found.push(filter);
        }
    }
    let deliveries = service.data(&format!("/v1/delivery-statuses?{DAY}")).await;
    let counts = service.data(&format!("/v1/stats?{DAY}")).await["messages"].take();
    let sum = |name: &str| -> i64 {
        counts.as_array().unwrap().iter().map(|row| row[name].as_i64().unwrap()).sum()
    };
    let counts = ["in", "out", "out_agent", "out_bot"].map(sum);
    (direction, found.join(" "), deliveries.as_array().unwrap().len(), counts)
}

fn incoming() -> (Value, String, usize, [i64; 4]) {
    (json!("in"), "in customer".to_owned(), 0, [1, 0, 0, 0])
}

fn by_agent() -> (Value, String, usize, [i64; 4]) {
    (json!("out"), "out agent".to_owned(), 1, [0, 1, 1, 0])
}

/// Outgoing, of an unknown author.
fn outgoing() -> (Value, String, usize, [i64; 4]) {
    (json!("out"), "out".to_owned(), 1, [0, 1, 0, 1])
}

fn unknown() -> (Value, String, usize, [i64; 4]) {
    (Value::Null, String::new(), 0, [0; 4])
}

#[sqlx::test]
async fn message_with_an_unknown_participant_type_is_the_senders(db: PgPool) {
    let service = Service::start(db).await;
    for participant in ["supervisor", "admin", "internal", "system", " Owner ", "none"] {
        for (sender, expected, r#type) in [
            (json!("Models::User"), by_agent(), json!("agent")),
            (json!("Models::Contact"), incoming(), json!("customer")),
        ] {
            service.execute("truncate event, message, sender, room").await;
            let more = json!({"participant_type": participant, "sender_type": sender});
            post_all(&service, [event("status_message", "created", more)]).await;
            assert_eq!(seen(&service).await, expected, "{participant} {sender}");
            let message = service.data("/v1/messages/m").await;
            let shown = participant.trim().to_lowercase();
            assert_eq!(message["participant_type"], shown);
            assert_eq!(service.data("/v1/senders/s").await["type"], r#type, "{participant}");
        }
    }
}

#[sqlx::test]
async fn message_of_an_unknown_sender_follows_the_event_name_or_the_status(db: PgPool) {
    let service = Service::start(db).await;
    let senders = [
        json!({}),
        json!({"sender_type": "Models::Robot"}),
        json!({"participant_type": "supervisor"}),
        json!({"participant_type": "system", "sender_type": "Models::Robot"}),
        json!({"participant_type": null, "sender_type": "", "sender_id": null}),
    ];
    let cases = [
        ("receive_message_from_agent", "created", outgoing()),
        ("receive_message_from_customer", "created", incoming()),
        // Read by an agent.
        ("receive_message_from_customer", "read", incoming()),
        ("status_message", "created", unknown()),
        ("status_message", "warning", unknown()),
        ("status_message", "pending", outgoing()),
        ("status_message", "sent", outgoing()),
        ("status_message", "delivered", outgoing()),
        ("status_message", "read", outgoing()),
        ("status_message", "Played", outgoing()),
        ("status_message", "failed", outgoing()),
        ("renamed", "failed", outgoing()),
    ];
    for more in senders {
        for (kind, status, expected) in &cases {
            service.execute("truncate event, message, sender, room").await;
            post_all(&service, [event(kind, status, more.clone())]).await;
            assert_eq!(seen(&service).await, *expected, "{kind} {status} {more}");
            let shown = service.data("/v1/messages/m").await["participant_type"].take();
            match more["participant_type"].as_str() {
                Some(participant) => assert_eq!(shown, participant),
                None => assert_eq!(shown.is_null(), !kind.ends_with("customer"), "{shown}"),
            }
        }
    }
}

#[sqlx::test]
async fn embedded_message_without_a_sender_has_no_direction_until_another_event_tells(db: PgPool) {
    let service = Service::start(db).await;
    post_all(&service, [embedded(json!({}))]).await;
    assert_eq!(seen(&service).await, unknown());
    post_all(&service, [event("status_message", "sent", json!({}))]).await;
    assert_eq!(seen(&service).await, outgoing());
    let more = json!({"sender_type": "Models::User"});
    post_all(&service, [event("status_message", "sent", more)]).await;
    assert_eq!(seen(&service).await, by_agent());
    service.execute("truncate event, message, sender, room").await;
    post_all(&service, [embedded(json!({"status": "read"}))]).await;
    assert_eq!(seen(&service).await, outgoing());
}

#[sqlx::test]
async fn event_that_knows_the_sender_wins_in_any_order(db: PgPool) {
    let service = Service::start(db).await;
    let supervisor = json!({"participant_type": "supervisor"});
    let cases = [
        (
            vec![
                event("status_message", "read", json!({})),
                event("status_message", "created", json!({"participant_type": "customer"})),
                embedded(json!({})),
            ],
            incoming(),
        ),
        (
            vec![
                event("receive_message_from_customer", "created", json!({})),
                event("status_message", "read", json!({"sender_type": "Models::Robot"})),
                // In the alphabet after `customer`.
                event("status_message", "created", supervisor.clone()),
            ],
            incoming(),
        ),
        (
            vec![
                event("receive_message_from_agent", "created", supervisor),
                event("status_message", "delivered", json!({"participant_type": "agent"})),
                embedded(json!({"participant_type": "tamu"})),
            ],
            by_agent(),
        ),
        (
            vec![
                event("receive_message_from_agent", "created", json!({})),
                embedded(json!({})),
                event("status_message", "created", json!({"participant_type": "internal"})),
            ],
            outgoing(),
        ),
    ];
    for (bodies, expected) in cases {
        let mut state = None;
        for turn in 0..6 {
            let mut bodies = bodies.clone();
            bodies.rotate_left(turn % 3);
            if turn > 2 {
                bodies.reverse();
            }
            bodies.push(bodies[0].clone());
            service.execute("truncate event, message, sender, room").await;
            post_all(&service, bodies).await;
            assert_eq!(seen(&service).await, expected, "turn {turn}");
            let messages = service.state().await.remove("message");
            assert_eq!(*state.get_or_insert_with(|| messages.clone()), messages, "turn {turn}");
        }
    }
}

#[sqlx::test]
async fn corrected_sender_replaces_an_earlier_one_in_any_order(db: PgPool) {
    let service = Service::start(db).await;
    let report = |second: u8, participant: Value| {
        let room = json!({"id": "r", "channel": "wa_cloud",
            "updated_at": format!("2025-06-12T03:00:0{second}Z")});
        let more = json!({"participant_type": participant, "room": room});
        event("status_message", "sent", more)
    };
    let bodies = [
        report(1, json!("customer")),
        report(2, json!("bot")),
        // Say nothing of the author.
        report(3, json!("supervisor")),
        report(4, Value::Null),
    ];
    let by_bot = (json!("out"), "out bot".to_owned(), 1, [0, 1, 0, 1]);
    for turn in 0..8 {
        let mut bodies = bodies.to_vec();
        bodies.rotate_left(turn % 4);
        if turn > 3 {
            bodies.reverse();
        }
        bodies.push(bodies[0].clone());
        service.execute("truncate event, message, sender, room").await;
        post_all(&service, bodies).await;
        assert_eq!(seen(&service).await, by_bot, "turn {turn}");
        let message = service.data("/v1/messages/m").await;
        assert_eq!(message["participant_type"], "supervisor", "turn {turn}");
    }
}
