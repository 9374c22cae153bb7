//! Clients that post without pause, and remember what they were told.

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

/// What clients were told.
#[derive(Debug, Default)]
pub struct Told {
    /// Ids of what was answered 2xx.
    pub acknowledged: BTreeSet<String>,
    /// How many of these answers said that it is in a spool.
    pub spooled: usize,
    /// How many answers were 503.
    pub refused: usize,
    /// How often there was no answer.
    pub unanswered: usize,
    pub slowest_acknowledgement: Duration,
    pub slowest_refusal: Duration,
    /// Answers that should not be.
    pub complaints: BTreeSet<String>,
}

impl Told {
    fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.spooled += other.spooled;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.slowest_acknowledgement =
            self.slowest_acknowledgement.max(other.slowest_acknowledgement);
        self.slowest_refusal = self.slowest_refusal.max(other.slowest_refusal);
        self.complaints.extend(other.complaints);
    }
}

pub struct Clients {
    is_over: Arc<AtomicBool>,
    clients: JoinSet<Told>,
}

impl Clients {
    /// Starts clients that post to any of these URLs.
    pub fn start(urls: &[String; 2]) -> Self {
        let (is_over, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let client = One { urls: urls.clone(), next: next.clone(), is_over: is_over.clone() };
            clients.spawn(client.post());
        }
        Self { is_over, clients }
    }

    /// Lets them end, and returns what all of them were told.
    pub async fn stop(self) -> Told {
        self.is_over.store(true, Ordering::Relaxed);
        let mut told = Told::default();
        self.clients.join_all().await.into_iter().for_each(|one| told.add(one));
        told
    }
}

struct One {
    urls: [String; 2],
    next: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl One {
    async fn post(self) -> Told {
        let http = Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let mut told = Told::default();
        while !self.is_over.load(Ordering::Relaxed) {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            let id = format!("m{i:08}");
            let body = json!({
                "data_event": "receive_message_from_customer", "id": id, "status": "created",
                "room_id": format!("r{}", i % 100), "organization_id": ORGANIZATION,
                "text": "halo ".repeat(200), "created_at": "2025-06-12T02:15:03.000Z",
                "sender_id": format!("s{}", i % 100), "room": {"unread_count": i,
                "last_activity_at": 1_749_694_503 + i},
            });
            // Some are sent twice though they were acknowledged, to any replica; and who was not
            // told anything may try again, or not.
            let times = if rand::rng().random_ratio(1, 10) { 3 } else { 1 };
            for _ in 0..times {
                let url = &self.urls[rand::rng().random_range(0..2)];
                let began = Instant::now();
                let request = http.post(url).header(CONTENT_TYPE, "application/json");
                let answer = request.body(body.to_string()).send().await;
                note(&mut told, &id, answer, began).await;
            }
            sleep(Duration::from_millis(10)).await;
        }
        told
    }
}

async fn note(
    told: &mut Told,
    id: &str,
    answer: reqwest::Result<reqwest::Response>,
    began: Instant,
) {
    let Ok(answer) = answer else {
        told.unanswered += 1;
        sleep(Duration::from_millis(50)).await;
        return;
    };
    let (status, took) = (answer.status(), began.elapsed());
    let may_retry = answer.headers().contains_key(RETRY_AFTER);
    if status.is_success() {
        told.acknowledged.insert(id.to_owned());
        told.slowest_acknowledgement = told.slowest_acknowledgement.max(took);
        // It may be killed in the middle of the answer.
        let answer: Value = answer.json().await.unwrap_or_default();
        told.spooled += usize::from(answer["data"]["outcome"] == "spooled");
    } else if status == StatusCode::SERVICE_UNAVAILABLE && may_retry {
        told.refused += 1;
        told.slowest_refusal = told.slowest_refusal.max(took);
        sleep(Duration::from_millis(50)).await;
    } else {
        told.complaints.insert(format!("{status}, Retry-After: {may_retry}"));
    }
}
