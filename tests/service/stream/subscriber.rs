//! Client of the event stream, with the checks that the tests share.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::binary::DEADLINE;
use crate::harness::{KEY_OF_ALL, ORGANIZATION, Service};
use crate::openapi;

/// Client of the event stream.
pub struct Subscriber {
    body: BodyDataStream,
    unread: String,
    /// Last received event id, as an `EventSource` tracks it.
    pub last_event_id: String,
}

/// Block received from the stream.
#[derive(Debug, PartialEq)]
pub enum Block {
    Event(String, Value),
    Comment(String),
    /// Only `id` or `retry`.
    Control,
}

/// Request of the stream.
pub fn request(key: &str, query: &str, last_event_id: Option<&str>) -> Request<Body> {
    let request =
        Request::get(format!("/v1/stream{query}")).header(AUTHORIZATION, format!("Bearer {key}"));
    let request = match last_event_id {
        Some(id) => request.header("last-event-id", id),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

impl Subscriber {
    /// Subscribes with this key, query and `Last-Event-ID`.
    pub async fn start_with(service: &Service, key: &str, query: &str, last: Option<&str>) -> Self {
        let response = service.respond(request(key, query, last)).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body().into_data_stream();
        Self { body, unread: String::new(), last_event_id: String::new() }
    }

    /// Subscribes to all organisations and reads the first block.
    pub async fn start(service: &Service, query: &str) -> Self {
        let mut subscriber = Self::start_with(service, KEY_OF_ALL, query, None).await;
        assert_eq!(subscriber.next().await, Some(Block::Control));
        subscriber
    }

    /// Resumes after the last event id, possibly at another replica.
    pub async fn resume(self, service: &Service, query: &str) -> Self {
        let last = self.last_event_id;
        let mut subscriber = Self::start_with(service, KEY_OF_ALL, query, Some(&last)).await;
        assert_eq!(subscriber.next().await, Some(Block::Control));
        assert_eq!(subscriber.last_event_id, last);
        subscriber
    }

    /// Next block; none at the end of the stream.
    pub async fn next(&mut self) -> Option<Block> {
        let block = loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let block = block.to_owned();
                self.unread = rest.to_owned();
                break block;
            }
            let bytes =
                timeout(DEADLINE, self.body.next()).await.expect("no data before the deadline")?;
            self.unread.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        };
        let (mut event, mut data, mut comment) = (String::new(), None, None);
        for line in block.lines() {
            let (name, value) = line.split_once(':').unwrap();
            let value = value.trim_start().to_owned();
            match name {
                "id" => self.last_event_id = value,
                "event" => event = value,
                "data" => data = Some(serde_json::from_str(&value).unwrap()),
                "" => comment = Some(value),
                "retry" => assert_eq!(value, "2000"),
                other => panic!("{other}"),
            }
        }
        Some(match (data, comment) {
            (Some(data), None) => Block::Event(event, data),
            (None, Some(comment)) => Block::Comment(comment),
            (None, None) => Block::Control,
            (Some(_), Some(_)) => panic!("{block}"),
        })
    }

    /// Next event; skips other blocks.
    pub async fn event(&mut self) -> Value {
        loop {
            match self.next().await.expect("the stream ended") {
                Block::Event(name, data) => {
                    assert_eq!(data["kind"], json!(name));
                    return data;
                }
                Block::Comment(_) | Block::Control => {}
            }
        }
    }

    /// Subject ids of the next events.
    pub async fn subjects(&mut self, count: usize) -> Vec<String> {
        let mut subjects = Vec::new();
        for _ in 0..count {
            subjects.push(self.event().await["subject_id"].as_str().unwrap().to_owned());
        }
        subjects
    }
}

/// Body of an event whose subject is this message.
pub fn message(id: &str) -> String {
    let message = json!({"data_event": "status_message", "id": id, "room_id": "r",
        "organization_id": ORGANIZATION, "status": "sent"});
    message.to_string()
}

/// Checks the data of an event against the OpenAPI document.
pub fn assert_matches_document(data: &Value) {
    let document = openapi::document();
    let response = &document["paths"]["/v1/stream"]["get"]["responses"]["200"];
    let schema = &response["content"]["text/event-stream"]["schema"];
    openapi::assert_fits(&document, schema, data, "an event of the stream");
}

/// Waits for several polls of the stream.
pub async fn wait_for_polls() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}
