//! Counts and durations of requests, by route and status.
//!
//! A route is a pattern of the router, never a path, so the labels are bounded.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::trace::Phase;
use crate::telemetry::catalog::PHASES;

/// Pattern of the webhook route.
pub const WEBHOOK_ROUTE: &str = "/webhooks/qontak/{token}";

/// Statuses of webhooks.
const WEBHOOK_STATUSES: [u16; 11] = [200, 202, 400, 405, 408, 413, 415, 421, 429, 500, 503];

/// Metrics of webhooks, found once: finding them costs some allocations.
static WEBHOOKS: LazyLock<Webhooks> = LazyLock::new(|| {
    let counter = |status| (status, counter(WEBHOOK_ROUTE, status));
    Webhooks { counters: WEBHOOK_STATUSES.map(counter), seconds: seconds(WEBHOOK_ROUTE) }
});

struct Webhooks {
    counters: [(u16, Counter); WEBHOOK_STATUSES.len()],
    seconds: Histogram,
}

/// Makes the metrics of webhooks visible before the first one.
pub fn register() {
    LazyLock::force(&WEBHOOKS);
}

/// Records a request that ended.
pub fn record(route: &str, status: u16, took: Duration) {
    if route == WEBHOOK_ROUTE {
        let found = WEBHOOKS.counters.iter().find(|(known, _)| *known == status);
        found.map_or_else(|| counter(route, status).increment(1), |(_, it)| it.increment(1));
        WEBHOOKS.seconds.record(took);
    } else {
        counter(route, status).increment(1);
        seconds(route).record(took);
    }
}

/// Histograms of the phases of a webhook.
static PHASE_SECONDS: LazyLock<Vec<Histogram>> = LazyLock::new(|| {
    let seconds =
        |phase: &&'static str| histogram!("qontak_receiver_phase_seconds", "phase" => *phase);
    PHASES.iter().map(seconds).collect()
});

/// Records phases of a webhook that was stored.
pub fn record_phases(phases: &[Phase]) {
    for Phase { name, began, ended } in phases {
        if let Some(at) = PHASES.iter().position(|known| known == name) {
            PHASE_SECONDS[at].record(ended.duration_since(*began));
        }
    }
}

fn counter(route: &str, status: u16) -> Counter {
    let (route, status) = (route.to_owned(), status.to_string());
    counter!("qontak_receiver_requests_total", "route" => route, "status" => status)
}

fn seconds(route: &str) -> Histogram {
    histogram!("qontak_receiver_request_seconds", "route" => route.to_owned())
}
