//! Trains the zstd dictionary for bodies in the journal:
//! `cargo run --release --example dictionary FILE`.
//!
//! A dictionary contains byte sequences that bodies have in common; see `src/store/event/body.rs`. It
//! is trained on simulated traffic of many organisations, so ids of single organisations are too rare
//! to be included.

use anyhow::Context;
use qontak_receiver::model::Timestamp;
use qontak_receiver::simulate::{Scenario, Traffic};

/// Size in bytes. A larger dictionary hardly improves compression.
const SIZE: usize = 16 * 1024;

/// Number of organisations, and of events per organisation and scenario.
const TRAFFIC: (u64, usize) = (100, 40);

fn main() -> anyhow::Result<()> {
    let file = std::env::args_os().nth(1).context("usage: dictionary FILE")?;
    let mut samples: Vec<Vec<u8>> = Vec::new();
    let start = Timestamp::parse("2025-06-12T01:00:00Z").context("invalid start time")?;
    for seed in 0..TRAFFIC.0 {
        for scenario in [Scenario::Chat, Scenario::Broadcast, Scenario::Storm, Scenario::Message] {
            let traffic = Traffic::new(scenario, seed, start, 1000);
            samples.extend(traffic.take(TRAFFIC.1).map(|webhook| webhook.body));
        }
    }
    std::fs::write(file, zstd::dict::from_samples(&samples, SIZE)?)?;
    Ok(())
}
