//! A day of traffic that ends now, for a first look at the console: conversations, two broadcasts, and a
//! few webhooks that cannot be understood.

use chrono::TimeDelta;

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
/// Further events that this scenario prepares, so that their order is mixed. They must not be of the future:
/// rooms would stay above all that arrives.
const AHEAD: usize = 64;

/// Bodies that cannot be understood, for the quarantine.
const NOT_UNDERSTOOD: [&[u8]; 3] = [
    br#"{"status":"ok","message":"ping dari monitor"}"#,
    br#"{"data_event":"status_message","status":"read","text":"Terima kasih Kak"}"#,
    b"[]",
];

/// The bodies of the webhooks with the times at which they arrive, in this order. They arrive over the day,
/// so that charts of what was received are filled too.
pub fn day(now: Timestamp) -> Vec<(Timestamp, Vec<u8>)> {
    let seed = now.0.timestamp_millis().unsigned_abs();
    let start = |before: i64| Timestamp(now.0 - TimeDelta::milliseconds(before));
    // A step of the simulated clock takes 4.5 ms on average. The twentieth that is left keeps random steps
    // from ending in the future.
    let pace = |length: i64, events: usize| length * 19 / 20 * 2 / 9 / events as i64;
    let chat = Traffic::new(Scenario::Chat, seed, start(DAY), 1).at_pace(pace(DAY, CHAT_EVENTS));
    let broadcasts = Traffic::new(Scenario::Broadcast, seed, start(DAY / 3), RECIPIENTS)
        .at_pace(pace(DAY / 4, 8 * RECIPIENTS as usize))
        .end_after(2);
    let strange = Traffic::new(Scenario::Storm, seed, start(DAY / 12), 8)
        .at_pace(pace(DAY / 24, STRANGE_EVENTS + AHEAD));
    let mut day = Vec::new();
    for (mut traffic, events) in
        [(chat, CHAT_EVENTS), (broadcasts, usize::MAX), (strange, STRANGE_EVENTS)]
    {
        for _ in 0..events {
            let Some(webhook) = traffic.next() else { break };
            day.push((traffic.time().min(now), webhook.body));
        }
    }
    for (hours, body) in (1..).zip(NOT_UNDERSTOOD) {
        day.push((start(hours * DAY / 24), body.to_vec()));
    }
    day.sort_by_key(|(at, _)| *at);
    day
}
