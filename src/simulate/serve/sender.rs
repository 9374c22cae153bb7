//! Sender of webhooks that loses, repeats and reorders some of them: `POST /fake/send`.
//!
//! As Qontak it sends an event to each URL of its category, if it is on. Everything that happens in the
//! organisation is recorded, whether or not it is sent: `GET /fake/truth` counts what receivers lack, and
//! `POST /fake/verify` compares a receiver's API with the state of the organisation.

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::response::error;
use super::state::{CATEGORIES, Fake, State};
use crate::simulate::client::{Address, Client};
use crate::simulate::traffic::{Scenario, Traffic};
use crate::simulate::verify::{Api, verify};
use crate::simulate::world::World;

/// Maximum number of events of a request.
const MAX_EVENTS: usize = 100_000;

/// What to send, and how badly.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    scenario: Scenario,
    count: usize,
    /// Recipients per broadcast.
    recipients: u32,
    /// Time of the first event; without it, the time of the last one.
    start: Option<DateTime<Utc>>,
    /// Share of events that are not sent.
    drop_percent: u32,
    /// Share of events that are sent twice.
    duplicate_percent: u32,
    /// Number of events among which the order is random.
    shuffle: usize,
    /// Number of events after which nothing is sent.
    stop_after: Option<usize>,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            scenario: Scenario::Chat,
            count: 100,
            recipients: 50,
            start: None,
            drop_percent: 0,
            duplicate_percent: 0,
            shuffle: 1,
            stop_after: None,
        }
    }
}

/// A webhook to send.
struct Delivery {
    number: u64,
    body: Vec<u8>,
}

/// Lets events happen and sends them. Responds when all are sent.
pub async fn send(
    Extract(fake): Extract<Fake>,
    Json(order): Json<Order>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    if order.count > MAX_EVENTS || order.scenario == Scenario::Storm || order.recipients == 0 {
        let expected = "expected at most 100000 events of chat, broadcast or message";
        return Err(error(StatusCode::UNPROCESSABLE_ENTITY, &[expected]));
    }
    let (deliveries, dropped) = fake.state().make(&order);
    let (mut sent, mut failed) = (0, 0);
    for Delivery { number, body } in deliveries {
        let Ok(parsed) = serde_json::from_slice::<Value>(&body) else { continue };
        let receivers = fake.state().receivers(&parsed);
        for url in receivers {
            sent += 1;
            let Ok(address) = url.parse::<Address>() else { continue };
            let response = Client::new(address).post(body.clone()).await;
            if response.is_ok_and(|(status, _)| status.is_success()) {
                fake.state().records.deliver(number, &parsed);
            } else {
                failed += 1;
            }
        }
    }
    let lacking = fake.state().records.lacking();
    let result = json!({ "sent": sent, "dropped": dropped, "failed": failed, "lacking": lacking });
    Ok(Json(result))
}

impl State {
    /// Lets events happen, and chooses those that are sent, in the order of sending. Also returns how
    /// many are not sent.
    fn make(&mut self, order: &Order) -> (Vec<Delivery>, usize) {
        if let Some(start) = order.start {
            self.world.now = self.world.now.max(start.timestamp_millis());
        }
        let world = std::mem::replace(&mut self.world, World::new(0, 0));
        let mut traffic = Traffic::in_world(world, order.scenario, order.recipients);
        let webhooks: Vec<_> = traffic.by_ref().take(order.count).collect();
        self.world = traffic.into_world();
        let mut waiting = Vec::new();
        let (mut deliveries, mut dropped) = (Vec::new(), 0);
        for (place, webhook) in webhooks.into_iter().enumerate() {
            let Ok(parsed) = serde_json::from_slice(&webhook.body) else { continue };
            let number = self.records.add(&parsed);
            self.expected.add(&webhook.claim, true);
            let is_dropped = self.world.below(100) < order.drop_percent
                || order.stop_after.is_some_and(|end| place >= end);
            if is_dropped {
                dropped += 1;
                continue;
            }
            let copies = 1 + usize::from(self.world.below(100) < order.duplicate_percent);
            waiting.extend((0..copies).map(|_| Delivery { number, body: webhook.body.clone() }));
            while waiting.len() >= order.shuffle.max(1) {
                let one = self.world.below(waiting.len() as u32) as usize;
                deliveries.push(waiting.swap_remove(one));
            }
        }
        deliveries.append(&mut waiting);
        (deliveries, dropped)
    }

    /// URLs that receive an event.
    fn receivers(&self, body: &Value) -> Vec<String> {
        let event = body["data_event"].as_str().unwrap_or_default();
        let category = CATEGORIES.iter().find(|(_, events)| events.contains(&event));
        let Some((category, _)) = category.filter(|_| self.enabled.get(event) == Some(&true))
        else {
            return Vec::new();
        };
        let rows = self.webhooks.get(category).into_iter().flatten();
        rows.map(|row| row.url.clone()).collect()
    }
}

/// `GET /fake/truth`: what receivers lack.
pub async fn truth(Extract(fake): Extract<Fake>) -> Json<Value> {
    Json(json!(fake.state().records.lacking()))
}

/// Read API of a receiver.
#[derive(Deserialize)]
pub struct Receiver {
    api: String,
    key: String,
}

/// `POST /fake/verify`: compares a receiver's API with the state of the organisation.
pub async fn compare(
    Extract(fake): Extract<Fake>,
    Json(receiver): Json<Receiver>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let expected = fake.state().expected.clone();
    let verdict = async {
        let api = Api::new(receiver.api.parse()?, &receiver.key)?;
        verify(api, expected, 0).await
    };
    match verdict.await {
        Ok(verdict) => Ok(Json(json!(verdict))),
        Err(cause) => Err(error(StatusCode::BAD_GATEWAY, &[&cause.to_string()])),
    }
}
