//! States of templates and agents, from events whose bodies Qontak has not published, and from syncs.

use std::time::Duration;

use axum::http::StatusCode;
use qontak_receiver::event::PARSER_VERSION;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::binary::{Process, post, run};
use super::drift::replay;
use super::fixtures::{WEB_CHAT_ROOM, body};
use super::harness::{KEY_OF_ALL, KEY_OF_ANOTHER, ORGANIZATION, Service, TRUNCATE_ALL, settings};
use super::qontak_client::FakeQontak;
use super::spool::wait_until;

const TEMPLATE: &str = "8e1685e7-7b9f-4391-b000-6254329b6274";
const AGENT: &str = "deb8a35a-d051-4b10-aad8-079297722314";

/// A fixture with some fields changed.
fn changed(file: &str, fields: &Value) -> String {
    let mut event: Value = serde_json::from_slice(&body(file)).unwrap();
    for (name, value) in fields.as_object().unwrap() {
        event[name] = value.clone();
    }
    event.to_string()
}

fn at(minute: u32) -> String {
    format!("2025-06-12T02:{minute:02}:00.000Z")
}

/// Reports about a template, in the order of their clock.
fn of_template() -> Vec<String> {
    let rejected = json!({
        "updated_at": at(1), "status": "REJECTED", "reason": "INVALID_FORMAT", "name": "promo_juni",
        "quality_rating": null,
    });
    [
        rejected,
        json!({ "updated_at": at(2), "status": "approved", "quality_rating": "GREEN" }),
        // Nothing new.
        json!({ "updated_at": at(3), "status": "APPROVED", "quality_rating": "GREEN", "footer": "Toko" }),
        json!({ "updated_at": at(4), "status": null, "quality_rating": "RED", "category": null }),
        json!({ "updated_at": at(5), "status": "PAUSED", "quality_rating": "RED", "category": "UTILITY" }),
    ]
    .iter()
    .map(|fields| changed("60-", fields))
    .collect()
}

/// Reports about an agent, in the order of their clock.
fn of_agent() -> Vec<String> {
    [(1, true), (2, true), (3, false), (4, true), (5, true)]
        .map(|(minute, is_online)| {
            changed("61-", &json!({ "updated_at": at(minute), "is_online": is_online }))
        })
        .into()
}

/// What the API shows of both, without ids of events.
async fn shown(service: &Service) -> Value {
    let mut shown = json!({
        "templates": service.data("/v1/templates").await,
        "history": service.data(&format!("/v1/templates/{TEMPLATE}/history")).await,
        "agents": service.data("/v1/agents").await,
        "availability": service.data(&format!("/v1/agents/{AGENT}/availability")).await,
    });
    for list in ["history", "availability"] {
        for row in shown[list].as_array_mut().unwrap() {
            assert!(row["event_id"].is_string(), "{row}");
            row.as_object_mut().unwrap().remove("event_id");
        }
    }
    shown
}

