//! The NATS cluster of the spool: whether an acknowledged webhook survives a power cut, and the streams.

use anyhow::Context;
use serde::Deserialize;

use super::{Check, port};
use crate::config::{self, Config, Monitor};
use crate::ingest::spool::nats::Nats;

/// Oldest version: earlier ones sync each message twice.
const OLDEST_VERSION: (u32, u32) = (2, 15);

/// What a node says about itself at `/varz`.
#[derive(Deserialize)]
struct Node {
    server_name: String,
    version: String,
    jetstream: JetStream,
}

#[derive(Default, Deserialize)]
struct JetStream {
    config: Option<Settings>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    sync_always: bool,
}

/// Checks that every node syncs before it acknowledges.
pub async fn monitors(settings: &config::Spool) -> Vec<Check> {
    if settings.monitors.is_empty() {
        return vec![Check::warn(
            "nats",
            "unknown whether its nodes sync before they acknowledge; set spool.monitors",
        )];
    }
    let mut checks = Vec::new();
    for monitor in &settings.monitors {
        checks.push(match node(monitor).await {
            Ok(node) => assess(&node),
            Err(error) => Check::warn("nats", format!("{}: {error:#}", monitor.0)),
        });
    }
    checks
}

async fn node(Monitor(address): &Monitor) -> anyhow::Result<Node> {
    let response = port::get(address, "/varz").await?;
    let body = response.windows(4).position(|window| window == b"\r\n\r\n");
    let body = body.map_or(&[][..], |head| &response[head + 4..]);
    serde_json::from_slice(body).context("expected the monitoring port of a NATS server")
}

fn assess(node: &Node) -> Check {
    let Node { server_name, version, jetstream } = node;
    let Some(settings) = &jetstream.config else {
        let text = format!("{server_name} has no JetStream; enable it in its configuration");
        return Check::fail("nats", text);
    };
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let version_of_node = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if !settings.sync_always {
        let text = format!(
            "{server_name} does not sync before it acknowledges: a power cut can lose acknowledged \
             webhooks; set sync_interval: always in its jetstream block"
        );
        Check::fail("nats", text)
    } else if version_of_node < OLDEST_VERSION {
        let text = format!("{server_name} is NATS {version}; upgrade it to 2.15 or newer");
        Check::fail("nats", text)
    } else {
        Check::ok(
            "nats",
            format!("{server_name} is NATS {version} and syncs before it acknowledges"),
        )
    }
}

/// Checks that the streams can be used. Creates them if they are missing, as a start does.
pub async fn streams(config: &Config) -> Check {
    let nats = match Nats::connect(&config.spool, config.http.max_body_bytes).await {
        Ok(nats) => nats,
        Err(error) => {
            return Check::fail("nats", format!("{error}; check the settings of [spool]"));
        }
    };
    // An error says what to check.
    match nats.prepare().await {
        Ok(()) => Check::ok("nats", format!("{} stream(s) can be used", config.spool.streams)),
        Err(error) => Check::fail("nats", error.to_string()),
    }
}
