//! Unusual and mutated bodies over HTTP: all are stored with their bytes, and Postgres rejects no
//! row of them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_ENCODING;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::Config;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::bodies::{MAX_BODY_BYTES, corpus, large_bodies, mutated_body};
use super::harness::{Service, TOKEN, gzip, webhook};
use super::properties::check_property;

/// Timeouts long enough for bodies of a megabyte on a busy machine.
const LONG_TIMEOUTS: &[(&str, &str)] = &[
    ("RECEIVER__WRITER__ANSWER_TIMEOUT", "60s"),
    ("RECEIVER__WRITER__COMMIT_TIMEOUT", "60s"),
    ("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "50s"),
];

/// How a body is sent.
#[derive(Clone, Debug)]
enum Encoding {
    Plain,
    Gzip,
    /// Compressed and truncated.
    TruncatedGzip(Index),
    /// Compressed, larger than the body limit when decompressed.
    Bomb,
}

fn encoding() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        8 => Just(Encoding::Plain),
        2 => Just(Encoding::Gzip),
        2 => any::<Index>().prop_map(Encoding::TruncatedGzip),
        1 => Just(Encoding::Bomb),
    ]
}

/// Posts a body, then checks the response, the stored bytes and the reasons.
async fn post_and_check(service: &Service, body: &Bytes, encoding: &Encoding) {
    let mut sent = match encoding {
        Encoding::Plain => body.to_vec(),
        Encoding::Gzip | Encoding::TruncatedGzip(_) => gzip(body),
        Encoding::Bomb => gzip(&[body, &[b' '; MAX_BODY_BYTES + 1][..]].concat()),
    };
    if let Encoding::TruncatedGzip(end) = encoding {
        sent.truncate(end.index(sent.len()));
    }
    let mut request = webhook(TOKEN, sent.clone());
    if !matches!(encoding, Encoding::Plain) {
        request.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
    }
    let response = service.send(request).await;
    let json = response.json();
    if matches!(encoding, Encoding::Bomb) {
        assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE, "{json}");
        return;
    }
    if json.get("verify_info").is_some() {
        assert_eq!(response.status, StatusCode::OK);
        return;
    }
    let status = match json["data"]["outcome"].as_str() {
        Some("malformed") => StatusCode::BAD_REQUEST,
        Some("quarantined") if json["data"]["duplicate"] == false => StatusCode::ACCEPTED,
        Some(_) => StatusCode::OK,
        None => panic!("{}: {json}", response.status),
    };
    assert_eq!(response.status, status, "{json}");

    let event = format!("/v1/events/{}", json["data"]["event_id"].as_str().unwrap());
    let is_decompressed = matches!(encoding, Encoding::Gzip);
    let expected = if is_decompressed { &body[..] } else { &sent };
    assert!(
        service.get(&format!("{event}/body")).await.bytes == expected,
        "the stored bytes differ"
    );
    // The journal accepts any body, so a rejected row would belong to a projection.
    let reasons = service.data(&event).await["reasons"].to_string();
    assert!(!reasons.contains("refused:"), "{reasons}");
}

#[sqlx::test]
async fn corpus_bodies_are_always_stored_and_never_block_the_queue(db: PgPool) {
    let service = Service::start_with(db, LONG_TIMEOUTS).await;
    for body in corpus().into_iter().chain(large_bodies()) {
        println!("{}", body.name);
        for encoding in [Encoding::Plain, Encoding::Gzip] {
            post_and_check(&service, &body.bytes, &encoding).await;
        }
    }
}

#[sqlx::test]
async fn mutated_bodies_are_always_stored_and_never_block_the_queue(db: PgPool) {
    let deliveries = || prop::collection::vec((mutated_body(), encoding()), 1..12);
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    check_property(
        db,
        LONG_TIMEOUTS,
        config,
        deliveries,
        async |service: &Arc<Service>, deliveries| {
            let mut posting = JoinSet::new();
            for (body, encoding) in deliveries {
                let service = service.clone();
                posting.spawn(async move { post_and_check(&service, &body, &encoding).await });
            }
            posting.join_all().await;
            for list in ["rooms", "events", "broadcasts"] {
                service.data(&format!("/v1/{list}")).await;
            }
        },
    )
    .await;
}