#[sqlx::test]
async fn later_reports_win_in_any_order_and_history_has_every_change(db: PgPool) {
    let service = Service::start(db).await;
    let mut events = of_template();
    events.extend(of_agent());
    for event in &events {
        let response = service.post(event.clone()).await.json();
        assert_eq!(response["data"]["outcome"], "applied", "{response}");
    }
    let expected = shown(&service).await;
    let template = &expected["templates"][0];
    assert_eq!(template["status"], "PAUSED", "{expected}");
    assert_eq!(template["category"], "UTILITY");
    assert_eq!(template["name"], "promo_juni_2025");
    assert_eq!(template["language"], "id");
    // Only an older report has it.
    assert_eq!(template["footer"], "Toko");
    assert_eq!(template["buttons"][0]["text"], "Lihat katalog");
    assert_eq!((&template["state_at"], &template["synced_at"]), (&json!(at(5)), &Value::Null));
    let history: Vec<_> = expected["history"].as_array().unwrap().iter().collect();
    let part = |name: &str| history.iter().map(|row| row[name].clone()).collect::<Value>();
    assert_eq!(part("at"), json!([at(5), at(4), at(2), at(1)]), "{expected}");
    assert_eq!(part("status"), json!(["PAUSED", null, "APPROVED", "REJECTED"]));
    assert_eq!(part("quality_rating"), json!(["RED", "RED", "GREEN", null]));
    assert_eq!(part("reason"), json!([null, null, null, "INVALID_FORMAT"]));
    assert_eq!(part("source"), json!(["event", "event", "event", "event"]));

    assert_eq!(expected["agents"][0]["is_online"], true);
    assert_eq!(expected["agents"][0]["email"], "maya@tokomaju.example");
    let interval = |is_online, since, until: Value| json!({ "is_online": is_online, "since": at(since), "until": until, "source": "event" });
    let intervals = json!([
        interval(true, 4, Value::Null),
        interval(false, 3, json!(at(4))),
        interval(true, 1, json!(at(3))),
    ]);
    assert_eq!(expected["availability"], intervals);

    // Pages, filters and organisations.
    let path = format!("/v1/agents/{AGENT}/availability");
    let first = service.get(&format!("{path}?limit=2")).await.json();
    let next = first["meta"]["pagination"]["cursor"]["next"].as_str().unwrap().to_owned();
    let second = service.get(&format!("{path}?limit=2&cursor={next}")).await.json();
    assert_eq!(second["data"][0]["since"], at(1));
    let prev = second["meta"]["pagination"]["cursor"]["prev"].as_str().unwrap();
    let back = service.get(&format!("{path}?limit=2&cursor={prev}")).await.json();
    assert_eq!(back["data"], first["data"]);
    for (path, count) in [
        ("/v1/templates?status=PAUSED", 1),
        ("/v1/templates?status=rejected,paused", 1),
        ("/v1/templates?status=APPROVED", 0),
        ("/v1/agents?is_online=true", 1),
        ("/v1/agents?is_online=false", 0),
    ] {
        assert_eq!(service.data(path).await.as_array().unwrap().len(), count, "{path}");
    }
    assert_eq!(service.get("/v1/agents?is_online=maybe").await.status, 422);
    assert_eq!(service.get_with(KEY_OF_ANOTHER, &path).await.status, StatusCode::NOT_FOUND);
    let history = "/v1/templates/unknown/history";
    assert_eq!(service.get(history).await.status, StatusCode::NOT_FOUND);

    for turn in 1..events.len() {
        service.execute(TRUNCATE_ALL).await;
        service.execute("truncate catalog").await;
        events.rotate_left(3);
        for body in events.iter().rev().chain(events.iter().skip(turn)) {
            service.post(body.clone()).await;
        }
        assert_eq!(shown(&service).await, expected, "turn {turn}");
    }
}

#[sqlx::test]
async fn bodies_are_read_in_several_shapes_and_others_are_recorded_with_a_reason(db: PgPool) {
    let service = Service::start(db).await;
    let of_meta = json!({
        "data_event": "status_template", "organization_id": ORGANIZATION,
        "data": {
            "event": "PAUSED", "message_template_id": 7, "message_template_name": "promo",
            "message_template_language": "id", "reason": "NONE",
        },
    });
    let nested = json!({
        "data_event": "available_user_status", "organization_id": ORGANIZATION,
        "user": { "id": "a1", "full_name": "Maya", "status": "away" },
    });
    for event in [of_meta, nested] {
        let response = service.post(event.to_string()).await.json();
        assert_eq!(response["data"]["outcome"], "applied", "{response}");
        assert_eq!(response["data"]["reasons"], Value::Null, "{response}");
    }
    let template = service.data("/v1/templates").await[0].take();
    assert_eq!((&template["id"], &template["status"]), (&json!("7"), &json!("PAUSED")));
    assert_eq!(template["name"], "promo");
    assert_eq!(service.data("/v1/agents").await[0]["is_online"], false);

    // The room of an allocation is a snapshot like any other.
    let response = service.post(body("51-")).await.json();
    assert_eq!(response["data"]["outcome"], "applied", "{response}");
    let room = service.data(&format!("/v1/rooms/{WEB_CHAT_ROOM}")).await;
    assert_eq!(room["status"], "unassigned");

    for (name, expected) in [
        ("status_template", "unknown_shape: expected id and status, category or quality_rating"),
        ("available_user_status", "unknown_shape: expected id and is_online"),
        ("custom_agent_allocation", "unknown_shape: expected a room"),
    ] {
        let event =
            json!({ "data_event": name, "organization_id": ORGANIZATION, "id": "x", "odd": 1 });
        let response = service.post(event.to_string()).await.json();
        assert_eq!(response["data"]["outcome"], "recorded", "{response}");
        let reason = response["data"]["reasons"][0].as_str().unwrap();
        assert!(reason.starts_with(expected), "{reason}");
    }
}

