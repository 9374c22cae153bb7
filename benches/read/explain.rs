//! Query plans of the statements the service runs, with its own parameters and prepared plans:
//! auto_explain sends each as a notice to the client, where sqlx passes it to `tracing`.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry;

/// Tables that grow with the traffic, besides the partitions of the journal.
const BIG_TABLES: [&str; 6] = ["batch", "broadcast_log", "message", "room", "room_event", "sender"];

/// Session settings that send plans to the client.
const EXPLAINED: [(&str, &str); 7] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_buffers", "on"),
    // Reading the clock takes longer than reading the row.
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_format", "json"),
    ("client_min_messages", "log"),
];

/// Adds [`EXPLAINED`] to a database URL, which must be that of a superuser.
pub fn explained(database_url: &str) -> String {
    let mut url = database_url.to_owned();
    for (name, value) in EXPLAINED {
        url.push(if url.contains('?') { '&' } else { '?' });
        url += &format!("options[{name}]={value}");
    }
    url
}

/// Collects plans.
#[derive(Clone, Default)]
pub struct Plans(Arc<Mutex<Vec<Plan>>>);

impl Plans {
    /// Subscriber that collects the plans.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        let notices = Targets::new().with_target("sqlx::postgres::notice", tracing::Level::TRACE);
        registry().with(self.clone().with_filter(notices))
    }

    /// Plans collected since the last call.
    pub fn take(&self) -> Vec<Plan> {
        std::mem::take(&mut self.0.lock().expect("no panic while locked"))
    }
}

impl<S: Subscriber> Layer<S> for Plans {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut notice = Notice(String::new());
        event.record(&mut notice);
        if let Some((_, json)) = notice.0.split_once("plan:\n") {
            let plan = serde_json::from_str(json).expect("Postgres writes JSON");
            self.0.lock().expect("no panic while locked").push(Plan(plan));
        }
    }
}

struct Notice(String);

impl Visit for Notice {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// The plan of one statement.
pub struct Plan(Value);

impl Plan {
    /// Rows read from tables, including those filtered out, and buffers accessed.
    pub fn cost(&self) -> (f64, f64) {
        let root = &self.0["Plan"];
        let buffers = number(&root["Shared Hit Blocks"]) + number(&root["Shared Read Blocks"]);
        (self.nodes().iter().map(|node| rows_read(node)).sum(), buffers)
    }

    /// What is slow once tables are big: sequential scans, unless of an empty table as
    /// tomorrow's partition, and reading or sorting more than `most` rows.
    pub fn objections(&self, most: f64) -> Vec<String> {
        let mut objections = Vec::new();
        for node in self.nodes() {
            let kind = node["Node Type"].as_str().unwrap_or_default();
            let table = node["Relation Name"].as_str().unwrap_or_default();
            let is_big = BIG_TABLES.contains(&table) || table.starts_with("event_");
            let rows = rows_read(node);
            // Index entries are adjacent, so five of them count as one row.
            let weight = if kind == "Index Only Scan" { 0.2 } else { 1.0 };
            if is_big && (rows * weight > most || kind == "Seq Scan" && rows > 0.0) {
                let index = node["Index Name"].as_str().unwrap_or("no index");
                objections.push(format!("{kind} of {table} by {index}: {rows} rows"));
            }
            let below = &node["Plans"][0];
            let rows = number(&below["Actual Rows"]) * number(&below["Actual Loops"]);
            if (kind.contains("Sort") || kind == "Hash") && rows > most {
                objections.push(format!("{kind} of {rows} rows"));
            }
        }
        objections
    }

    fn nodes(&self) -> Vec<&Value> {
        let mut nodes = vec![&self.0["Plan"]];
        let mut next = 0;
        while next < nodes.len() {
            nodes.extend(nodes[next]["Plans"].as_array().into_iter().flatten());
            next += 1;
        }
        nodes
    }
}

/// Rows that a node read from a table in all its loops.
fn rows_read(node: &Value) -> f64 {
    if node["Relation Name"].is_null() {
        return 0.0;
    }
    let rows = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
    rows.iter().map(|rows| number(&node[rows])).sum::<f64>() * number(&node["Actual Loops"])
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}
