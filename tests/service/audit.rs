//! Keys that see no texts, and the record of who did what.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::binary::run;
use super::fixtures::{ALL, SITI_ROOM};
use super::harness::{KEY_OF_ALL, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, Service, settings};
use super::openapi::EXAMPLES;

const MASKED: &str = "a-key-that-sees-no-texts";

async fn start(db: PgPool, changed: &[(&str, &str)]) -> Service {
    let digest = Sha256::digest(MASKED);
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = [
        ("RECEIVER__KEY__MASKED__SHA256", hash.as_str()),
        ("RECEIVER__KEY__MASKED__SCOPES", "read_masked"),
        ("RECEIVER__KEY__MASKED__ORGANIZATIONS", "*"),
    ];
    let service = Service::start_with(db, &[&key, changed].concat()).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    service
}

/// Texts, names and numbers of the fixtures, and WhatsApp's ids, which contain a number.
const SECRETS: [&str; 9] = [
    "Siti",
    "Rahmawati",
    "Budi",
    "Rizky",
    "6281200010001",
    "6281200020001",
    "081200010001",
    "Halo",
    "wamid.",
];

#[sqlx::test]
async fn masked_key_sees_no_text_name_or_number_on_any_route(db: PgPool) {
    let service = start(db, &[]).await;
    let (mut shown, mut refused) = (0, BTreeSet::new());
    let event =
        service.data("/v1/events?limit=1").await[0]["event_id"].as_str().unwrap().to_owned();
    let examples = EXAMPLES.iter().filter(|(route, _)| route.starts_with("GET "));
    let examples = examples.map(|(_, path)| path.replace("{event}", &event));
    let others = ["/v1/exports/rooms", "/v1/stream", "/v1/rooms", "/v1/trace/6281200010001"];
    for path in examples.chain(others.map(str::to_owned)) {
        let response = service.get_with(MASKED, &path).await;
        let text = String::from_utf8_lossy(&response.bytes).into_owned();
        for secret in SECRETS {
            // A parameter is repeated in a link to the next page.
            assert!(!text.contains(secret) || path.contains(secret), "{path}: {secret} in {text}");
        }
        match response.status {
            StatusCode::OK => shown += 1,
            StatusCode::FORBIDDEN => drop(refused.insert(path)),
            _ => {}
        }
    }
    assert!(shown > 20, "{shown}");
    assert!(refused.iter().any(|path| path.contains("/exports/")), "{refused:?}");
    assert!(refused.iter().any(|path| path.ends_with("/body")), "{refused:?}");
    qontak_receiver::store::search::sync_indexes(&service.db, true).await.unwrap();
    for path in ["/v1/messages?q=batik", "/v1/rooms?%71=siti", "/api/open/v1/rooms?query=siti"] {
        assert_eq!(service.get(path).await.status, StatusCode::OK, "{path}");
        assert_eq!(service.get_with(MASKED, path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let csv = service.get_with(MASKED, "/v1/messages?format=csv").await;
    assert_eq!(csv.status, StatusCode::FORBIDDEN);
}

#[sqlx::test]
async fn masked_key_sees_ids_times_and_statuses(db: PgPool) {
    let service = start(db, &[]).await;
    let path = format!("/v1/rooms/{SITI_ROOM}");
    let masked = service.get_with(MASKED, &path).await.json()["data"].take();
    let full = service.data(&path).await;
    for field in ["id", "status", "channel", "created_at", "last_message_at", "unread_count"] {
        assert_eq!(masked[field], full[field], "{field}");
    }
    assert_eq!((&masked["name"], &full["name"]), (&"•••".into(), &"Siti Rahmawati".into()));
    assert_eq!(masked["account_uniq_id"], "6281••••••001");
}

async fn audited(service: &Service) -> Vec<(String, String, String, i32)> {
    let sql = "select key_name, action, target, status from audit order by audit_id";
    sqlx::query_as(sql).fetch_all(&service.db).await.unwrap()
}

#[sqlx::test]
async fn exports_replays_and_erasures_are_recorded_and_reads_are_not(db: PgPool) {
    let service = start(db.clone(), &[]).await;
    service.get("/v1/rooms").await;
    service.get_with(KEY_OF_ORGANIZATION, "/v1/exports/rooms?limit=1").await;
    let event =
        service.data("/v1/events?limit=1").await[0]["event_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/events/{event}/replay");
    let request = Request::post(&path).header(AUTHORIZATION, format!("Bearer {KEY_REPLAY_ONLY}"));
    service.send(request.body(Body::empty()).unwrap()).await;
    let settings = settings(&db.connect_options());
    let erased = run(&settings, &["erase", "--phone", "6281200010001"]).await;
    assert!(erased.status.success(), "{erased:?}");
    let row = |key: &str, action: &str, target: &str, status| {
        (key.to_owned(), action.to_owned(), target.to_owned(), status)
    };
    let expected = [
        row("organization", "export", "/v1/exports/rooms?limit", 200),
        row("replayer", "replay", &path, 200),
        row("", "erase", "phone 6281••••••001", 0),
    ];
    assert_eq!(audited(&service).await, expected);
}

#[sqlx::test]
async fn reads_are_recorded_if_the_setting_says_so(db: PgPool) {
    let service = start(db, &[("RECEIVER__AUDIT__READS", "true")]).await;
    service.get_with(KEY_OF_ALL, "/v1/trace/6281200010001").await;
    service.get_with("an-unknown-key", "/v1/rooms").await;
    let rows = audited(&service).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].0.as_str(), rows[0].1.as_str()), ("all", "read"));
    assert_eq!(rows[0].2, "/v1/trace/6281••••••001");
}
