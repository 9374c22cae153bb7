//! Counts and latencies of responses.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// Upper bound of recorded latencies, in microseconds. Longer ones count as this.
const MAX_LATENCY_US: u64 = 600_000_000;

/// Outcomes in responses of the service.
const OUTCOMES: [&str; 4] = ["applied", "recorded", "quarantined", "spooled"];

/// Counts and latencies of a run.
#[derive(Debug)]
pub struct Report {
    /// Number of events sent.
    pub sent: u64,
    /// Number of events without the expected response.
    pub failed: u64,
    /// Number of events spooled.
    pub spooled: u64,
    /// Number of events that were due but not sent before the end.
    pub unsent: u64,
    took: Duration,
    responses: BTreeMap<(u16, &'static str), u64>,
    errors: BTreeMap<&'static str, u64>,
    latency: Histogram<u64>,
}

impl Default for Report {
    fn default() -> Self {
        let latency =
            Histogram::new_with_bounds(1, MAX_LATENCY_US, 3).expect("the bounds are valid");
        Self {
            sent: 0,
            failed: 0,
            spooled: 0,
            unsent: 0,
            took: Duration::ZERO,
            responses: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency,
        }
    }
}

impl Report {
    /// Records a response. Returns whether it acknowledges the event.
    pub fn responded(
        &mut self,
        status: StatusCode,
        body: &[u8],
        is_truncated: bool,
        latency: Duration,
    ) -> bool {
        let what = match status {
            _ if status.is_success() => outcome(body),
            StatusCode::BAD_REQUEST if is_truncated => "malformed, truncated on purpose",
            _ => "refused",
        };
        *self.responses.entry((status.as_u16(), what)).or_default() += 1;
        self.failed += u64::from(what == "refused");
        self.spooled += u64::from(what == "spooled");
        self.count(latency);
        status.is_success()
    }

    /// Records a request without a response: the event may or may not have been stored.
    pub fn failed(&mut self, error: &'static str, latency: Duration) -> bool {
        *self.errors.entry(error).or_default() += 1;
        self.failed += 1;
        self.count(latency);
        false
    }

    /// Records the duration of the run.
    pub const fn ended(&mut self, took: Duration, unsent: u64) {
        self.took = took;
        self.unsent = unsent;
    }

    /// Whether every event was sent and got the expected response.
    pub const fn is_clean(&self) -> bool {
        self.failed == 0 && self.unsent == 0
    }

    /// The report as JSON.
    pub fn json(&self) -> Value {
        let responses = self.responses.iter().map(
            |((status, what), count)| json!({ "status": status, "what": what, "count": count }),
        );
        let errors = self
            .errors
            .iter()
            .map(|(error, count)| json!({ "status": null, "what": error, "count": count }));
        json!({
            "sent": self.sent,
            "seconds": self.took.as_secs_f64(),
            "events_per_second": self.per_second(),
            "answers": responses.chain(errors).collect::<Vec<_>>(),
            "failed": self.failed,
            "unsent": self.unsent,
            "latency_ms": {
                "p50": self.latency_ms(0.5),
                "p90": self.latency_ms(0.9),
                "p99": self.latency_ms(0.99),
                "p99.9": self.latency_ms(0.999),
                "max": self.latency_ms(1.0),
            },
        })
    }

    fn per_second(&self) -> f64 {
        self.sent as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    fn count(&mut self, latency: Duration) {
        self.sent += 1;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MAX_LATENCY_US);
        self.latency.saturating_record(micros.clamp(1, MAX_LATENCY_US));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let per_second = self.per_second();
        writeln!(f, "sent     {} in {seconds:.1} s, {per_second:.0} events/s", self.sent)?;
        for ((status, what), count) in &self.responses {
            writeln!(f, "{status}      {count} {what}")?;
        }
        for (error, count) in &self.errors {
            writeln!(f, "failed   {count} {error}")?;
        }
        if self.unsent > 0 {
            writeln!(f, "unsent   {} were due, but no connection was free", self.unsent)?;
        }
        let ms = |quantile| self.latency_ms(quantile);
        write!(
            f,
            "latency  p50 {:.1} ms  p90 {:.1} ms  p99 {:.1} ms  p99.9 {:.1} ms  max {:.1} ms",
            ms(0.5),
            ms(0.9),
            ms(0.99),
            ms(0.999),
            ms(1.0),
        )
    }
}

/// Outcome named by a 2xx response; `accepted` if it names none.
fn outcome(body: &[u8]) -> &'static str {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        data: Option<Data<'a>>,
        verify_info: Option<serde::de::IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        outcome: Option<&'a str>,
        duplicate: Option<bool>,
    }
    match serde_json::from_slice(body) {
        Ok(Response { verify_info: Some(_), .. }) => "handshake",
        Ok(Response { data: Some(Data { outcome: Some("spooled"), .. }), .. }) => "spooled",
        Ok(Response { data: Some(Data { duplicate: Some(true), .. }), .. }) => "duplicate",
        Ok(Response { data: Some(Data { outcome: Some(outcome), .. }), .. }) => {
            OUTCOMES.into_iter().find(|known| *known == outcome).unwrap_or("accepted")
        }
        _ => "accepted",
    }
}
