//! Trains a dictionary for the journal's bodies: `cargo run --release --example dictionary FILE`.
//!
//! A dictionary holds what bodies have in common; see `src/store/event/body.rs`. It learns from
//! simulated traffic, worded as Qontak words it, of many organisations, so that no id of any of them
//! is worth a place in it.

use anyhow::Context;
use qontak_receiver::model::Timestamp;
use qontak_receiver::simulate::{Scenario, Traffic};

/// More of it makes bodies hardly smaller.
const SIZE: usize = 16 * 1024;

/// How many organisations, and how many events of each.
const TRAFFIC: (u64, usize) = (100, 40);

fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).context("name the file to be written")?;
    let mut samples: Vec<Vec<u8>> = Vec::new();
    let start = Timestamp::parse("2025-06-12T01:00:00Z").context("a time")?;
    for seed in 0..TRAFFIC.0 {
        for scenario in [Scenario::Chat, Scenario::Broadcast, Scenario::Storm, Scenario::Message] {
            let traffic = Traffic::new(scenario, seed, start, 1000);
            samples.extend(traffic.take(TRAFFIC.1).map(|webhook| webhook.body));
        }
    }
    std::fs::write(file, zstd::dict::from_samples(&samples, SIZE)?)?;
    Ok(())
}
