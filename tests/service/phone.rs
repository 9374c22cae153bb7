//! Phone numbers: every spelling finds a number, and what is no number is not shown as one.

use axum::http::StatusCode;
use qontak_receiver::store::search;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::funnel::{log, post_all};
use super::harness::{KEY_OF_ORGANIZATION, ORGANIZATION, Service};

/// Spellings of one number, as contact lists contain them and people paste them.
const SPELLINGS: [&str; 21] = [
    "6281277770007",
    "+6281277770007",
    "081277770007",
    "81277770007",
    "006281277770007",
    "6208127777 0007",
    "062 812 7777 0007",
    "+62 812-7777-0007",
    "+62 (0)812 7777 0007",
    "(0812) 7777-0007",
    "0812.7777.0007",
    "0812/7777/0007 ",
    "'081277770007",
    "6281277770007.0",
    "6281277770007,0",
    "tel:+62-812-7777-0007",
    "6281277770007@c.us",
    "6281277770007@s.whatsapp.net",
    "\u{202a}+62 812\u{2011}7777\u{2011}0007\u{202c}",
    "\u{feff}0812\u{a0}7777\u{200b}0007",
    "０８１２ ７７７７ ０００７",
];

/// Texts that Qontak sends in place of a number.
const OTHERS: [&str; 9] = [
    "ID.13491208655302741918",
    "13491208655302741918",
    "123456789012345@lid",
    "120363041234567890@g.us",
    "siti@example.com",
    "081277770007@example.com",
    "62812****0001",
    "62812xxxx0001",
    "siti.rahma",
];

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Log `n` with this contact.
fn log_to(n: usize, contact: impl Into<Value>) -> Value {
    let mut body = log(&format!("log-{n:02}"), "sent", &[]);
    body["contact_phone_number"] = contact.into();
    body
}

/// Message of an agent in room `n`, whose contact has this account.
fn message_to(n: usize, account: &str, channel: &str) -> Value {
    json!({"data_event": "receive_message_from_agent", "id": format!("m{n:02}"), "type": "text",
        "organization_id": ORGANIZATION, "room_id": format!("room-{n:02}"), "status": "created",
        "participant_type": "agent", "created_at": "2025-06-12T02:00:00Z", "text": "ok",
        "room": {"id": format!("room-{n:02}"), "channel": channel, "account_uniq_id": account}})
}

/// Sorted ids at this pointer of the rows.
fn ids(rows: &Value, field: &str) -> Vec<String> {
    let ids = rows.as_array().unwrap().iter().filter_map(|row| row[field].as_str());
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort();
    ids
}

#[sqlx::test]
async fn every_spelling_finds_every_spelling_of_a_number(db: PgPool) {
    search::sync_indexes(&db, true).await.unwrap();
    let service = Service::start(db).await;
    for (n, spelling) in SPELLINGS.iter().enumerate() {
        post_all(&service, [log_to(n, *spelling), message_to(n, spelling, "wa_cloud")]).await;
    }
    // JSON of a spreadsheet.
    post_all(&service, [log_to(21, json!(6_281_277_770_007_u64))]).await;
    post_all(&service, [log_to(22, json!(6_281_277_770_007.0_f64))]).await;
    // Another number.
    post_all(&service, [log_to(99, "6281277770008"), message_to(99, "6281277770008", "wa")]).await;
    let logs: Vec<String> = (0..23).map(|n| format!("log-{n:02}")).collect();
    let rooms: Vec<String> = (0..21).map(|n| format!("room-{n:02}")).collect();
    for spelling in SPELLINGS {
        let number = encode(spelling);
        let found = service.data(&format!("/v1/delivery-statuses?limit=100&phone={number}")).await;
        assert_eq!(ids(&found, "log_id"), logs, "{spelling}");
        assert_eq!(ids(&found, "room_id"), rooms, "{spelling}");
        for name in ["account_uniq_id", "q"] {
            let found = service.data(&format!("/v1/rooms?limit=100&{name}={number}")).await;
            assert_eq!(ids(&found, "id"), rooms, "{name}={spelling}");
        }
        let found = service.data(&format!("/api/open/v1/rooms?limit=100&query={number}")).await;
        assert_eq!(ids(&found, "id"), rooms, "{spelling}");
        let trace = service.data(&format!("/v1/trace/{number}")).await;
        assert_eq!(ids(&trace["logs"], "id"), logs, "{spelling}");
        assert_eq!(ids(&trace["rooms"], "id"), rooms, "{spelling}");
    }
    // The text as sent is shown.
    let shown = service.data("/v1/rooms/room-07").await;
    assert_eq!(shown["account_uniq_id"], SPELLINGS[7]);
    let shown = service.data("/v1/broadcasts/b/logs?limit=100").await;
    let shown: Vec<String> = ids(&shown, "contact_phone_number");
    assert!(shown.contains(&SPELLINGS[7].to_owned()), "{shown:?}");
}

