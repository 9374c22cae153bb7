//! Clients that post continuously and record the responses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::harness::ORGANIZATION;

const CLIENTS: usize = 16;

/// Responses received by clients.
#[derive(Debug, Default)]
pub struct Report {
    /// Ids of the messages acknowledged with 2xx.
    pub acknowledged: BTreeSet<String>,
    /// Number of 2xx responses with the outcome `spooled`.
    pub spooled: usize,
    /// Number of 2xx responses with another outcome.
    pub stored: usize,
    /// Number of 503 responses.
    pub rejected: usize,
    /// Number of requests without a response.
    pub failed: usize,
    pub slowest_acknowledgement: Duration,
    pub slowest_rejection: Duration,
    /// Unexpected responses.
    pub problems: BTreeSet<String>,
}

impl Report {
    /// Adds another report.
    pub fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.spooled += other.spooled;
        self.stored += other.stored;
        self.rejected += other.rejected;
        self.failed += other.failed;
        self.slowest_acknowledgement =
            self.slowest_acknowledgement.max(other.slowest_acknowledgement);
        self.slowest_rejection = self.slowest_rejection.max(other.slowest_rejection);
        self.problems.extend(other.problems);
    }
}

pub struct Clients {
    client: PostingClient,
    clients: JoinSet<Report>,
}

impl Clients {
    /// Starts clients that post to these URLs at random. Their first message has the number `first`.
    pub fn start(urls: [String; 2], first: usize) -> Self {
        let client = PostingClient {
            http: Client::builder().timeout(Duration::from_secs(20)).build().unwrap(),
            urls: Arc::new(urls),
            next: Arc::new(AtomicUsize::new(first)),
            is_stopping: Arc::default(),
        };
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(client.clone().post());
        }
        Self { client, clients }
    }

    /// Posts messages at once.
    pub fn burst(&mut self, messages: usize) {
        for _ in 0..messages {
            let client = self.client.clone();
            self.clients.spawn(async move {
                let mut report = Report::default();
                client.post_message(&mut report).await;
                report
            });
        }
    }

    /// Stops the clients; returns the sum of their reports, and the number of the next message.
    pub async fn stop(self) -> (Report, usize) {
        self.client.is_stopping.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        self.clients.join_all().await.into_iter().for_each(|one| report.add(one));
        (report, self.client.next.load(Ordering::Relaxed))
    }
}

/// Client that posts until it is stopped.
#[derive(Clone)]
struct PostingClient {
    http: Client,
    urls: Arc<[String; 2]>,
    next: Arc<AtomicUsize>,
    is_stopping: Arc<AtomicBool>,
}

impl PostingClient {
    async fn post(self) -> Report {
        let mut report = Report::default();
        while !self.is_stopping.load(Ordering::Relaxed) {
            self.post_message(&mut report).await;
            sleep(Duration::from_millis(10)).await;
        }
        report
    }

    async fn post_message(&self, report: &mut Report) {
        let i = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("m{i:08}");
        let body = json!({
            "data_event": "receive_message_from_customer", "id": id, "status": "created",
            "room_id": format!("r{}", i % 100), "organization_id": ORGANIZATION,
            "text": "halo ".repeat(200), "created_at": "2025-06-12T02:15:03.000Z",
            "sender_id": format!("s{}", i % 100), "room": {"unread_count": i,
            "last_activity_at": 1_749_694_503 + i},
        });
        // Some messages are sent three times to random replicas, whatever the responses are.
        let times = if rand::rng().random_ratio(1, 10) { 3 } else { 1 };
        for _ in 0..times {
            let url = &self.urls[rand::rng().random_range(0..2)];
            let began = Instant::now();
            let request = self.http.post(url).header(CONTENT_TYPE, "application/json");
            let response = request.body(body.to_string()).send().await;
            record(report, &id, response, began).await;
        }
    }
}

/// Adds a response to a report.
async fn record(
    report: &mut Report,
    id: &str,
    response: reqwest::Result<reqwest::Response>,
    began: Instant,
) {
    let Ok(response) = response else {
        report.failed += 1;
        sleep(Duration::from_millis(50)).await;
        return;
    };
    let (status, took) = (response.status(), began.elapsed());
    let may_retry = response.headers().contains_key(RETRY_AFTER);
    if status.is_success() {
        report.acknowledged.insert(id.to_owned());
        report.slowest_acknowledgement = report.slowest_acknowledgement.max(took);
        // The replica may be killed while it sends the response.
        let response: Value = response.json().await.unwrap_or_default();
        match response["data"]["outcome"].as_str() {
            Some("spooled") => report.spooled += 1,
            Some(_) => report.stored += 1,
            None => {}
        }
    } else if status == StatusCode::SERVICE_UNAVAILABLE && may_retry {
        report.rejected += 1;
        report.slowest_rejection = report.slowest_rejection.max(took);
        sleep(Duration::from_millis(50)).await;
    } else {
        report.problems.insert(format!("{status}, Retry-After: {may_retry}"));
    }
}
