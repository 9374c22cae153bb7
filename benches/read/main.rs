//! What does reading cost, and does it stay so as tables grow?
//!
//! ```text
//! main      every case on a small and on a big database
//!   ├─ cases     what is asked; shared with the test of plans
//!   ├─ service   the service: as it is delivered, and in this process
//!   ├─ measure   one page: time, rows, buffers; and the way to a deep one
//!   └─ explain   what Postgres says of its plans; shared with the test of plans
//! report    tables, JSON, and what is to be reached
//! ```
//!
//! `scripts/bench-read.sh` makes the databases and calls this.

mod cases;
mod explain;
mod measure;
mod report;
mod service;
#[path = "../report/table.rs"]
mod table;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Parser;
use sqlx::{Connection, PgConnection};

use self::cases::{CASES, Shape};
use self::explain::Plans;
use self::measure::Page;
use self::report::Line;
use self::service::Service;

#[derive(Parser)]
struct Arguments {
    /// A database with 100 thousand messages, filled by `benches/fill.sql`; as a superuser.
    #[arg(long)]
    small: String,
    /// One with 10 million.
    #[arg(long)]
    big: String,
    /// Where the results go: as JSON here, as Markdown beside it.
    #[arg(long, default_value = "target/bench-read.json")]
    results: PathBuf,
    /// Only questions that hold this text.
    #[arg(long, default_value = "")]
    only: String,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The services on one database.
struct Side {
    measured: Service,
    explained: Service,
    ids: cases::Ids,
}

impl Side {
    async fn start(database_url: &str) -> anyhow::Result<Self> {
        let measured = Service::start(database_url).await?;
        let ids = measure::find_ids(&measured).await?;
        let explained = Service::start_explained(database_url).await?;
        Ok(Self { measured, explained, ids })
    }

    const fn services(&self) -> (&Service, &Service) {
        (&self.measured, &self.explained)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let plans = Plans::default();
    tracing::subscriber::set_global_default(plans.subscriber())?;
    let small = Side::start(&arguments.small).await?;
    let big = Side::start(&arguments.big).await?;

    let facts = facts(&arguments.big).await?;
    let mut lines = Vec::new();
    for case in CASES.iter().filter(|case| case.path.contains(&arguments.only)) {
        eprintln!("{} {}", case.key, case.path);
        let first = |side| Page {
            services: Side::services(side),
            paths: case.paths(&side.ids),
            after_rows: 0,
        };
        let mut pages = vec![first(&small), first(&big)];
        if case.shape == Shape::LongList {
            let place = measure::walk(case, &pages[1].paths[0], &big.measured).await?;
            let deep = |(path, after_rows)| Page {
                services: big.services(),
                paths: vec![path],
                after_rows,
            };
            pages.extend(place.map(deep));
        }
        let mut costs = measure::costs(case, &pages, &plans).await?.into_iter();
        let (Some(small), Some(big), deep) = (costs.next(), costs.next(), costs.next()) else {
            unreachable!("each page has a cost");
        };
        // Of the small one a small organisation may have none.
        ensure!(big.shown > 0, "{}: no rows", case.path);
        let is_list = matches!(case.shape, Shape::List | Shape::LongList);
        lines.push(Line { key: case.key, path: case.path, small, big, deep, is_list });
    }
    report::write(&facts, &lines, &arguments.results)
}

/// What it was measured with.
async fn facts(database_url: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut db = PgConnection::connect(database_url).await?;
    let mut ask = async |sql: &'static str| -> sqlx::Result<String> {
        sqlx::query_scalar(sql).fetch_one(&mut db).await
    };
    let cores = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    Ok(vec![
        ("PostgreSQL", ask("show server_version").await?),
        ("its memory", ask("select 'shared_buffers ' || current_setting('shared_buffers')").await?),
        ("big database", ask("select pg_size_pretty(pg_database_size(current_database()))").await?),
        ("cores", format!("{cores}, shared by client, service and Postgres")),
        ("load before", load),
    ])
}
