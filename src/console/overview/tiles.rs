//! Tiles at the top of the overview: a figure and what it means, each with its own link.

use maud::{Markup, html};

use super::figures::{Deliveries, LedgerHour};
use super::{EXPIRING, Stats};
use crate::console::api::{ApiError, List};
use crate::console::conversation::room::Room;
use crate::console::format;
use crate::console::language::fill;
use crate::console::session::Visitor;

/// What is shown of a part that could not be loaded.
const UNKNOWN: &str = "–";

struct Tile {
    href: String,
    name: &'static str,
    value: String,
    hint: String,
    /// Where the hint leads, if not to the same list.
    hint_href: Option<String>,
    tone: &'static str,
}

impl Tile {
    fn draw(&self) -> Markup {
        html! {
            div.tile {
                a.figure href=(self.href) {
                    span.name { (self.name) }
                    strong.value { (self.value) }
                }
                @match &self.hint_href {
                    Some(href) => a.hint.{ "tone-" (self.tone) } href=(href) { (self.hint) },
                    None => span.hint.{ "tone-" (self.tone) } { (self.hint) },
                }
            }
        }
    }
}

/// All tiles.
pub fn tiles(
    visitor: &Visitor,
    stats: &Result<Stats, ApiError>,
    ledger: &Result<List<LedgerHour>, ApiError>,
    expiring: &Result<List<Room>, ApiError>,
) -> Markup {
    let stats = stats.as_ref().ok();
    let all = [
        open(visitor, stats),
        expiring_sessions(visitor, expiring.as_ref().ok()),
        first_response(visitor, stats),
        delivered(visitor, stats),
        webhooks(visitor, ledger.as_ref().ok()),
    ];
    html! { div.tiles { @for tile in &all { (tile.draw()) } } }
}

fn open(visitor: &Visitor, stats: Option<&Stats>) -> Tile {
    let words = visitor.words();
    let number = |count| format::number(&visitor.preferences, count);
    let list = |parameters: &[(&str, &str)]| visitor.link("/console/conversations", parameters);
    let waiting = stats.map_or(0, |stats| stats.rooms.unanswered);
    Tile {
        href: list(&[("status", "unassigned,assigned")]),
        name: words.open_conversations,
        value: stats.map_or(UNKNOWN.to_owned(), |stats| number(stats.rooms.open)),
        hint: match (stats, waiting) {
            (None, _) => String::new(),
            (_, 0) => words.nobody_waits.to_owned(),
            _ => fill(words.unanswered_now, &[&number(waiting)]),
        },
        hint_href: (waiting > 0).then(|| list(&[("response_state", "unanswered")])),
        tone: if waiting > 0 { "warn" } else { "ok" },
    }
}

fn expiring_sessions(visitor: &Visitor, rooms: Option<&List<Room>>) -> Tile {
    let words = visitor.words();
    let count = rooms.map(List::total);
    Tile {
        href: visitor.link("/console/conversations", &EXPIRING),
        name: words.sessions_expiring,
        value: count
            .map_or(UNKNOWN.to_owned(), |count| format::number(&visitor.preferences, count)),
        hint: words.sessions_expiring_hint.to_owned(),
        hint_href: None,
        tone: if count > Some(0) { "warn" } else { "muted" },
    }
}

fn first_response(visitor: &Visitor, stats: Option<&Stats>) -> Tile {
    let words = visitor.words();
    let times = stats.map(|stats| &stats.first_response);
    let duration = |seconds| format::duration_or_dash(&visitor.preferences, seconds);
    Tile {
        href: visitor.link("/console/agents", &[]),
        name: words.first_response,
        value: duration(times.and_then(|times| times.p50_seconds)),
        hint: fill(words.first_response_hint, &[&duration(times.and_then(|it| it.p95_seconds))]),
        hint_href: None,
        tone: "muted",
    }
}

fn delivered(visitor: &Visitor, stats: Option<&Stats>) -> Tile {
    let (words, preferences) = (visitor.words(), &visitor.preferences);
    let rows = stats.map_or(&[][..], |stats| &stats.deliveries);
    let sum = |of: fn(&Deliveries) -> i64| rows.iter().map(of).sum::<i64>();
    let (total, delivered, failed) =
        (sum(|row| row.total), sum(|row| row.delivered), sum(|row| row.failed));
    let numbers = [delivered, total, failed].map(|count| format::number(preferences, count));
    Tile {
        href: visitor.link("/console/deliveries", &[("status", "any")]),
        name: words.delivery_rate,
        value: format::percent(preferences, delivered, total),
        hint: match stats {
            Some(_) => fill(words.delivery_rate_hint, &[&numbers[0], &numbers[1], &numbers[2]]),
            None => String::new(),
        },
        hint_href: (failed > 0).then(|| visitor.link("/console/deliveries", &[])),
        tone: if failed > 0 { "warn" } else { "muted" },
    }
}

fn webhooks(visitor: &Visitor, ledger: Option<&List<LedgerHour>>) -> Tile {
    let words = visitor.words();
    let number = |count| format::number(&visitor.preferences, count);
    let hours = ledger.map_or(&[][..], |list| &list.data);
    let received: i64 = hours.iter().map(|hour| hour.received).sum();
    let strange: i64 = hours.iter().map(|hour| hour.quarantined + hour.malformed).sum();
    let lists = [("outcome", "quarantined,malformed")];
    Tile {
        href: visitor.link("/console/ledger", &[]),
        name: words.webhooks,
        value: if ledger.is_some() { number(received) } else { UNKNOWN.to_owned() },
        hint: match (ledger, strange) {
            (None, _) => String::new(),
            (_, 0) => words.webhooks_fine.to_owned(),
            _ => fill(words.webhooks_hint, &[&number(strange)]),
        },
        hint_href: (strange > 0).then(|| visitor.link("/console/events", &lists)),
        tone: if strange > 0 { "bad" } else { "ok" },
    }
}
