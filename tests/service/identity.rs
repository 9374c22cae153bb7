//! What is one message and what is one delivery: equal ids at the channel, unknown organisations.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::funnel::{log, post_all};
use super::harness::{KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, ORGANIZATION, Service, TRUNCATE_ALL};
use super::read::read_all_pages;

/// Status of an agent's message with this id at the channel.
fn message(id: &str, external_id: &str, status: &str) -> Value {
    json!({"data_event": "status_message", "id": id, "status": status, "room_id": "r",
        "participant_type": "agent", "organization_id": ORGANIZATION, "external_id": external_id,
        "created_at": "2025-06-12T01:00:00Z"})
}

async fn deliveries(service: &Service, query: &str) -> Vec<Value> {
    let rows = service.data(&format!("/v1/delivery-statuses?{query}")).await;
    rows.as_array().unwrap().clone()
}

#[sqlx::test]
async fn messages_with_one_id_at_the_channel_are_one_delivery_with_all_statuses(db: PgPool) {
    let service = Service::start(db).await;
    let mut of_another = message("other", "wamid.1", "sent");
    of_another["organization_id"] = "another-organization".into();
    let messages = [
        message("m1", "wamid.1", "sent"),
        message("m2", "wamid.1", "delivered"),
        message("m3", "wamid.1", "created"),
        message("equal1", "wamid.2", "sent"),
        message("equal2", "wamid.2", "sent"),
        message("alone", "wamid.3", "sent"),
        message("unsent1", "", "created"),
        message("unsent2", "", "created"),
        of_another,
    ];
    post_all(&service, messages).await;
    let ids = |rows: &[Value]| {
        let mut ids: Vec<_> =
            rows.iter().map(|row| row["message_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let all = deliveries(&service, "").await;
    assert_eq!(ids(&all), ["alone", "equal1", "m2", "other", "unsent1", "unsent2"]);
    let joined = all.iter().find(|row| row["message_id"] == "m2").unwrap();
    assert_eq!(joined["status"], "delivered");
    assert_eq!(joined["implied"], json!([]));
    assert!(joined["status_times"]["sent"]["at"].is_string());
    for (status, expected) in [
        ("created", &["unsent1", "unsent2"][..]),
        ("sent", &["alone", "equal1", "other"]),
        ("delivered", &["m2"]),
    ] {
        let rows = deliveries(&service, &format!("status={status}")).await;
        assert_eq!(ids(&rows), expected, "{status}");
    }
    for limit in 1..=4 {
        let (forward, backward) =
            read_all_pages(&service, &format!("/v1/delivery-statuses?limit={limit}")).await;
        assert_eq!(forward, all, "{limit}");
        assert_eq!(backward, all, "{limit}");
    }

    // With a log they are its delivery, and count once wherever the log counts.
    let mut log = log("1", "sent", &[]);
    log["whatsapp_message_id"] = "wamid.1".into();
    post_all(&service, [log]).await;
    for query in ["", "status=delivered"] {
        let rows = deliveries(&service, query).await;
        let rows: Vec<_> = rows.iter().filter(|row| row["log_id"] == "1").collect();
        assert_eq!(rows.len(), 1, "{query}");
        assert_eq!(rows[0]["status"], "delivered");
    }
    assert_eq!(deliveries(&service, "").await.len(), all.len());
    assert_eq!(service.data("/v1/broadcasts/b").await["total"], 1);
    let trace = service.get_with(KEY_OF_ORGANIZATION, "/v1/trace/wamid.1").await.json();
    let count = |kind: &str| trace["data"][kind].as_array().unwrap().len();
    assert_eq!((count("logs"), count("messages"), count("broadcasts")), (1, 3, 1));
}

#[sqlx::test]
async fn error_filter_finds_messages_without_a_log(db: PgPool) {
    let service = Service::start(db).await;
    let failed = |id: &str, code: i64| {
        let mut body = message(id, &format!("wamid.{id}"), "failed");
        body["messages_response"] = json!({"errors": [{"code": code, "title": "Failed"}]});
        body
    };
    let mut log = log("1", "failed", &[]);
    log["messages_response"] = json!({"errors": [{"code": 131_047, "title": "Failed"}]});
    let mut incoming = failed("in", 131_047);
    incoming["participant_type"] = "customer".into();
    let bodies = [
        failed("m1", 131_047),
        failed("m2", 131_047),
        failed("m3", 131_026),
        message("m4", "wamid.m4", "sent"),
        failed("1", 131_047),
        incoming,
        log,
    ];
    post_all(&service, bodies).await;
    let found = deliveries(&service, "error=131047").await;
    let ids: Vec<_> = found.iter().map(|row| (&row["log_id"], &row["message_id"])).collect();
    assert_eq!(
        ids,
        [(&json!("1"), &json!("1")), (&Value::Null, &json!("m2")), (&Value::Null, &json!("m1"))]
    );
    assert!(found.iter().all(|row| row["error_code"] == 131_047));
    assert_eq!(deliveries(&service, "error=131026").await.len(), 1);
    assert_eq!(deliveries(&service, "error=131026&status=sent").await.len(), 0);
    assert_eq!(deliveries(&service, "error=1").await.len(), 0);
    for limit in 1..=2 {
        let path = format!("/v1/delivery-statuses?error=131047&limit={limit}");
        let (forward, backward) = read_all_pages(&service, &path).await;
        assert_eq!(forward, found, "{path}");
        assert_eq!(backward, found, "{path}");
    }
}

#[sqlx::test]
async fn fields_of_events_without_an_organisation_keep_their_clocks(db: PgPool) {
    let service = Service::start(db).await;
    let body = |minute: u8, file: Option<&str>, more: Value| {
        let mut body = json!({"data_event": "status_message", "id": "m", "status": "sent",
            "room": {"id": "r", "last_activity_at": format!("2025-06-12T01:{minute:02}:00Z")}});
        if let Some(file) = file {
            body["file"] = json!({"filename": file});
        }
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let bodies = [
        body(1, Some("old"), json!({"sender_id": "old"})),
        body(3, None, json!({"sender_id": "new"})),
        body(2, Some("new"), json!({"organization_id": ORGANIZATION, "type": "image"})),
        body(4, None, json!({"organization_id": ORGANIZATION})),
    ];
    let mut states = Vec::new();
    for order in permutations(bodies.len()) {
        service.execute(TRUNCATE_ALL).await;
        for &i in &order {
            service.post(bodies[i].to_string()).await;
        }
        let message = service.data("/v1/messages/m").await;
        assert_eq!(message["file"]["filename"], "new", "{order:?}");
        assert_eq!(message["sender_id"], "new", "{order:?}");
        let path = "/v1/messages?sender_id=new";
        let found = service.get_with(KEY_OF_ORGANIZATION, path).await.json();
        assert_eq!(found["data"][0]["id"], "m", "{order:?}");
        states.push(service.state().await);
        assert_eq!(states[0], states[states.len() - 1], "{order:?}");
    }
}

/// All orders of these indexes.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    (0..count).fold(vec![Vec::new()], |orders, new| {
        let insert = |order: Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, new);
                order
            })
        };
        orders.into_iter().flat_map(insert).collect()
    })
}

