//! When each source of events was last seen by this process, as a metric.

use std::collections::HashSet;

use metrics::gauge;

use crate::store::activity::Activity;

/// Maximum number of sources; later ones have no metric. A sender of random channels must not grow the
/// metrics without limit.
const MAX_SOURCES: usize = 1_000;

/// Sources that have a metric: organisation, channel, kind.
#[derive(Default)]
pub struct LastSeen(HashSet<(String, String, String)>);

impl LastSeen {
    /// Sets the metric of the sources of these events.
    pub fn set(&mut self, events: &[Activity]) {
        for row in events {
            let source = (row.organization_id.clone(), row.channel.clone(), row.kind.clone());
            if self.0.len() >= MAX_SOURCES && !self.0.contains(&source) {
                continue;
            }
            let (organization, channel, kind) = source.clone();
            self.0.insert(source);
            gauge!(
                "qontak_receiver_source_last_event_timestamp_seconds",
                "organization" => organization, "channel" => channel, "kind" => kind
            )
            .set(row.last_at.0.timestamp_micros() as f64 / 1e6);
        }
    }
}
