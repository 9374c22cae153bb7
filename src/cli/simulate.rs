//! `qontak-receiver simulate`: sends simulated webhooks, measures, and verifies; or serves a fake of
//! Qontak's own API.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::output::print_line;
use super::replay::time;
use crate::model::Timestamp;
use crate::simulate::{Address, Api, Fake, Limit, Load, Scenario, Traffic, verify};

/// Arguments of `simulate`.
#[derive(Args)]
pub struct Arguments {
    /// URL of the webhook: http://host:port/webhooks/qontak/TOKEN
    #[arg(required_unless_present = "serve", conflicts_with = "serve")]
    url: Option<Address>,
    /// Kind of traffic
    #[arg(long, value_enum, default_value_t = Scenario::Chat)]
    scenario: Scenario,
    /// Seed of the traffic: the same seed sends the same bytes, which are duplicates on the same day
    /// [default: random, printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Start of the simulated time, in the past; each event advances it by a few milliseconds
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2025-06-12T01:00:00Z")]
    start: Timestamp,
    /// Number of connections, each with one request in flight
    #[arg(long, value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Events per second, independent of the responses; latency counts from the scheduled time
    /// [default: as many as the connections can send]
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    #[command(flatten)]
    end: End,
    /// Recipients per broadcast
    #[arg(long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..))]
    recipients: u32,
    /// Send each event again after about 300 others, so that half of all are duplicates
    #[arg(long)]
    twice: bool,
    /// Compare the final state with the read API at http://host:port
    #[arg(long, value_name = "API_URL", requires = "key")]
    verify: Option<Address>,
    /// API key that may read all organisations
    #[arg(long, requires = "verify")]
    key: Option<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct End {
    /// Stop after this many seconds
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Stop after this many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Stop after the last status of this many broadcasts; requires --scenario broadcast
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    broadcasts: Option<u32>,
    /// Send nothing; serve a fake of Qontak's own API at this address, for `register` and the watch,
    /// until Ctrl-C. Prints its credentials
    #[arg(long, value_name = "HOST:PORT")]
    serve: Option<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=1e9).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a number of seconds from 0.1 to 1000000000".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or_else(|| "expected a number of events from 0.001 to 1000000".to_owned())
}

/// Serves the fake until the process ends.
async fn serve(address: &str, seed: u64) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("--serve: cannot listen on {address}"))?;
    let (fake, address) = (Fake::new(seed), listener.local_addr()?);
    let credentials = fake.credentials();
    print_line(format_args!(
        "api            http://{address}\nstate          http://{address}/fake\nseed           {seed}\n\
         organization   {}\nclient_id      {}\nclient_secret  {}\naccess_token   {}\n\
         refresh_token  {}",
        credentials.organization_id,
        credentials.client_id,
        credentials.client_secret,
        credentials.access_token,
        credentials.refresh_token,
    ));
    Ok(fake.serve(listener).await?)
}

/// Sends, measures, verifies, and prints the result.
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
    // 32 random bits.
    let seed = seed.unwrap_or_else(|| Uuid::now_v7().as_u64_pair().1 >> 32);
    let Some(url) = url else {
        serve(&end.serve.unwrap_or_default(), seed).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut traffic = Traffic::new(scenario, seed, start, recipients);
    let limit = match end {
        End { seconds: Some(time), .. } => Limit::Time(time),
        End { count: Some(count), .. } => Limit::Count(count),
        End { broadcasts, .. } => {
            ensure!(scenario == Scenario::Broadcast, "--broadcasts: requires --scenario broadcast");
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
        print_line(format_args!("seed     {seed}, organization_id {organization_id}\n{report}"));
    }
    let mut verdict = None;
    if let Some(api) = api {
        let verdict = verdict.insert(verify(api, expected, report.spooled).await?);
        if !json {
            print_line(format_args!("{verdict}"));
        }
    }
    if json {
        let mut result = report.json();
        result["seed"] = seed.into();
        result["organization_id"] = organization_id.into();
        result["verified"] = json!(verdict);
        print_line(format_args!("{result}"));
    }
    let is_clean = report.is_clean() && verdict.is_none_or(|verdict| verdict.is_clean());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
