//! Sends, by `qontak-receiver simulate`: closed loop, so each connection sends the next event when
//! the last one is answered.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::running::this_as;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// Messages and their statuses, 1.7 KB each.
    Messages,
    /// The same, where 10 million are already.
    Stored,
    /// All kinds of events: `simulate --scenario storm`.
    Mix,
    /// Messages, each sent twice.
    Duplicates,
    /// A broadcast to 100,000.
    Broadcast,
}

impl Scenario {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Self; 5] =
        [Self::Messages, Self::Stored, Self::Mix, Self::Duplicates, Self::Broadcast];

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Messages | Self::Stored => &["--scenario", "message"],
            Self::Mix => &["--scenario", "storm"],
            Self::Duplicates => &["--scenario", "message", "--twice"],
            Self::Broadcast => &["--scenario", "broadcast", "--recipients", "100000"],
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "Messages",
            Self::Stored => "Messages, where 10 million are stored",
            Self::Mix => "All kinds of events",
            Self::Duplicates => "Messages, half of them duplicates",
            Self::Broadcast => "A broadcast to 100,000",
        })
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// After so many events.
    Count(u32),
    /// After some time.
    Time(Duration),
    /// Once the last recipient of the broadcast has its last status.
    Broadcast,
}

impl End {
    fn arguments(self) -> [String; 2] {
        let (name, value) = match self {
            Self::Count(count) => ("--count", count.to_string()),
            Self::Time(time) => ("--seconds", time.as_secs_f64().to_string()),
            Self::Broadcast => ("--broadcasts", "1".to_owned()),
        };
        [name.to_owned(), value]
    }
}

/// What came of it.
pub struct Sent {
    /// How many deliveries the service has acknowledged, so must have.
    pub acknowledged: u64,
    /// How many of them it knew already.
    pub duplicates: u64,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Sends a scenario to a webhook's URL, until `end`. Fails unless every answer is as it should be.
pub async fn send(
    url: &str,
    scenario: Scenario,
    connections: u16,
    end: End,
) -> anyhow::Result<Sent> {
    let mut command = this_as("receiver")?;
    command.env_clear().kill_on_drop(true);
    command.args(["simulate", url, "--json", "--connections", &connections.to_string()]);
    command.args(scenario.arguments()).args(end.arguments());
    let output = command.output().await.context("simulate cannot be started")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("simulate: {}: {}{said}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let report: Report = serde_json::from_str(&said).context("simulate --json")?;
    // There is no spool, and what is only accepted says nothing of itself.
    let of = |what| report.answers.iter().filter(move |answer| answer.what == what);
    let count = |what| of(what).map(|answer| answer.count).sum::<u64>();
    ensure!(count("spooled") + count("accepted") == 0, "unexpected answers: {said}");
    Ok(Sent {
        // A handshake is no event.
        acknowledged: report.sent - count("handshake"),
        duplicates: count("duplicate"),
        seconds: report.seconds,
        p50_ms: report.latency_ms.p50,
        p99_ms: report.latency_ms.p99,
    })
}

#[derive(Deserialize)]
struct Report {
    sent: u64,
    seconds: f64,
    answers: Vec<Answer>,
    latency_ms: Latency,
}

#[derive(Deserialize)]
struct Answer {
    what: String,
    count: u64,
}

#[derive(Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
}
