//! What does reading cost, and does it stay so as tables grow?
//!
//! ```text
//! cases      what is asked; shared with the test of plans
//! service    the service: as it is delivered, and in this process
//! measure    one page: time, rows, buffers; and the way to a deep one
//!   └─ explain   what Postgres says of its plans; shared with the test of plans
//! line       what a question costs; the table, and what is to be reached
//! ```

mod cases;
mod explain;
mod line;
mod measure;
mod service;

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use sqlx::{Connection, PgConnection};

use self::cases::{CASES, Shape};
use self::explain::Plans;
use self::line::Line;
use self::measure::Page;
use self::service::Service;
use crate::report;

#[derive(Args)]
pub struct Arguments {
    /// A database with 100 thousand messages, filled by `benches/fill/`; as a superuser.
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

/// Measures every case on a small and on a big database.
pub async fn measure(arguments: Arguments) -> anyhow::Result<()> {
    let plans = Plans::default();
    tracing::subscriber::set_global_default(plans.subscriber())?;
    let small = Side::start(&arguments.small).await?;
    let big = Side::start(&arguments.big).await?;

    let facts = facts(&arguments.big).await?;
    let asked = CASES.iter().filter(|case| case.path.contains(&arguments.only));
    eprintln!("walking to where deep pages begin");
    let walks = asked.clone().map(|case| measure::walk(case, &big.ids, &big.measured));
    // Nothing is measured meanwhile, so two at a time.
    let places: Vec<_> = stream::iter(walks).buffered(2).try_collect().await?;
    let mut lines = Vec::new();
    for (case, place) in asked.zip(places) {
        eprintln!("{} {}", case.key, case.path);
        let first = |side, every| Page {
            services: Side::services(side),
            paths: case.paths(&side.ids),
            after_rows: 0,
            every,
        };
        let is_list = matches!(case.shape, Shape::List | Shape::LongList);
        // It is the p99 of a list in the big one that is hardest to reach, and to tell.
        let mut pages = vec![first(&small, 2), first(&big, if is_list { 1 } else { 2 })];
        let deep = |(path, after_rows)| Page {
            services: big.services(),
            paths: vec![path],
            after_rows,
            every: 1,
        };
        pages.extend(place.map(deep));
        let mut costs = measure::costs(case, &pages, &plans).await?.into_iter();
        let (Some(small), Some(big), deep) = (costs.next(), costs.next(), costs.next()) else {
            unreachable!("each page has a cost");
        };
        // Of the small one a small organisation may have none.
        ensure!(big.shown > 0, "{}: no rows", case.path);
        lines.push(Line { key: case.key, path: case.path, small, big, deep, is_list });
    }
    report::write(&facts, &line::table(&lines), &lines, &line::reach(&lines), &arguments.results)
}

/// What it was measured with.
async fn facts(database_url: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut db = PgConnection::connect(database_url).await?;
    let mut ask = async |sql: &'static str| -> sqlx::Result<String> {
        sqlx::query_scalar(sql).fetch_one(&mut db).await
    };
    let mut facts = report::machine();
    facts.extend([
        ("Postgres", ask("show server_version").await?),
        ("its memory", ask("select 'shared_buffers ' || current_setting('shared_buffers')").await?),
        ("big database", ask("select pg_size_pretty(pg_database_size(current_database()))").await?),
    ]);
    Ok(facts)
}
