//! Ids answered for spooled duplicates: they find the event in the journal.

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use qontak_receiver::ingest::spool::disk::Disk;
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::event::alias;
use serde_json::Value;
use sqlx::PgPool;

use super::binary::run;
use super::fixtures::body;
use super::harness::{
    KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, Response, Service, settings,
};
use super::spool::{Outage, SHORT_TIMEOUTS, outcome, wait_until};

fn id(response: &Response) -> String {
    response.json()["data"]["event_id"].as_str().unwrap().to_owned()
}

#[sqlx::test]
async fn spooled_duplicate_is_found_by_the_id_of_its_response(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let service = Service::start_on(db.clone(), Some(disk), &SHORT_TIMEOUTS).await;
    let stored = id(&service.post(body("01")).await);
    let outage = Outage::start(&db).await;
    let repeated = service.post(body("01")).await;
    let new = [service.post(body("07")).await, service.post(body("07")).await];
    assert_eq!(outcome(&repeated), "spooled");
    outage.end().await;
    let spool = service.app.ingest.spools[0].clone();
    wait_until(async || spool.depth().events == 0).await;

    let repeated = id(&repeated);
    assert_ne!(repeated, stored);
    for path in ["events/{}", "trace/{}"] {
        let path = |id: &str| format!("/v1/{}", path.replace("{}", id));
        assert_eq!(service.data(&path(&repeated)).await, service.data(&path(&stored)).await);
    }
    let path = format!("/v1/events/{repeated}/body");
    assert_eq!(service.get(&path).await.bytes, body("01"));
    let printed = run(&settings(&db.connect_options()), &["body", &repeated]).await;
    assert_eq!(printed.stdout, body("01"));
    let request = Request::post(format!("/v1/events/{repeated}/replay"))
        .header(AUTHORIZATION, format!("Bearer {KEY_REPLAY_ONLY}"));
    let replayed = service.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(id(&replayed), stored);
    // Within the organisations of the key.
    let path = format!("/v1/events/{repeated}");
    assert_eq!(service.get_with(KEY_OF_ORGANIZATION, &path).await.status, StatusCode::OK);
    assert_eq!(service.get_with(KEY_OF_ANOTHER, &path).await.status, StatusCode::NOT_FOUND);
    // Both were spooled; one of them is the event.
    let found: Vec<Value> = [
        service.data(&format!("/v1/events/{}", id(&new[0]))).await,
        service.data(&format!("/v1/events/{}", id(&new[1]))).await,
    ]
    .map(|mut event| event["event_id"].take())
    .into();
    assert_eq!(found[0], found[1]);
    assert_eq!(service.count("event_alias").await, 2);
    assert_eq!(service.count("event").await, 2);
}

#[sqlx::test]
async fn aliases_are_kept_as_long_as_the_journal(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let webhook = |time| super::spool::webhook_at(time, "x").id;
    let old = (webhook("2025-06-12T02:15:03Z"), webhook("2025-06-12T02:15:02Z"));
    let new = (webhook("2025-06-13T00:00:00Z"), webhook("2025-06-12T02:15:02Z"));
    for _ in 0..2 {
        alias::insert(&db, &[old, new]).await.unwrap();
    }
    assert_eq!(service.count("event_alias").await, 2);
    alias::delete_before(&db, Timestamp::parse("2025-06-13T00:00:00Z").unwrap()).await.unwrap();
    assert_eq!(alias::find(&db, old.0).await.unwrap(), None);
    assert_eq!(alias::find(&db, new.0).await.unwrap(), Some(new.1));
}
