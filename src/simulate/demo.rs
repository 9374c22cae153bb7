//! A day of traffic that ends now, for a first look at the console: conversations, two broadcasts, and a
//! few webhooks that cannot be understood.

use super::traffic::{Scenario, Traffic};
use crate::model::Timestamp;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// Events of conversations; two thirds of the traffic.
const CHAT_EVENTS: usize = 2400;
/// Recipients of each broadcast.
const RECIPIENTS: u32 = 160;
/// Events in old and invalid shapes.
const STRANGE_EVENTS: usize = 80;
/// Average milliseconds of a step of the simulated clock.
const STEP: i64 = 5;

/// The bodies of the webhooks, in order.
pub fn day(now: Timestamp) -> Vec<Vec<u8>> {
    let seed = now.0.timestamp_millis().unsigned_abs();
    let start = |before: i64| Timestamp(now.0 - chrono::TimeDelta::milliseconds(before));
    let pace = |length: i64, events: usize| length / STEP / events as i64;
    let chat = Traffic::new(Scenario::Chat, seed, start(DAY), 1)
        .at_pace(pace(DAY, CHAT_EVENTS))
        .take(CHAT_EVENTS);
    let broadcasts = Traffic::new(Scenario::Broadcast, seed, start(DAY / 3), RECIPIENTS)
        .at_pace(pace(DAY / 4, 8 * RECIPIENTS as usize))
        .end_after(2);
    let strange = Traffic::new(Scenario::Storm, seed, start(DAY / 24), 8)
        .at_pace(pace(DAY / 24, STRANGE_EVENTS))
        .take(STRANGE_EVENTS);
    chat.chain(broadcasts).chain(strange).map(|webhook| webhook.body).collect()
}
