//! Measures every 5 seconds what no event changes: database, pool, disk of the spool, process.

use std::time::Duration;

use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;

use crate::config::Config;
use crate::ingest::spool::Spool;
use crate::model::Timestamp;
use crate::read::state::ReadState;
use crate::store;
use crate::telemetry::fault::end_quiet_faults;
use crate::telemetry::{self, process};

/// Interval of the measurements.
const INTERVAL: Duration = Duration::from_secs(5);

/// Intervals between two tests of the spool's disk: a minute.
const SPOOL_TEST_TICKS: u64 = 12;

/// Time in which the database has to answer.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// What is measured.
pub struct Measured {
    /// Renders the metrics.
    pub metrics: PrometheusHandle,
    /// Connections of the read API.
    pub db: PgPool,
    /// The spools.
    pub spools: Vec<Spool>,
    /// Has the subscribers of the stream.
    pub read: ReadState,
}

impl Measured {
    /// Measures until it is aborted. Also aggregates the metrics, because the recorder keeps raw samples
    /// until a scrape, which may never come, and logs the end of faults.
    pub async fn run(self) {
        let mut interval = tokio::time::interval(INTERVAL);
        for tick in 0_u64.. {
            interval.tick().await;
            self.metrics.run_upkeep();
            end_quiet_faults();
            process::measure();
            for spool in &self.spools {
                if tick.is_multiple_of(SPOOL_TEST_TICKS) || spool.depth().has_failed {
                    spool.test().await;
                }
                spool.measure();
                spool.measure_medium().await;
            }
            self.measure_database().await;
            let subscribers = self.read.event_tail.subscribers();
            gauge!("qontak_receiver_stream_subscribers").set(subscribers as f64);
            succeeded("metrics");
        }
    }

    async fn measure_database(&self) {
        let (open, idle) = (self.db.size() as usize, self.db.num_idle());
        gauge!("qontak_receiver_pool_connections", "state" => "idle").set(idle as f64);
        gauge!("qontak_receiver_pool_connections", "state" => "used")
            .set(open.saturating_sub(idle) as f64);
        // Reads that use all connections say nothing about the database.
        if idle > 0 || open < self.db.options().get_max_connections() as usize {
            // The pool pings a connection before it gives it out.
            let is_up = store::within(PING_TIMEOUT, self.db.acquire()).await.is_ok();
            gauge!("qontak_receiver_database_up").set(f64::from(u8::from(is_up)));
        }
    }
}

/// Sets what the settings say, for metrics that are compared with it.
pub fn limits(config: &Config, spools: &[Spool]) {
    for spool in spools {
        let max_bytes = spool.max_bytes() as f64;
        gauge!("qontak_receiver_spool_max_bytes", "medium" => spool.medium()).set(max_bytes);
    }
    if config.database.read_url.is_some() {
        let max_lag = config.database.max_read_lag.as_secs_f64();
        gauge!("qontak_receiver_read_replica_max_lag_seconds").set(max_lag);
    }
    gauge!("qontak_receiver_queue_max_bytes").set(config.writer.max_queue_bytes as f64);
    let (version, revision) = (env!("CARGO_PKG_VERSION"), telemetry::REVISION);
    gauge!("qontak_receiver_build_info", "version" => version, "revision" => revision).set(1.0);
}

/// Records the success of a background task.
pub fn succeeded(task: &'static str) {
    let now = Timestamp::now().0.timestamp_micros() as f64 / 1e6;
    gauge!("qontak_receiver_task_success_timestamp_seconds", "task" => task).set(now);
}
