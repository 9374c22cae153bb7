//! `GET /v1/facets`: values for drop-downs.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{KEY_OF_ANOTHER, Service};

/// Message of an agent in a tagged room.
fn message(id: &str, organization: &str) -> Value {
    json!({"data_event": "receive_message_from_agent", "id": id, "status": "Delivered",
        "type": "image", "organization_id": organization, "participant_type": "agent",
        "sender_id": format!("siti-{organization}"), "sender": {"name": "Siti"}, "room_id": "r",
        "created_at": "2025-06-12T02:00:00Z",
        "room": {"id": "r", "status": " Assigned ", "channel": "wa_cloud", "tags": ["vip", "baru"],
            "channel_integration_id": "i", "updated_at": "2025-06-12T02:00:00Z"}})
}

fn room(id: &str, fields: Value) -> Value {
    let mut body = json!({"data_event": "room_created", "id": id, "organization_id": "o",
        "updated_at": "2025-06-12T03:00:00Z"});
    let Value::Object(fields) = fields else { panic!("not an object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

async fn values(service: &Service, facet: &str) -> Value {
    service.data("/v1/facets").await[facet]["values"].take()
}

#[sqlx::test]
async fn facets_are_the_values_that_occur_sorted(db: PgPool) {
    let service = Service::start(db).await;
    let empty = service.data("/v1/facets").await;
    for (name, list) in empty.as_object().unwrap() {
        assert_eq!(*list, json!({"values": [], "has_more": false}), "{name}");
    }
    let log = json!({"data_event": "broadcast_log_status", "id": "l", "organization_id": "o",
        "status": "read", "messages_broadcast_id": "b", "messages_broadcast_template_id": "t",
        "channel_integration_id": "j"});
    let bodies = [
        message("1", "o"),
        room("r", json!({"status": "resolved", "agent_ids": ["budi", "siti-o"], "tags": ["vip"]})),
        room("s", json!({"channel": "ig", "channel_integration_id": "k"})),
        log,
        json!({"data_event": "brand, new", "organization_id": "o"}),
        json!({"data_event": "status_template", "id": "t", "organization_id": "o"}),
    ];
    // All of them again, which changes nothing.
    for body in bodies.iter().chain(&bodies) {
        service.post(body.to_string()).await;
    }
    let expected = json!({
        "room_statuses": ["assigned", "resolved"],
        "tags": ["baru", "vip"],
        "channels": ["ig", "wa_cloud"],
        "channel_integrations": [
            {"id": "i", "channel": "wa_cloud", "name": null},
            {"id": "j", "channel": null, "name": null},
            {"id": "k", "channel": "ig", "name": null},
        ],
        "agents": [{"id": "siti-o", "name": "Siti"}, {"id": "budi", "name": null}],
        "templates": [{"id": "t", "name": null}],
        "message_types": ["image"],
        "message_statuses": ["delivered"],
        "event_kinds": ["broadcast_log_status", "receive_message_from_agent", "room_created",
            "status_template", "unknown"],
        "event_names": ["brand, new", "broadcast_log_status", "receive_message_from_agent",
            "room_created", "status_template"],
        "endpoints": ["qontak"],
    });
    let facets = service.data("/v1/facets").await;
    for (name, list) in facets.as_object().unwrap() {
        assert_eq!(*list, json!({"values": expected[name], "has_more": false}), "{name}");
    }
    assert_eq!(facets.as_object().unwrap().len(), expected.as_object().unwrap().len());
}

#[sqlx::test]
async fn every_value_of_a_facet_finds_rows(db: PgPool) {
    let service = Service::start(db).await;
    for fixture in &super::fixtures::ALL {
        service.post(fixture.body()).await;
    }
    let facets = service.data("/v1/facets").await;
    let lists = [
        ("room_statuses", "/v1/rooms?status="),
        ("tags", "/v1/rooms?tag="),
        ("agents", "/v1/rooms?agent="),
        ("agents", "/v1/messages?sender_id="),
        ("channels", "/v1/messages?channel="),
        ("message_types", "/v1/messages?type="),
        ("templates", "/v1/broadcasts?template_id="),
        ("event_kinds", "/v1/events?kind="),
        ("event_names", "/v1/events?name="),
        ("endpoints", "/v1/events?endpoint="),
    ];
    for (facet, list) in lists {
        let values = facets[facet]["values"].as_array().unwrap();
        assert!(!values.is_empty(), "{facet}");
        let mut found = 0;
        for value in values {
            let value = value["id"].as_str().or(value.as_str()).unwrap();
            let value: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let rows = service.data(&format!("{list}{value}")).await;
            found += usize::from(!rows.as_array().unwrap().is_empty());
        }
        // Agents may be known from rooms or from messages alone; a room may have left a status.
        let may_be_old = ["agents", "room_statuses", "tags"].contains(&facet);
        assert!(found == values.len() || may_be_old && found > 0, "{facet}: {values:?}");
    }
    // And the values of all rows are there.
    let rooms = service.data("/v1/rooms?limit=500").await;
    for room in rooms.as_array().unwrap() {
        for (facet, field) in [("room_statuses", "status"), ("channels", "channel")] {
            let values = facets[facet]["values"].as_array().unwrap();
            assert!(room[field].is_null() || values.contains(&room[field]), "{facet}: {room}");
        }
        for tag in room["tags"].as_array().into_iter().flatten() {
            assert!(facets["tags"]["values"].as_array().unwrap().contains(tag), "{tag}");
        }
    }
}

#[sqlx::test]
async fn facets_show_only_organisations_of_the_key(db: PgPool) {
    let service = Service::start(db).await;
    for (id, organization) in [("1", "o"), ("2", "another-organization"), ("3", "third")] {
        service.post(message(id, organization).to_string()).await;
    }
    service.post("{").await;
    let agents = async |key: &str, query: &str| {
        let facets = service.get_with(key, &format!("/v1/facets{query}")).await.json();
        let agents = facets["data"]["agents"]["values"].as_array().unwrap().clone();
        agents.iter().map(|agent| agent["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["siti-another-organization", "siti-o", "siti-third"];
    assert_eq!(agents(super::harness::KEY_OF_ALL, "").await, all);
    assert_eq!(agents(super::harness::KEY_OF_ALL, "?organization_id=o").await, ["siti-o"]);
    assert_eq!(agents(super::harness::KEY_OF_ALL, "?organization_id=none").await, [""; 0]);
    assert_eq!(agents(KEY_OF_ANOTHER, "").await, ["siti-another-organization"]);
    let hidden = service.get_with(KEY_OF_ANOTHER, "/v1/facets?organization_id=o").await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    // The same value of several organisations is one value.
    assert_eq!(values(&service, "tags").await, json!(["baru", "vip"]));
}

#[sqlx::test]
async fn facets_say_when_a_list_is_cut(db: PgPool) {
    let service = Service::start(db).await;
    service
        .execute(
            "insert into facet (organization_id, name, value)
             select organization_id, 'tag', lpad(n::text, 4, '0')
             from generate_series(1, 1001) as n
             cross join (values ('o'), ('p')) as own (organization_id)
             union all
             select 'o', 'message_type', lpad(n::text, 4, '0') from generate_series(1, 1000) as n",
        )
        .await;
    let facets = service.data("/v1/facets").await;
    for (facet, has_more) in [("tags", true), ("message_types", false)] {
        let values = facets[facet]["values"].as_array().unwrap();
        assert_eq!((values.len(), &values[999]), (1000, &json!("1000")), "{facet}");
        assert_eq!(facets[facet]["has_more"], has_more, "{facet}");
    }
}

#[sqlx::test]
async fn value_whose_transaction_failed_is_inserted_with_the_next_one(db: PgPool) {
    let service = Service::start(db).await;
    service.post(message("1", "o").to_string()).await;
    let tagged = |tag: &str| room("s", json!({"tags": [tag]})).to_string();
    service.execute("alter table ledger rename to gone").await;
    let failed = service.post(tagged("late")).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    service.execute("alter table gone rename to ledger").await;
    assert_eq!(values(&service, "tags").await, json!(["baru", "vip"]));
    assert_eq!(service.post(tagged("late")).await.status, StatusCode::OK);
    assert_eq!(values(&service, "tags").await, json!(["baru", "late", "vip"]));
    // A long value is kept in its room and is none to choose.
    let long = "x".repeat(513);
    service.post(tagged(&long)).await;
    assert_eq!(values(&service, "tags").await, json!(["baru", "late", "vip"]));
}

#[sqlx::test]
async fn replay_restores_facets(db: PgPool) {
    let service = Service::start(db.clone()).await;
    service.post(message("1", "o").to_string()).await;
    let before = service.data("/v1/facets").await;
    assert_eq!(before["tags"]["values"], json!(["baru", "vip"]));
    service.execute("truncate facet").await;
    // Another replica remembers nothing.
    let service = Service::start(db).await;
    let event = service.data("/v1/events").await[0]["event_id"].as_str().unwrap().to_owned();
    let replay = axum::http::Request::post(format!("/v1/events/{event}/replay"))
        .header("authorization", format!("Bearer {}", super::harness::KEY_REPLAY_ONLY));
    let response = service.send(replay.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(service.data("/v1/facets").await, before);
}

#[sqlx::test]
async fn supervisor_is_an_agent_by_the_type_of_the_sender(db: PgPool) {
    let service = Service::start(db).await;
    let message = json!({"data_event": "receive_message_from_agent", "id": "m", "room_id": "r",
        "organization_id": "o", "sender_type": "Models::User", "participant_type": "supervisor",
        "sender_id": "s", "sender": {"name": "Sup Er"}});
    service.post(message.to_string()).await;
    let agents = values(&service, "agents").await;
    assert_eq!(agents, json!([{"id": "s", "name": "Sup Er"}]));
    let participants = service.data("/api/open/v1/rooms/r/participants").await;
    assert_eq!(participants[0]["type"], "Models::AgentParticipant", "{participants}");
}
