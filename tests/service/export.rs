//! Lists as a whole: other forms, many rows, slow readers.

use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::{ALL, SITI};
use super::harness::{Answer, KEY_OF_ALL, KEY_OF_ORGANIZATION, ORGANIZATION, Service};

const NDJSON: &str = "application/x-ndjson";

const LISTS: [&str; 6] = [
    "/v1/rooms",
    "/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/messages",
    "/v1/broadcasts",
    "/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/logs",
    "/v1/events",
    "/v1/ledger",
];

fn asked(path: &str, accept: &str) -> Request<Body> {
    let request = Request::get(path).header(ACCEPT, accept);
    let request = request.header(AUTHORIZATION, format!("Bearer {KEY_OF_ORGANIZATION}"));
    request.body(Body::empty()).unwrap()
}

impl Service {
    async fn export(&self, path: &str) -> Answer {
        self.send(asked(path, NDJSON)).await
    }

    /// The rows of a page, as the API shows them to who may export them.
    async fn page(&self, path: &str) -> Value {
        self.get_with(KEY_OF_ORGANIZATION, path).await.json()
    }

    /// Makes so many hours of deliveries.
    async fn fill_ledger(&self, hours: usize) {
        self.execute(&format!(
            "insert into ledger
             select '2026-01-01'::timestamptz + hour * interval '1 hour', '{ORGANIZATION}',
                 gen_random_uuid(), hour, hour, 0, 0, 0, 0
             from generate_series(1, {hours}) as hour"
        ))
        .await;
    }
}

/// The rows of an export.
fn rows(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::OK);
    let lines = answer.bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| serde_json::from_slice(line.strip_suffix(b"\n").unwrap()).unwrap()).collect()
}

#[sqlx::test]
async fn every_list_can_be_exported_and_has_the_rows_of_its_pages(db: PgPool) {
    let service = Service::start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    for path in LISTS {
        let page = service.page(path).await;
        let export = service.export(path).await;
        assert_eq!(export.headers["content-type"], "application/x-ndjson; charset=utf-8");
        let file = export.headers["content-disposition"].to_str().unwrap();
        let list = path.rsplit('/').next().unwrap();
        let start = format!("attachment; filename=\"{list}-20");
        assert!(file.starts_with(&start) && file.ends_with(".ndjson\""), "{file}");
        assert_eq!(json!(rows(&export)), page["data"], "{path}");
        assert_eq!(service.export(&format!("{path}?format=json")).await.json(), page, "{path}");
    }
    let path = "/v1/events?kind=status_message&outcome=applied";
    let export = service.export(path).await;
    assert_eq!(json!(rows(&export)), service.page(path).await["data"]);
    assert_eq!(export.bytes, service.export(&format!("{path}&format=ndjson")).await.bytes);
}

#[sqlx::test]
async fn an_export_has_all_rows_in_order_from_its_cursor_on(db: PgPool) {
    let service = Service::start(db).await;
    service.fill_ledger(1234).await;
    let hours = |rows: &[Value]| -> Vec<i64> {
        rows.iter().map(|row| row["received"].as_i64().unwrap()).collect()
    };
    let all = hours(&rows(&service.export("/v1/ledger").await));
    assert_eq!(all, (1..=1234).rev().collect::<Vec<_>>());

    let first = service.page("/v1/ledger?limit=34").await;
    let next = first["meta"]["pagination"]["cursor"]["next"].as_str().unwrap();
    let rest = hours(&rows(&service.export(&format!("/v1/ledger?cursor={next}")).await));
    assert_eq!(rest, (1..=1200).rev().collect::<Vec<_>>());
    let second = service.page(&format!("/v1/ledger?limit=6&cursor={next}")).await;
    let prev = second["meta"]["pagination"]["cursor"]["prev"].as_str().unwrap();
    let before = hours(&rows(&service.export(&format!("/v1/ledger?cursor={prev}")).await));
    assert_eq!(before, (1201..=1234).collect::<Vec<_>>(), "towards the first row");

    for (limit, expected) in [(1, 1), (500, 500), (501, 501), (1000, 1000), (9999, 1234)] {
        let some = rows(&service.export(&format!("/v1/ledger?limit={limit}")).await);
        assert_eq!(some.len(), expected);
    }
}

#[sqlx::test]
async fn an_export_wants_a_key_that_may(db: PgPool) {
    let service = Service::start(db).await;
    let answer = service.get_with(KEY_OF_ALL, "/v1/rooms?format=ndjson").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.json()["error"]["messages"], json!(["this key lacks the scope `export`"]));
    let answer = service.get_with(KEY_OF_ORGANIZATION, "/v1/rooms?format=xml&limit=0").await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let missing = format!("/v1/rooms/{SITI}/messages?format=ndjson");
    assert_eq!(service.export(&missing).await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test]
async fn the_form_is_what_the_client_likes_best(db: PgPool) {
    let service = Service::start(db).await;
    service.fill_ledger(1).await;
    let cases = [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
        ("application/json, application/x-ndjson", "application/json"),
        ("application/json;q=0.5, Application/X-NDJSON; charset=utf-8; q=0.6", NDJSON),
        ("application/x-ndjson;q=0", "application/json"),
        ("application/x-ndjson;q=much", "application/json"),
    ];
    for (accept, expected) in cases {
        let answer = service.send(asked("/v1/ledger", accept)).await;
        let media_type = answer.headers["content-type"].to_str().unwrap();
        assert_eq!(media_type.split(';').next(), Some(expected), "{accept}");
    }
}

#[sqlx::test]
async fn an_export_that_fails_on_its_way_is_cut_off(db: PgPool) {
    let service = Service::start(db).await;
    service.fill_ledger(2000).await;
    let response = service.respond(asked("/v1/ledger", NDJSON)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    service.execute("alter table ledger rename to gone").await;
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return;
        }
    }
    panic!("its reader would take it for whole");
}

#[sqlx::test]
async fn an_export_that_fails_at_once_says_why(db: PgPool) {
    let service = Service::start(db).await;
    service.execute("alter table ledger rename to gone").await;
    let answer = service.export("/v1/ledger").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["error"]["code"], 503);
}
