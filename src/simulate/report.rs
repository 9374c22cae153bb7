//! What became of what was sent, counted.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

/// Longer than any answer may take, in microseconds; what was due even longer ago counts as this.
const LONGEST: u64 = 600_000_000;

/// Outcomes that answers name, in Qontak's envelope.
const OUTCOMES: [&str; 4] = ["applied", "recorded", "quarantined", "spooled"];

/// Counts of answers, and how long they took.
#[derive(Debug)]
pub struct Report {
    /// How many were sent.
    pub sent: u64,
    /// How many were not answered as they should be.
    pub failed: u64,
    /// How many are yet to be stored.
    pub spooled: u64,
    /// How many were due but not even sent, because the time was over.
    pub unsent: u64,
    took: Duration,
    answers: BTreeMap<(u16, &'static str), u64>,
    unanswered: BTreeMap<&'static str, u64>,
    latency: Histogram<u64>,
}

impl Default for Report {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are sound");
        Self {
            sent: 0,
            failed: 0,
            spooled: 0,
            unsent: 0,
            took: Duration::ZERO,
            answers: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            latency,
        }
    }
}

impl Report {
    /// Counts an answer; true if it says that the event may be forgotten.
    pub fn answered(
        &mut self,
        status: StatusCode,
        body: &[u8],
        is_cut: bool,
        latency: Duration,
    ) -> bool {
        let what = match status {
            _ if status.is_success() => outcome(body),
            StatusCode::BAD_REQUEST if is_cut => "malformed, cut off on purpose",
            _ => "refused",
        };
        *self.answers.entry((status.as_u16(), what)).or_default() += 1;
        self.failed += u64::from(what == "refused");
        self.spooled += u64::from(what == "spooled");
        self.count(latency);
        status.is_success()
    }

    /// Counts one that had no answer, so that nobody knows what became of it.
    pub fn unanswered(&mut self, why: &'static str, latency: Duration) -> bool {
        *self.unanswered.entry(why).or_default() += 1;
        self.failed += 1;
        self.count(latency);
        false
    }

    /// Says how long it took to send all of it.
    pub const fn ended(&mut self, took: Duration, unsent: u64) {
        self.took = took;
        self.unsent = unsent;
    }

    /// Whether everything was sent, and answered as it should be.
    pub const fn is_clean(&self) -> bool {
        self.failed == 0 && self.unsent == 0
    }

    /// All of it, for programs.
    pub fn json(&self) -> Value {
        let answers = self.answers.iter().map(
            |((status, what), count)| json!({ "status": status, "what": what, "count": count }),
        );
        let unanswered = self
            .unanswered
            .iter()
            .map(|(why, count)| json!({ "status": null, "what": why, "count": count }));
        json!({
            "sent": self.sent,
            "seconds": self.took.as_secs_f64(),
            "events_per_second": self.per_second(),
            "answers": answers.chain(unanswered).collect::<Vec<_>>(),
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
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST);
        self.latency.saturating_record(micros.clamp(1, LONGEST));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let per_second = self.per_second();
        writeln!(f, "sent     {} in {seconds:.1} s, {per_second:.0} events/s", self.sent)?;
        for ((status, what), count) in &self.answers {
            writeln!(f, "{status}      {count} {what}")?;
        }
        for (why, count) in &self.unanswered {
            writeln!(f, "failed   {count} {why}")?;
        }
        if self.unsent > 0 {
            writeln!(f, "unsent   {} were due, but there was no free connection", self.unsent)?;
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

/// What a 2xx says became of the event; `accepted` if it does not say.
fn outcome(body: &[u8]) -> &'static str {
    #[derive(Deserialize)]
    struct Answer<'a> {
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
        Ok(Answer { verify_info: Some(_), .. }) => "handshake",
        Ok(Answer { data: Some(Data { outcome: Some("spooled"), .. }), .. }) => "spooled",
        Ok(Answer { data: Some(Data { duplicate: Some(true), .. }), .. }) => "duplicate",
        Ok(Answer { data: Some(Data { outcome: Some(said), .. }), .. }) => {
            OUTCOMES.into_iter().find(|known| *known == said).unwrap_or("accepted")
        }
        _ => "accepted",
    }
}