#[sqlx::test]
async fn replay_applies_events_that_an_older_parser_recorded(db: PgPool) {
    let service = Service::start(db).await;
    let mut ids = Vec::new();
    for file in ["60-", "61-", "51-"] {
        ids.push(service.post(body(file)).await.json()["data"]["event_id"].take());
    }
    // The newest report has no clock: it counts by its receipt, also in a replay.
    let expected = shown(&service).await;
    service
        .execute(
            "truncate catalog_state, catalog, room, message, sender;
             update event set outcome = 'recorded', parser_version = 5;
             update ledger set applied = 0, recorded = applied",
        )
        .await;
    for id in &ids {
        assert_eq!(replay(&service, id).await, "applied");
    }
    assert_eq!(shown(&service).await, expected);
    let events = service.data("/v1/events").await;
    for event in events.as_array().unwrap() {
        assert_eq!(event["parser_version"], PARSER_VERSION, "{event}");
    }
    let hour = service.data("/v1/ledger").await[0].take();
    assert_eq!((&hour["applied"], &hour["recorded"]), (&json!(3), &json!(0)));
    // Again, nothing changes.
    for id in &ids {
        assert_eq!(replay(&service, id).await, "applied");
    }
    assert_eq!(shown(&service).await, expected);
}

#[sqlx::test(migrations = false)]
async fn sync_corrects_states_and_shapes_that_are_not_known_are_counted(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let mut settings = settings(&db.connect_options());
    settings.extend(qontak.hmac());
    settings.insert("RECEIVER__CATALOG__INTERVAL".into(), "1s".into());
    settings.insert("RECEIVER__BACKFILL__AUTO".into(), "false".into());
    let service = Process::start(settings).await;
    let client = reqwest::Client::new();
    let get = async |path: &str| {
        let request = client.get(format!("{}{path}", service.url)).bearer_auth(KEY_OF_ALL);
        request.send().await.unwrap().json::<Value>().await.unwrap()["data"].take()
    };
    let rows = async |path: &str| get(path).await.as_array().map_or(0, Vec::len);
    wait_until(async || rows("/v1/agents?limit=500").await == 20).await;
    // Half of the agents of the fake are online, which the first sync finds.
    assert_eq!(rows("/v1/agents?is_online=true&limit=500").await, 10);
    let agent = get("/v1/agents?is_online=true&limit=500").await[0].take();
    let path = format!("/v1/agents/{}/availability", agent["id"].as_str().unwrap());
    let found = get(&path).await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!((&found[0]["source"], &found[0]["event_id"]), (&json!("sync"), &Value::Null));

    // A webhook that says otherwise wins until the next sync, and the correction is in the history.
    let offline = changed(
        "61-",
        &json!({ "id": agent["id"], "organization_id": agent["organization_id"], "is_online": false }),
    );
    post(&client, &service.url, offline.into_bytes()).await.unwrap();
    wait_until(async || rows(&path).await == 3).await;
    let found = get(&path).await;
    let part = |name: &str| found.as_array().unwrap().iter().map(|row| row[name].clone()).collect();
    let sources: Value = part("source");
    assert_eq!(sources, json!(["sync", "event", "sync"]));
    assert_eq!(part("is_online"), json!([true, false, true]));
    // Nothing is added by further syncs.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(rows(&path).await, 3);

    let odd = json!({ "data_event": "status_template", "odd": 1 }).to_string();
    post(&client, &service.url, odd.into_bytes()).await.unwrap();
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for (kind, count) in [("status_template", 1), ("available_user_status", 0)] {
        let line = format!("qontak_receiver_unknown_shapes_total{{kind=\"{kind}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[sqlx::test]
async fn old_reports_of_agents_are_deleted_and_the_state_stays(db: PgPool) {
    let service = Service::start(db.clone()).await;
    for event in of_agent().iter().chain(&of_template()) {
        service.post(event.clone()).await;
    }
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__RETENTION__ROOM_EVENT_DAYS".into(), "30".into());
    let output = run(&settings, &["retention"]).await;
    assert!(output.status.success(), "{output:?}");
    let count = async |kind: &str| -> i64 {
        let sql = format!("select count(*) from catalog_state where kind = '{kind}'");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&db).await.unwrap()
    };
    assert_eq!((count("agent").await, count("template").await), (1, 5));
    assert_eq!(service.data("/v1/agents").await[0]["is_online"], true);

    let output = run(&settings, &["erase", "--organization", ORGANIZATION]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!((count("agent").await, count("template").await), (0, 0));
    assert_eq!(service.data("/v1/agents").await, json!([]));
}
