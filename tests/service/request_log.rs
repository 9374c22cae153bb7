//! Log lines and traces of requests, from the real binary.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::Value;
use sqlx::PgPool;

use super::binary::Process;
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, TOKEN, settings};
use super::spool::wait_until;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Runs the service with settings, sends a webhook and a read, and returns the lines of requests.
async fn lines(db: &PgPool, changed: &[(&str, &str)]) -> Vec<Value> {
    let mut settings = settings(&db.connect_options());
    for (name, value) in changed {
        settings.insert((*name).into(), (*value).into());
    }
    let service = Process::start(settings).await;
    let client = reqwest::Client::new();
    let webhook = client.post(format!("{}/webhooks/qontak/{TOKEN}", service.url));
    let webhook = webhook.body(body("01")).header("x-forwarded-for", "192.0.2.1, 198.51.100.7");
    assert_eq!(webhook.send().await.unwrap().status(), 200);
    let organization: String =
        sqlx::query_scalar("select organization_id(organization) from event")
            .fetch_one(db)
            .await
            .unwrap();
    for path in [format!("/v1/rooms?organization_id={organization}"), "/v1/nothing".to_owned()] {
        let read = client.get(format!("{}{path}", service.url)).bearer_auth(KEY_OF_ALL);
        read.send().await.unwrap();
    }
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let lines = log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["message"] == "request").collect()
}

#[sqlx::test(migrations = false)]
async fn log_lines_name_endpoint_organization_and_key(db: PgPool) {
    let lines = lines(&db, &[]).await;
    let [webhook, read, unknown] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(webhook["endpoint"], "qontak");
    assert_eq!(webhook["organization"], read["organization"]);
    assert!(webhook["organization"].is_string(), "{webhook}");
    assert_eq!(read["key"], "all");
    assert!(unknown.get("key").is_none() && unknown["reason"] == "not_found", "{unknown}");
    assert!(lines.iter().all(|line| line.get("peer").is_none()), "{lines:?}");
}

#[sqlx::test(migrations = false)]
async fn log_lines_show_the_peer_that_the_settings_ask_for(db: PgPool) {
    let connection = lines(&db, &[("RECEIVER__LOG__PEER", "connection")]).await;
    assert!(connection.iter().all(|line| line["peer"] == "127.0.0.1"), "{connection:?}");
    // The client can write the first address itself.
    let forwarded = lines(&db, &[("RECEIVER__LOG__PEER", "x-forwarded-for")]).await;
    assert_eq!(forwarded[0]["peer"], "198.51.100.7");
    assert!(forwarded[1].get("peer").is_none(), "{forwarded:?}");
}

#[sqlx::test(migrations = false)]
async fn sampling_leaves_out_successes_only(db: PgPool) {
    let lines = lines(&db, &[("RECEIVER__LOG__SAMPLE", "1000")]).await;
    let statuses: Vec<_> = lines.iter().map(|line| line["http.status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 404]);
}

/// Spans that a collector has received, with the name of the service.
type Received = Arc<Mutex<Vec<Span>>>;

async fn collect(State(received): State<Received>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        assert!(attributes.iter().any(|it| it.key == "service.name"), "{attributes:?}");
        received.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|it| it.spans));
    }
}

/// Attributes that are texts.
fn texts(span: &Span) -> BTreeMap<&str, &str> {
    let attributes = span.attributes.iter();
    let texts = attributes.filter_map(|it| match it.value.as_ref()?.value.as_ref()? {
        AnyValue::StringValue(text) => Some((&*it.key, &**text)),
        _ => None,
    });
    texts.collect()
}

#[sqlx::test(migrations = false)]
async fn trace_of_a_webhook_continues_that_of_the_caller(db: PgPool) {
    let received = Received::default();
    let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", collector.local_addr().unwrap());
    let routes = Router::new().route("/v1/traces", post(collect)).with_state(received.clone());
    let collector = tokio::spawn(async move { axum::serve(collector, routes).await });

    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__TRACE__ENDPOINT".into(), address);
    let service = Process::start(settings).await;
    let client = reqwest::Client::new();
    let send = async |flags: &str| {
        let webhook = client.post(format!("{}/webhooks/qontak/{TOKEN}", service.url));
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
        let response = webhook.body(body("01")).header("traceparent", parent).send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    // The caller does not record the first one.
    send("00").await;
    let request_id = send("01").await;
    assert_eq!(request_id, TRACE);
    let stored: String =
        sqlx::query_scalar("select request_id from event").fetch_one(&db).await.unwrap();
    assert_eq!(stored, TRACE);
    service.signal("TERM");
    assert_eq!(service.wait_for_exit().await.0, Some(0));
    wait_until(async || !received.lock().unwrap().is_empty()).await;

    let spans = received.lock().unwrap().clone();
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let request = spans.iter().find(|span| span.name.starts_with("POST ")).unwrap();
    assert_eq!(request.name, "POST /webhooks/qontak/{token}");
    assert_eq!(hex(&request.trace_id), TRACE);
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    let texts = texts(request);
    assert_eq!((texts["endpoint"], texts["event.outcome"]), ("qontak", "applied"));
    let phases: Vec<_> =
        spans.iter().filter(|span| span.parent_span_id == request.span_id).collect();
    let names: Vec<_> = phases.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["read", "parse", "queue", "commit", "reply"]);
    for pair in phases.windows(2) {
        assert!(pair[0].end_time_unix_nano <= pair[1].start_time_unix_nano + 1000, "{pair:?}");
    }
    assert!(phases.iter().all(|span| span.start_time_unix_nano >= request.start_time_unix_nano));
    assert_eq!(spans.len(), 6);
    assert!(!format!("{spans:?}").contains(TOKEN));
    collector.abort();
}

#[sqlx::test(migrations = false)]
async fn unreachable_collector_holds_up_nothing(db: PgPool) {
    let lines = lines(&db, &[("RECEIVER__TRACE__ENDPOINT", "http://127.0.0.1:1")]).await;
    assert_eq!(lines[0]["http.status"], 200);
}