#[sqlx::test]
async fn message_search_finds_a_number_in_the_usual_spellings(db: PgPool) {
    search::sync_indexes(&db, true).await.unwrap();
    let service = Service::start(db).await;
    let texts = [
        "hubungi 081277770007",
        "WA +6281277770007 ya",
        "ke 0812-7777-0007, makasih",
        "ke +62 812-7777-0007",
        "wa.me/6281277770007",
        "0812 777 70007",
        // Parts of it, and other numbers.
        "0812-7777-0008",
        "0007 7777",
        "081277770",
    ];
    for (n, text) in texts.iter().enumerate() {
        let mut body = message_to(n, "1", "wa_cloud");
        body["text"] = (*text).into();
        post_all(&service, [body]).await;
    }
    for spelling in SPELLINGS {
        let found = service.data(&format!("/v1/messages?q={}", encode(spelling))).await;
        assert_eq!(ids(&found, "id"), ["m00", "m01", "m02", "m03", "m04", "m05"], "{spelling}");
    }
}

#[sqlx::test]
async fn number_of_another_country_is_found_with_and_without_its_plus(db: PgPool) {
    let service = Service::start(db).await;
    for (n, text) in ["819012345678", "+819012345678", "0081 90-1234-5678"].iter().enumerate() {
        post_all(&service, [log_to(n, *text), message_to(n, text, "wa_cloud")]).await;
    }
    for query in ["%2B819012345678", "+81 90-1234-5678", "819012345678"] {
        let path = format!("/v1/delivery-statuses?phone={}", query.replace(' ', "%20"));
        let found = service.data(&path).await;
        assert_eq!(found.as_array().unwrap().len(), 6, "{query}");
    }
}