#[sqlx::test]
async fn events_without_an_organisation_find_their_message_in_every_order(db: PgPool) {
    let service = Service::start(db).await;
    let named = json!({"data_event": "receive_message_from_agent", "id": "m", "room_id": "r",
        "status": "created", "participant_type": "agent", "organization_id": ORGANIZATION,
        "text": "Halo", "created_at": "2025-06-12T01:00:00Z", "file": {"filename": "a.pdf"}});
    let status = |status: &str| {
        json!({"data_event": "status_message", "id": "m", "status": status, "room_id": "r",
            "external_id": "wamid.1", "participant_type": "agent"})
    };
    let later = message("m", "wamid.1", "sent");
    let bodies = [named, status("delivered"), status("warning"), later];
    let mut states = Vec::new();
    for order in permutations(bodies.len()) {
        service.execute(TRUNCATE_ALL).await;
        for &i in order.iter().chain(order.first()) {
            service.post(bodies[i].to_string()).await;
        }
        let row = service.get_with(KEY_OF_ORGANIZATION, "/v1/messages").await.json();
        let row = &row["data"][0];
        assert_eq!(row["organization_id"], ORGANIZATION, "{order:?}");
        assert_eq!(row["status"], "delivered", "{order:?}");
        assert_eq!(row["other_statuses"], json!(["warning"]), "{order:?}");
        assert_eq!(row["text"], "Halo", "{order:?}");
        assert_eq!(row["external_id"], "wamid.1", "{order:?}");
        assert_eq!(service.count("message").await, 1, "{order:?}");
        states.push(service.state().await);
    }
    assert_eq!(states.len(), 24);
    assert!(states.iter().all(|state| *state == states[0]));

    // All of them in one batch, and with nothing but a status.
    service.execute(TRUNCATE_ALL).await;
    let posts = bodies.iter().map(|body| service.post(body.to_string()));
    futures_util::future::join_all(posts).await;
    assert_eq!(service.state().await["message"], states[0]["message"]);
    let bare = json!({"data_event": "status_message", "id": "m", "status": "read"});
    post_all(&service, [bare]).await;
    assert_eq!(service.data("/v1/messages/m").await["status"], "read");
    assert_eq!(service.count("message").await, 1);
}

#[sqlx::test]
async fn status_without_an_organisation_stays_apart_if_several_have_its_message(db: PgPool) {
    let service = Service::start(db).await;
    let mut of_another = message("m", "wamid.1", "sent");
    of_another["organization_id"] = "another-organization".into();
    let bare = json!({"data_event": "status_message", "id": "m", "status": "read"});
    let unrelated = json!({"data_event": "status_message", "id": "n", "status": "read"});
    post_all(&service, [message("m", "wamid.1", "sent"), of_another, bare, unrelated]).await;
    for key in [KEY_OF_ORGANIZATION, KEY_OF_ANOTHER] {
        let rows = service.get_with(key, "/v1/messages").await.json();
        assert_eq!(rows["data"].as_array().unwrap().len(), 1, "{key}");
        assert_eq!(rows["data"][0]["status"], "sent", "{key}");
    }
    assert_eq!(service.count("message").await, 4);
}
