//! Strange bodies, posted: none is refused for being strange, and none is poison to Postgres.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_ENCODING;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::Config;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::bodies::{MAX_BODY_BYTES, edited, kept, large};
use super::harness::{Service, TOKEN, gzip, webhook};
use super::properties::hold;

/// On a busy machine a megabyte may take its time; what is too slow is another chapter.
const PATIENT: &[(&str, &str)] = &[
    ("RECEIVER__WRITER__ANSWER_TIMEOUT", "60s"),
    ("RECEIVER__WRITER__COMMIT_TIMEOUT", "60s"),
    ("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "50s"),
];

/// How a body is sent.
#[derive(Clone, Debug)]
enum Encoding {
    Plain,
    Gzip,
    /// Compressed, and cut off somewhere.
    TornGzip(Index),
    /// Compressed, with so much behind it that it must not be inflated.
    Bomb,
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        8 => Just(Encoding::Plain),
        2 => Just(Encoding::Gzip),
        2 => any::<Index>().prop_map(Encoding::TornGzip),
        1 => Just(Encoding::Bomb),
    ]
}

/// Posts a body and looks at what became of it.
async fn deliver(service: &Service, body: &Bytes, encoding: &Encoding) {
    let mut sent = match encoding {
        Encoding::Plain => body.to_vec(),
        Encoding::Gzip | Encoding::TornGzip(_) => gzip(body),
        Encoding::Bomb => gzip(&[body, &[b' '; MAX_BODY_BYTES + 1][..]].concat()),
    };
    if let Encoding::TornGzip(end) = encoding {
        sent.truncate(end.index(sent.len()));
    }
    let mut request = webhook(TOKEN, sent.clone());
    if !matches!(encoding, Encoding::Plain) {
        request.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
    }
    let answer = service.send(request).await;
    let json = answer.json();
    if matches!(encoding, Encoding::Bomb) {
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{json}");
        return;
    }
    if json.get("verify_info").is_some() {
        assert_eq!(answer.status, StatusCode::OK);
        return;
    }
    let status = match json["data"]["outcome"].as_str() {
        Some("malformed") => StatusCode::BAD_REQUEST,
        Some("quarantined") if json["data"]["duplicate"] == false => StatusCode::ACCEPTED,
        Some(_) => StatusCode::OK,
        None => panic!("{}: {json}", answer.status),
    };
    assert_eq!(answer.status, status, "{json}");

    let event = format!("/v1/events/{}", json["data"]["event_id"].as_str().unwrap());
    let is_inflated = matches!(encoding, Encoding::Gzip);
    let expected = if is_inflated { &body[..] } else { &sent };
    assert!(service.get(&format!("{event}/body")).await.bytes == expected, "other bytes are kept");
    // The journal takes any body, so what Postgres refuses would be a row of another table.
    let reasons = service.data(&event).await["reasons"].to_string();
    assert!(!reasons.contains("refused:"), "{reasons}");
}

#[sqlx::test]
async fn corpus_bodies_are_always_stored_and_never_block_the_queue(db: PgPool) {
    let service = Service::start_with(db, PATIENT).await;
    for body in kept().into_iter().chain(large()) {
        println!("{}", body.name);
        for encoding in [Encoding::Plain, Encoding::Gzip] {
            deliver(&service, &body.bytes, &encoding).await;
        }
    }
}

#[sqlx::test]
async fn mutated_bodies_are_always_stored_and_never_block_the_queue(db: PgPool) {
    let deliveries = || prop::collection::vec((edited(), encoding()), 1..12);
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    hold(db, PATIENT, config, deliveries, async |service: &Arc<Service>, deliveries| {
        let mut posting = JoinSet::new();
        for (body, encoding) in deliveries {
            let service = service.clone();
            posting.spawn(async move { deliver(&service, &body, &encoding).await });
        }
        posting.join_all().await;
        for list in ["rooms", "events", "broadcasts"] {
            service.data(&format!("/v1/{list}")).await;
        }
    })
    .await;
}
