//! All metrics: name, meaning, and the values of their labels that are known beforehand, with which they
//! are 0 from the start. An alert on a rate misses the first increment of a counter that did not exist.

use metrics::{
    Label, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use Kind::{Counter, Gauge, Histogram};

/// Kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Has a value; not set before something has measured it.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// A metric.
pub struct Metric {
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: &'static str,
    /// What it means.
    pub help: &'static str,
    /// A label and its values; none if they depend on settings.
    pub label: Option<(&'static str, &'static [&'static str])>,
}

const fn metric(kind: Kind, name: &'static str, help: &'static str) -> Metric {
    Metric { kind, name, help, label: None }
}

const fn labelled(
    kind: Kind,
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: &'static [&'static str],
) -> Metric {
    Metric { kind, name, help, label: Some((label, values)) }
}

const OUTCOMES: &[&str] = &["applied", "recorded", "quarantined", "malformed", "duplicate"];
/// Reasons for which requests are refused.
pub const REFUSALS: &[&str] = &[
    "not_found",
    "no_file",
    "range_not_satisfiable",
    "method_not_allowed",
    "body_timeout",
    "body_too_large",
    "incomplete_body",
    "invalid_host",
    "unsupported_media_type",
    "queue_full",
    "write_timed_out",
    "storage_unavailable",
    "overloaded",
    "not_ready",
    "query_timeout",
    "unauthorized",
    "unknown_key",
    "forbidden",
    "too_many_requests",
    "writes_off",
    "conflict",
    "not_sent",
    "unknown_result",
    "unprocessable",
    "internal",
];
/// Phases of a webhook: reading its body, parsing it, waiting for a transaction, the transaction, waking up
/// the request; or instead of the last three, the spool.
pub const PHASES: &[&str] = &["read", "parse", "queue", "commit", "reply", "spool"];
const WEBHOOK: &[&str] = &["/webhooks/qontak/{token}"];
const INFERRED: &[&str] = &["custom_agent_allocation", "status_template", "available_user_status"];
const PATHS: &[&str] = &["other"];
const POOL: &[&str] = &["idle", "used"];
const MEDIA: &[&str] = &["disk", "nats"];
const DISK: &[&str] = &["disk"];
const TASKS: &[&str] = &["alarm", "journal", "metrics", "retention"];
const PROBLEMS: &[&str] =
    &["silence", "hook", "check", "quarantine", "spool", "partitions", "unknown_event"];
const NOTIFICATIONS: &[&str] = &["sent", "failed"];
const CREATIONS: &[&str] = &["processing", "done", "failed", "rejected", "not_sent", "unknown"];
const COPIES: &[&str] = &["stored", "retried", "failed"];

/// The catalog. `docs/operate.md` has the same.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    labelled(Counter, "qontak_receiver_events_total", "Committed deliveries by outcome, as in the ledger.", "outcome", OUTCOMES),
    metric(Counter, "qontak_receiver_events_by_kind_total", "Events, without duplicates, by kind."),
    metric(Counter, "qontak_receiver_events_by_endpoint_total", "Events, without duplicates, by endpoint; backfill: read from Qontak's API."),
    metric(Histogram, "qontak_receiver_event_age_seconds", "Age of new messages when they arrive: receipt minus creation by Qontak's clock."),
    metric(Gauge, "qontak_receiver_last_event_timestamp_seconds", "When an event of a kind was last committed, as Unix time; 0 if not since the start."),
    metric(Gauge, "qontak_receiver_source_last_event_timestamp_seconds", "When an event of an organisation, channel and kind was last committed by this process, as Unix time; of at most 1,000 sources."),
    labelled(Counter, "qontak_receiver_spooled_total", "Deliveries appended to a spool, by medium (disk, nats).", "medium", MEDIA),
    metric(Counter, "qontak_receiver_replayed_total", "Events replayed."),
    metric(Counter, "qontak_receiver_unknown_names_total", "Events, without duplicates, whose name this version does not know."),
    labelled(Counter, "qontak_receiver_unknown_shapes_total", "Events, without duplicates, of a kind whose bodies Qontak has not published, that could not be read, by kind.", "kind", INFERRED),
    labelled(Counter, "qontak_receiver_fields_ignored_total", "Fields of events, without duplicates, that could not be used, by path.", "path", PATHS),
    metric(Counter, "qontak_receiver_handshakes_total", "Handshake requests (verify_info) answered."),
    metric(Counter, "qontak_receiver_requests_total", "Requests by route and status."),
    labelled(Histogram, "qontak_receiver_request_seconds", "Time from the head of a request to the head of its response, by route.", "route", WEBHOOK),
    labelled(Histogram, "qontak_receiver_phase_seconds", "Parts of the time that a webhook takes, by phase.", "phase", PHASES),
    labelled(Counter, "qontak_receiver_refused_total", "Requests refused, by reason.", "reason", REFUSALS),
    metric(Counter, "qontak_receiver_events_unwritten_total", "Events the writer could not store."),
    metric(Counter, "qontak_receiver_batches_split_total", "Batches split after rejected data or a lock timeout."),
    metric(Counter, "qontak_receiver_batches_retried_total", "Batches retried after a serialization failure or deadlock."),
    metric(Histogram, "qontak_receiver_batch_size", "Events per transaction."),
    metric(Histogram, "qontak_receiver_commit_seconds", "Duration of a batch's transaction."),
    metric(Gauge, "qontak_receiver_queue_bytes", "Size of the write queue."),
    metric(Gauge, "qontak_receiver_queue_max_bytes", "Maximum size of the write queue, and of the queue in front of the spool."),
    labelled(Gauge, "qontak_receiver_spool_queue_bytes", "Size of the queue in front of the spool.", "medium", MEDIA),
    labelled(Gauge, "qontak_receiver_spool_events", "Webhooks in the spool; in NATS, of all replicas.", "medium", MEDIA),
    labelled(Gauge, "qontak_receiver_spool_bytes", "Spool size, as limited by spool.max_bytes.", "medium", MEDIA),
    labelled(Gauge, "qontak_receiver_spool_max_bytes", "spool.max_bytes; 0 for a medium that is not configured.", "medium", MEDIA),
    labelled(Gauge, "qontak_receiver_spool_free_bytes", "Free space on the disk of the spool.", "medium", DISK),
    labelled(Gauge, "qontak_receiver_spool_oldest_seconds", "Age of the oldest webhook in the spool.", "medium", MEDIA),
    labelled(Gauge, "qontak_receiver_spool_failed", "Whether the disk or the NATS cluster of the spool is unusable.", "medium", MEDIA),
    labelled(Histogram, "qontak_receiver_spool_commit_seconds", "Duration of a group commit of the spool.", "medium", MEDIA),
    metric(Counter, "qontak_receiver_spool_damaged_total", "Damaged or missing files of the spool, and messages of other programs in NATS."),
    metric(Counter, "qontak_receiver_spool_lost_total", "Spooled webhooks that could not be read again."),
    metric(Gauge, "qontak_receiver_database_up", "Whether the database answered within a second, measured every 5 seconds."),
    metric(Gauge, "qontak_receiver_read_replica_lag_seconds", "How far the standby of database.read_url is behind the primary, measured every second; it grows while the standby does not answer."),
    metric(Gauge, "qontak_receiver_read_replica_max_lag_seconds", "database.max_read_lag; 0 without database.read_url."),
    metric(Gauge, "qontak_receiver_read_replica_used", "Whether the read API reads from the standby."),
    labelled(Gauge, "qontak_receiver_pool_connections", "Database connections of the read API, by state.", "state", POOL),
    metric(Gauge, "qontak_receiver_partitions_ahead", "Days after today that have a journal partition; -1 if today has none."),
    metric(Gauge, "qontak_receiver_clock_skew_seconds", "Clock of this machine minus that of the database, measured once an hour."),
    labelled(Gauge, "qontak_receiver_task_success_timestamp_seconds", "When a background task last succeeded, as Unix time.", "task", TASKS),
    metric(Gauge, "qontak_receiver_stream_subscribers", "Subscribers of GET /v1/stream."),
    metric(Gauge, "qontak_receiver_stream_lag_seconds", "How far the stream is behind the commits, while it has subscribers."),
    metric(Gauge, "qontak_receiver_connections", "Open client connections."),
    metric(Gauge, "qontak_receiver_connections_anonymous", "Those of which no request carried a valid token or key."),
    metric(Counter, "qontak_receiver_connections_evicted_total", "Connections without a valid token or key closed to make room for new ones."),
    metric(Counter, "qontak_receiver_connections_flooded_total", "HTTP/2 connections closed for too many control frames."),
    metric(Counter, "qontak_receiver_connections_refused_total", "Connections rejected above http.max_connections."),
    metric(Counter, "qontak_receiver_qontak_requests_total", "Calls of Qontak's API by organisation, route and status."),
    metric(Histogram, "qontak_receiver_qontak_wait_seconds", "Waits before calls of Qontak's API, by reason (limit, retry)."),
    metric(Gauge, "qontak_receiver_qontak_token_seconds", "Time until the access token of an organisation expires."),
    metric(Gauge, "qontak_receiver_qontak_hook_enabled", "Whether an event is switched on at Qontak, as of the last check."),
    metric(Gauge, "qontak_receiver_qontak_hook_urls", "How often the webhook URL is registered in a category; should be 1."),
    metric(Gauge, "qontak_receiver_qontak_check_failed", "Whether the last check of Qontak failed."),
    metric(Counter, "qontak_receiver_qontak_missing_total", "Rows that Qontak had and this service lacked, by organisation and kind."),
    metric(Counter, "qontak_receiver_qontak_changed_total", "Rows of which this service lacked a value that Qontak had, by organisation and kind."),
    labelled(Gauge, "qontak_receiver_problems", "Open problems, as GET /v1/health lists them, by code.", "code", PROBLEMS),
    labelled(Counter, "qontak_receiver_notifications_total", "Notifications about problems, by result.", "result", NOTIFICATIONS),
    labelled(Counter, "qontak_receiver_creations_total", "Templates and contact lists for Qontak that reached a state, by state.", "state", CREATIONS),
    labelled(Counter, "qontak_receiver_media_files_total", "Attempts to copy a message's file, by result; failed: given up.", "result", COPIES),
    metric(Counter, "qontak_receiver_media_bytes_total", "Size of the copied files."),
    metric(Histogram, "qontak_receiver_media_fetch_seconds", "Duration of fetching a file."),
    metric(Gauge, "qontak_receiver_media_waiting", "Files that wait to be copied, up to 10,000."),
    metric(Gauge, "qontak_receiver_build_info", "1, with version and revision of this program."),
    // A gauge, because a counter of the recorder has no fractions.
    metric(Gauge, "process_cpu_seconds_total", "CPU time of this process."),
    metric(Gauge, "process_resident_memory_bytes", "Resident memory of this process."),
    metric(Gauge, "process_open_fds", "Open files of this process."),
    metric(Gauge, "process_max_fds", "Maximum number of open files."),
    metric(Gauge, "process_start_time_seconds", "Start of this process, as Unix time."),
];

/// Describes all metrics, and registers those whose labels are known.
pub fn register() {
    for Metric { kind, name, help, label } in METRICS {
        match kind {
            Counter => describe_counter!(*name, *help),
            Gauge => describe_gauge!(*name, *help),
            Histogram => describe_histogram!(*name, *help),
        }
        for labels in known_labels(name, *label) {
            match kind {
                Counter => counter!(*name, labels).increment(0),
                Gauge => gauge!(*name, labels).increment(0.0),
                Histogram => drop(histogram!(*name, labels)),
            }
        }
    }
}

/// Label sets with which a metric exists from the start.
fn known_labels(
    name: &'static str,
    label: Option<(&'static str, &'static [&'static str])>,
) -> Vec<Vec<Label>> {
    match label {
        Some((label, values)) => {
            values.iter().map(|value| vec![Label::new(label, *value)]).collect()
        }
        // Labels of settings, or of requests.
        None if LABELLED_LATER.contains(&name) => Vec::new(),
        None => vec![Vec::new()],
    }
}

/// Metrics whose labels are set elsewhere: kinds and routes at the start, organisations of the settings
/// later.
const LABELLED_LATER: [&str; 14] = [
    "qontak_receiver_requests_total",
    "qontak_receiver_events_by_kind_total",
    "qontak_receiver_events_by_endpoint_total",
    "qontak_receiver_last_event_timestamp_seconds",
    "qontak_receiver_source_last_event_timestamp_seconds",
    "qontak_receiver_qontak_requests_total",
    "qontak_receiver_qontak_wait_seconds",
    "qontak_receiver_qontak_token_seconds",
    "qontak_receiver_qontak_hook_enabled",
    "qontak_receiver_qontak_hook_urls",
    "qontak_receiver_qontak_check_failed",
    "qontak_receiver_qontak_missing_total",
    "qontak_receiver_qontak_changed_total",
    "qontak_receiver_build_info",
];
