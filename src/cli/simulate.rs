//! `qontak-receiver simulate`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::replay::time;
use crate::model::Timestamp;
use crate::simulate::{Address, Api, Limit, Load, Scenario, Traffic, verify};

/// What to send, where, and how fast.
#[derive(Args)]
pub struct Arguments {
    /// The webhook's URL: http://host:port/webhooks/qontak/TOKEN.
    url: Address,
    /// What kind of traffic.
    #[arg(long, value_enum, default_value_t = Scenario::Chat)]
    scenario: Scenario,
    /// The same seed sends the same bytes, which a service knows again on the same day. One is
    /// made up, and printed, unless it is given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// When the story begins, by Qontak's clock; the past, since a clock that is more than a day
    /// ahead is not believed. An event takes some milliseconds of it.
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2025-06-12T01:00:00Z")]
    start: Timestamp,
    /// Connections, each with one event at a time.
    #[arg(long, value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Send so many events a second, whether or not the answers keep up; latency counts from
    /// when an event was due. Else as many as the connections bear.
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    #[command(flatten)]
    end: End,
    /// Recipients of each broadcast.
    #[arg(long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..))]
    recipients: u32,
    /// Send each event again, some 300 later: half of all are duplicates.
    #[arg(long)]
    twice: bool,
    /// Afterwards look whether all of it is found over the read API: http://host:port.
    #[arg(long, value_name = "API_URL", requires = "key")]
    verify: Option<Address>,
    /// A key of the read API that may see every organisation.
    #[arg(long, requires = "verify")]
    key: Option<String>,
    /// Print what came of it as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct End {
    /// Stop after so many seconds.
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Stop after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop once so many broadcasts are over, each recipient's last status included; with
    /// `--scenario broadcast`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    broadcasts: Option<u32>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=1e9).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds, from 0.1".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "expected a number of events, 0.001 to 1000000".to_owned())
}

/// Sends, measures, verifies, and prints what came of it.
pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments {
        url,
        scenario,
        seed,
        start,
        connections,
        rate,
        end,
        recipients,
        twice,
        verify: api,
        key,
        json,
    } = arguments;
    ensure!(start.is_plausible(Timestamp::now()), "--start: expected a time from 2015 to now");
    let api = match (api, key) {
        (Some(address), Some(key)) => Some(Api::new(address, &key)?),
        _ => None,
    };
    // Of a random id a half is random enough.
    let seed = seed.unwrap_or_else(|| Uuid::now_v7().as_u64_pair().1 >> 32);
    let mut traffic = Traffic::new(scenario, seed, start, recipients);
    let limit = match end {
        End { seconds: Some(time), .. } => Limit::Time(time),
        End { count: Some(count), .. } => Limit::Count(count),
        End { broadcasts, .. } => {
            ensure!(scenario == Scenario::Broadcast, "--broadcasts: needs --scenario broadcast");
            traffic = traffic.end_after(broadcasts.unwrap_or_default());
            Limit::EndOfTraffic
        }
    };
    if twice {
        traffic = traffic.twice();
    }
    let organization_id = traffic.organization_id();
    let load = Load { to: url, connections: connections.into(), rate, limit };
    let (report, expected) = load.run(traffic).await?;
    if !json {
        println!("seed     {seed}, organization_id {organization_id}\n{report}");
    }
    let mut verdict = None;
    if let Some(api) = api {
        let verdict = verdict.insert(verify(api, expected, report.spooled).await?);
        if !json {
            println!("{verdict}");
        }
    }
    if json {
        let mut all = report.json();
        all["seed"] = seed.into();
        all["organization_id"] = organization_id.into();
        all["verified"] = json!(verdict);
        println!("{all}");
    }
    let is_clean = report.is_clean() && verdict.is_none_or(|verdict| verdict.is_clean());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
