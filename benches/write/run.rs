//! What one cell cost.

use anyhow::ensure;
use serde::Serialize;

use super::client::{self, End};
use super::cluster::{Cluster, Content};
use super::process;
use super::results::Cell;
use super::service::Service;

/// What a cell cost. Per event is per delivery that was acknowledged, but for the disk, which only
/// holds each event once.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Run {
    pub events_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub service_cpu_us: f64,
    pub postgres_cpu_us: f64,
    pub client_cpu_us: f64,
    /// The most that the service had.
    pub resident_bytes: f64,
    pub wal_bytes: f64,
    /// Of these, images of whole pages, as each page costs once after a checkpoint.
    pub wal_page_bytes: Option<f64>,
    pub disk_bytes: f64,
    /// How many of the deliveries were duplicates.
    pub duplicate_share: f64,
}

/// Sends a cell's scenario until `end`.
pub async fn measure(
    cluster: &mut Cluster,
    service: &mut Service,
    cell: Cell,
    end: End,
) -> anyhow::Result<Run> {
    let before = service.content().await?;
    process::forget_peak(service.pid())?;
    let wal_from = cluster.wal_bytes().await?;
    let spent_before = Spent::until_now(cluster, service)?;

    let sent = client::send(&service.url, cell.scenario, cell.connections, end).await?;

    let spent = Spent::until_now(cluster, service)?;
    let wal_to = cluster.wal_bytes().await?;
    let after = service.content().await?;
    let (mut stored, mut pages) = (0, None);
    if let (Some(before), Some(after)) = (before, after) {
        stored = after.events - before.events;
        let kept = after.deliveries - before.deliveries;
        let acknowledged = i64::try_from(sent.acknowledged)?;
        ensure!(kept == acknowledged, "{acknowledged} were acknowledged and {kept} are stored");
        pages = cluster.wal_page_bytes(wal_from, wal_to).await?;
    }

    let per_event = |sum: f64| sum / sent.acknowledged as f64;
    let disk = |content: Option<Content>| content.map_or(0, |content| content.disk_bytes);
    Ok(Run {
        events_per_second: sent.acknowledged as f64 / sent.seconds,
        p50_ms: sent.p50_ms,
        p99_ms: sent.p99_ms,
        service_cpu_us: per_event(spent.service - spent_before.service),
        postgres_cpu_us: per_event(spent.postgres - spent_before.postgres),
        client_cpu_us: per_event(spent.client - spent_before.client),
        resident_bytes: process::peak_bytes(service.pid())?,
        wal_bytes: per_event((wal_to - wal_from) as f64),
        wal_page_bytes: pages.map(|bytes| per_event(bytes as f64)),
        disk_bytes: (disk(after) - disk(before)) as f64 / stored.max(1) as f64,
        duplicate_share: per_event(sent.duplicates as f64),
    })
}

/// Microseconds that each had a CPU.
struct Spent {
    service: f64,
    postgres: f64,
    client: f64,
}

impl Spent {
    fn until_now(cluster: &Cluster, service: &Service) -> anyhow::Result<Self> {
        Ok(Self {
            service: process::cpu_micros(service.pid())?,
            postgres: process::cpu_micros_of_family(cluster.pid)?,
            // Clients are all that ends while a cell is measured.
            client: process::cpu_micros_of_ended_children()?,
        })
    }
}