#[sqlx::test]
async fn what_is_no_phone_number_is_shown_as_another_id(db: PgPool) {
    let service = Service::start(db).await;
    for (n, text) in OTHERS.iter().enumerate() {
        post_all(&service, [log_to(n, *text), message_to(n, text, "wa_cloud")]).await;
        let (null, text) = (Value::Null, json!(text));
        let deliveries = service.data("/v1/delivery-statuses?limit=100").await;
        let deliveries = deliveries.as_array().unwrap().iter();
        let shown: Vec<_> = deliveries
            .filter(|row| row["contact_id"] == text)
            .map(|row| &row["contact_phone_number"])
            .collect();
        assert_eq!(shown, [&null, &null], "{text}");
        let logs = service.data("/v1/broadcasts/b/logs?limit=100").await;
        let log = logs.as_array().unwrap().iter().find(|log| log["contact_id"] == text).unwrap();
        assert_eq!(log["contact_phone_number"], null, "{text}");
        // Qontak has one field for both.
        let logs = service.data("/api/open/v1/broadcasts/b/whatsapp/log?limit=100").await;
        assert!(ids(&logs, "contact_phone_number").contains(&text.as_str().unwrap().to_owned()));

        let id = encode(text.as_str().unwrap());
        let trace = service.data(&format!("/v1/trace/{id}")).await;
        assert_eq!(ids(&trace["logs"], "id"), [format!("log-{n:02}")], "{text}");
        assert_eq!(ids(&trace["rooms"], "id"), [format!("room-{n:02}")], "{text}");
        assert_eq!(trace["logs"][0]["contact_id"], text);
        let rooms = service.data(&format!("/v1/rooms?account_uniq_id={id}")).await;
        assert_eq!(ids(&rooms, "id"), [format!("room-{n:02}")], "{text}");
        assert_eq!(rooms[0]["account_uniq_id"], text);
        let response = service.get(&format!("/v1/delivery-statuses?phone={id}")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
    }
    let csv = service.get_with(KEY_OF_ORGANIZATION, "/v1/delivery-statuses?format=csv").await;
    let csv = String::from_utf8(csv.bytes).unwrap();
    assert!(csv.lines().next().unwrap().contains(",contact_id,"), "{csv}");
}

#[sqlx::test]
async fn account_of_another_channel_is_no_phone_number(db: PgPool) {
    let service = Service::start(db).await;
    let channels = ["wa", "wa_cloud", "WA_Cloud", "telegram", "web_chat", "ig"];
    for (n, channel) in channels.iter().enumerate() {
        post_all(&service, [message_to(n, "6281277770007", channel)]).await;
    }
    let rows = service.data("/v1/delivery-statuses").await;
    let number = "6281277770007";
    assert_eq!(ids(&rows, "contact_phone_number"), [number; 3]);
    assert_eq!(ids(&rows, "contact_id"), [number; 3]);
}

#[sqlx::test]
async fn log_keeps_number_and_other_id_in_any_order(db: PgPool) {
    let service = Service::start(db).await;
    // In the order of WhatsApp's clock.
    let bodies = || {
        let contacts = [
            json!("ID.3"),
            json!("0813-7777-0008"),
            json!("ID.2"),
            json!("0812-7777-0007"),
            Value::Null,
            json!("n/a"),
        ];
        contacts.into_iter().enumerate().map(|(second, contact)| {
            let mut body = log_to(0, contact);
            body["messages_response"] =
                json!({"sent": {"statuses": [{"timestamp": 1_749_690_000 + second}]}});
            body
        })
    };
    let mut states = Vec::new();
    for turn in 0..12 {
        service.execute("truncate event, broadcast_log, broadcast").await;
        let mut bodies: Vec<Value> = bodies().collect();
        bodies.rotate_left(turn % 6);
        if turn > 5 {
            bodies.reverse();
        }
        post_all(&service, bodies).await;
        let rows = service.data("/v1/delivery-statuses?phone=6281277770007").await;
        assert_eq!(rows[0]["contact_phone_number"], "0812-7777-0007");
        assert_eq!(rows[0]["contact_id"], "ID.2");
        states.push(service.state().await.remove("broadcast_log"));
    }
    assert!(states.iter().all(|state| *state == states[0]), "{states:?}");
}

#[sqlx::test]
async fn room_is_found_by_its_newest_account_in_any_order(db: PgPool) {
    let service = Service::start(db).await;
    let snapshot = |at: &str, account: Value| {
        let mut body = message_to(0, "", "wa_cloud");
        body["room"]["account_uniq_id"] = account;
        body["room"]["updated_at"] = format!("2025-06-12T02:00:0{at}Z").into();
        body
    };
    let bodies = [
        snapshot("1", json!("0812-7777-0007")),
        snapshot("2", json!("0812 7777 0008")),
        snapshot("3", Value::Null),
    ];
    for turn in 0..6 {
        service.execute("truncate event, room, message").await;
        let mut bodies = bodies.to_vec();
        bodies.rotate_left(turn % 3);
        if turn > 2 {
            bodies.reverse();
        }
        post_all(&service, bodies).await;
        let rooms = service.data("/v1/rooms?account_uniq_id=6281277770008").await;
        assert_eq!(ids(&rooms, "account_uniq_id"), ["0812 7777 0008"]);
        let rooms = service.data("/v1/rooms?account_uniq_id=6281277770007").await;
        assert_eq!(rooms, json!([]));
    }
}

#[sqlx::test]
async fn unusable_phone_parameter_is_rejected_with_the_expected_form(db: PgPool) {
    let service = Service::start(db).await;
    let expected = "phone: must be a phone number of 8 to 15 digits (6281234567890, 0812…)";
    for text in ["12", "1234567", "1234567890123456", "+", "0812x7777", "62812****0001", "siti"] {
        let response = service.get(&format!("/v1/delivery-statuses?phone={}", encode(text))).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        assert_eq!(response.json()["error"]["messages"], json!([expected]), "{text}");
    }
}
