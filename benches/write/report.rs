//! What was measured: the medians of all rounds as tables, and everything as JSON.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

use super::client::Scenario;
use super::run::Run;
use super::service::Variant;
use super::table::{number, table};
use super::{CONNECTIONS, reach};

const EXPLANATION: &str = "\
Three services take turns: *ours* with its default settings; *one each*, the same with one event \
in each transaction and 32 connections to Postgres; and the *ceiling*, the same server, door and \
reading, which then drops the event. As many connections as it says, each with one event at a \
time. CPU is microseconds of each process per event, from /proc; memory is the most that the \
service had. WAL counts from a checkpoint right before each cell, so pages that are touched go into \
it as a whole once: that part is *its pages*. Disk is what all tables and indexes grew by, per \
event in the journal; everything else is per delivery that was acknowledged. Logs are written to \
/dev/null.";

const HEADER: [&str; 14] = [
    "service",
    "connections",
    "events/s",
    "p50 ms",
    "p99 ms",
    "service µs",
    "Postgres µs",
    "client µs",
    "memory MB",
    "WAL B",
    "its pages B",
    "disk B",
    "÷ ceiling",
    "÷ one each",
];

/// What was measured.
#[derive(Serialize)]
pub struct Report {
    /// Where, and with what.
    facts: Vec<(&'static str, String)>,
    /// Milliseconds of the commit of one row, for one caller, in each round.
    insert_p50_ms: Vec<f64>,
    /// Bytes of memory of ours before it had anything to do, at each start.
    idle_bytes: Vec<f64>,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    scenario: Scenario,
    connections: u16,
    variant: Variant,
    runs: Vec<Run>,
}

impl Cell {
    fn is(&self, scenario: Scenario, connections: u16, variant: Variant) -> bool {
        (self.scenario, self.connections, self.variant) == (scenario, connections, variant)
    }
}

impl Report {
    /// Nothing yet.
    pub fn new(facts: Vec<(&'static str, String)>) -> Self {
        Self { facts, insert_p50_ms: Vec::new(), idle_bytes: Vec::new(), cells: Vec::new() }
    }

    /// Notes how long one caller waited for the commit of one row.
    pub fn note_insert(&mut self, p50_ms: f64) {
        self.insert_p50_ms.push(p50_ms);
    }

    /// Notes the memory of ours before it had anything to do.
    pub fn note_idle(&mut self, bytes: f64) {
        self.idle_bytes.push(bytes);
    }

    /// Notes a cell.
    pub fn note(&mut self, scenario: Scenario, connections: u16, variant: Variant, run: Run) {
        let cell = self.cells.iter_mut().find(|cell| cell.is(scenario, connections, variant));
        match cell {
            Some(cell) => cell.runs.push(run),
            None => self.cells.push(Cell { scenario, connections, variant, runs: vec![run] }),
        }
    }

    /// The median over the rounds of a cell; `None` if it was not measured.
    pub fn median(
        &self,
        scenario: Scenario,
        connections: u16,
        variant: Variant,
        of: impl Fn(&Run) -> f64,
    ) -> Option<f64> {
        let cell = self.cells.iter().find(|cell| cell.is(scenario, connections, variant))?;
        median(cell.runs.iter().map(of).collect())
    }

    /// The same of the commit of one row.
    pub fn insert_p50_ms(&self) -> Option<f64> {
        median(self.insert_p50_ms.clone())
    }

    /// The most memory that ours had before it had anything to do.
    pub fn idle_bytes(&self) -> Option<f64> {
        self.idle_bytes.iter().copied().reduce(f64::max)
    }

    /// Prints it, and writes it: as JSON to this path, as Markdown beside it.
    pub fn write(&self, json_path: &Path) -> anyhow::Result<()> {
        let reach = reach::compare(self);
        let mut text = String::new();
        for (name, value) in &self.facts {
            text += &format!("- {name}: {value}\n");
        }
        text += &format!("\n{EXPLANATION}\n");
        for scenario in Scenario::ALL {
            let rows = self.rows(scenario);
            if !rows.is_empty() {
                text += &format!("\n### {scenario}\n\n{}", table(&HEADER, &rows));
            }
        }
        text += &format!("\n### Reach\n\n{}", reach::table(&reach));
        println!("\n{text}");
        let all = json!({ "report": self, "reach": reach });
        for (path, text) in [
            (json_path.to_owned(), serde_json::to_string_pretty(&all)?),
            (json_path.with_extension("md"), text),
        ] {
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    fn rows(&self, scenario: Scenario) -> Vec<Vec<String>> {
        let cells = CONNECTIONS.into_iter().flat_map(|n| Variant::ALL.map(|variant| (n, variant)));
        cells
            .filter_map(|(connections, variant)| self.row(scenario, connections, variant))
            .collect()
    }

    fn row(&self, scenario: Scenario, connections: u16, variant: Variant) -> Option<Vec<String>> {
        let of = |of: fn(&Run) -> f64, digits| {
            let median = self.median(scenario, connections, variant, of)?;
            Some(number(median, digits))
        };
        let ratio = |to| match variant {
            Variant::Ours => {
                let ratio = self.ratio(scenario, connections, to);
                ratio.map_or_else(String::new, |ratio| number(ratio, 2))
            }
            _ => String::new(),
        };
        let stored = |text: String| if variant == Variant::Ceiling { String::new() } else { text };
        Some(vec![
            variant.as_str().to_owned(),
            connections.to_string(),
            of(|run| run.events_per_second, 0)?,
            of(|run| run.p50_ms, 2)?,
            of(|run| run.p99_ms, 2)?,
            of(|run| run.service_cpu_us, 1)?,
            of(|run| run.postgres_cpu_us, 1)?,
            of(|run| run.client_cpu_us, 1)?,
            of(|run| run.resident_bytes / 1e6, 1)?,
            stored(of(|run| run.wal_bytes, 0)?),
            stored(of(|run| run.wal_page_bytes.unwrap_or(f64::NAN), 0)?),
            stored(of(|run| run.disk_bytes, 0)?),
            ratio(Variant::Ceiling),
            ratio(Variant::OneEach),
        ])
    }

    /// How many times as many events a second ours takes.
    pub fn ratio(&self, scenario: Scenario, connections: u16, to: Variant) -> Option<f64> {
        let of = |variant| self.median(scenario, connections, variant, |run| run.events_per_second);
        Some(of(Variant::Ours)? / of(to)?)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => None,
        0 => Some((values[upper - 1] + values[upper]) / 2.0),
        _ => Some(values[upper]),
    }
}

/// What the machine is.
pub fn machine() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = line(&read("/proc/cpuinfo"), "model name").unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| output.stdout).unwrap_or_default();
    vec![
        ("CPU", format!("{cpu}, {cores} cores, shared by client, service and Postgres")),
        ("memory", line(&read("/proc/meminfo"), "MemTotal").unwrap_or_default()),
        ("kernel", format!("Linux {}", read("/proc/sys/kernel/osrelease").trim())),
        ("load before", read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
        ("compiler", String::from_utf8_lossy(&rustc).trim().to_owned()),
    ]
}
