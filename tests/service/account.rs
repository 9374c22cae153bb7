//! What a client learns about its key and the organisations it may see.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{
    KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, ORGANIZATION, Service,
    settings,
};
use super::key;
use super::read::read_all_pages;

#[sqlx::test]
async fn me_describes_the_key_that_is_sent(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start(db).await;
    let me = async |key: &str| {
        let response = service.get_with(key, "/v1/me").await;
        assert_eq!(response.status, StatusCode::OK);
        response.json()["data"].take()
    };
    let expected = |name: &str, scopes: Value, organizations: Value| json!({"name": name, "scopes": scopes, "organizations": organizations, "expires_at": null});
    assert_eq!(me(KEY_OF_ALL).await, expected("all", json!(["read"]), json!(null)));
    assert_eq!(
        me(KEY_OF_ORGANIZATION).await,
        expected("organization", json!(["export", "read"]), json!([ORGANIZATION]))
    );
    // Without the scope `read` as well.
    assert_eq!(me(KEY_REPLAY_ONLY).await, expected("replayer", json!(["replay"]), json!(null)));

    let arguments = ["--name", "For the dashboard", "--expires", "2099-01-31"];
    let secret = key::create(&settings, &arguments).await;
    let mut stored = expected("For the dashboard", json!(["read"]), json!(null));
    stored["expires_at"] = "2099-01-31T00:00:00.000Z".into();
    assert_eq!(me(&secret).await, stored);

    assert_eq!(service.get_with("wrong", "/v1/me").await.status, StatusCode::UNAUTHORIZED);
    let response = service.get("/v1/me?organization_id=o").await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[sqlx::test]
async fn organizations_lists_those_with_events_and_the_time_of_the_last_one(db: PgPool) {
    let service = Service::start(db).await;
    assert_eq!(service.data("/v1/organizations").await, json!([]));
    let post = async |organization: &str, id: usize| {
        let body = json!({"data_event": "status_message", "id": format!("m-{id}"), "room_id": "r",
            "organization_id": organization, "status": "sent"});
        service.post(body.to_string()).await.json()["data"]["event_id"].take()
    };
    let ids = ["another-organization", "b", "c", "d", "e"];
    let mut last = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        post(id, 10 * i).await;
        last.push(post(id, 10 * i + 1).await);
    }
    // No organisation is known of a body without one.
    service.post("[1]").await;
    let rows = service.data("/v1/organizations").await;
    assert_eq!(rows.as_array().unwrap().len(), ids.len());
    for (row, (id, event)) in rows.as_array().unwrap().iter().zip(ids.iter().zip(&last)) {
        assert_eq!(row["id"], *id);
        let event = service.data(&format!("/v1/events/{}", event.as_str().unwrap())).await;
        assert_eq!(row["last_event_at"], event["received_at"], "{id}");
    }
    let (forward, backward) = read_all_pages(&service, "/v1/organizations?limit=2").await;
    assert_eq!((json!(forward), json!(backward)), (rows.clone(), rows));

    let own = service.get_with(KEY_OF_ANOTHER, "/v1/organizations").await.json();
    assert_eq!(own["data"].as_array().unwrap().len(), 1);
    assert_eq!(own["data"][0]["id"], "another-organization");
    let none = service.get_with(KEY_OF_ORGANIZATION, "/v1/organizations").await.json();
    assert_eq!(none["data"], json!([]));
}

#[sqlx::test]
async fn last_event_of_an_organisation_survives_compaction_of_the_ledger(db: PgPool) {
    let service = Service::start(db).await;
    service
        .execute(
            "insert into ledger (
                 hour, organization_id, writer_id, received, applied, recorded, quarantined,
                 malformed, duplicate, last_event_at
             )
             values
                 ('2026-01-01T02:00Z', 'a', gen_random_uuid(), 1, 1, 0, 0, 0, 0, '2026-01-01T02:01Z'),
                 ('2026-01-01T02:00Z', 'a', gen_random_uuid(), 1, 1, 0, 0, 0, 0, '2026-01-01T02:45Z'),
                 ('2026-01-01T01:00Z', 'a', gen_random_uuid(), 1, 1, 0, 0, 0, 0, '2026-01-01T01:59Z'),
                 -- Counted before the column existed.
                 ('2026-01-01T03:00Z', 'b', gen_random_uuid(), 1, 1, 0, 0, 0, 0, null)",
        )
        .await;
    let times = async || -> Vec<DateTime<Utc>> {
        let rows = service.data("/v1/organizations").await;
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["last_event_at"].as_str().unwrap().parse().unwrap()).collect()
    };
    let expected: Vec<DateTime<Utc>> =
        ["2026-01-01T02:45:00Z", "2026-01-01T03:00:00Z"].map(|at| at.parse().unwrap()).into();
    assert_eq!(times().await, expected);
    qontak_receiver::store::ledger::compact(&service.db).await.unwrap();
    assert_eq!(service.count("ledger").await, 3);
    assert_eq!(times().await, expected);
}
