//! `qontak-receiver retention`: deletes what has reached its age.

use std::time::Duration;

use anyhow::Context;
use chrono::Days;
use clap::Args;
use strum::VariantArray;

use super::output::print_line;
use crate::app::retention;
use crate::config::Config;
use crate::model::Timestamp;
use crate::store::retention::Kind;
use crate::store::{self, partition};

/// Statement timeout of counting for a dry run: it reads all old rows.
const COUNT_TIMEOUT: Duration = Duration::from_secs(600);

/// Arguments of `retention`.
#[derive(Args)]
pub struct Arguments {
    /// Change nothing; print what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// Deletes at once, whatever the hour.
pub async fn run(mut config: Config, arguments: &Arguments) -> anyhow::Result<()> {
    store::check_connection(&config.database).await.context(store::UNREACHABLE)?;
    if arguments.dry_run {
        config.database.statement_timeout = COUNT_TIMEOUT;
    }
    let db = store::connect_to_read(&config.database, 2)?;
    let now = store::clock(&db).await?.min(Timestamp::now());
    let oldest = now.day() - Days::new(config.retention.event_days);
    let days = if arguments.dry_run {
        let mut days = partition::list(&db).await?;
        days.retain(|day| *day < oldest);
        days
    } else {
        partition::drop_before(&db, oldest).await.context("cannot drop partitions")?
    };
    print_line(format_args!("journal: {} day(s) before {oldest}", days.len()));
    if arguments.dry_run {
        for kind in Kind::VARIANTS {
            let Some(before) = retention::oldest(&config.retention, *kind, now) else { continue };
            let rows = store::retention::count(&db, *kind, before).await?;
            print_line(format_args!("{}: {rows} row(s) before {}", kind.as_str(), before.day()));
        }
    } else {
        for (kind, rows) in retention::run(&db, &config.retention, now, || true).await? {
            print_line(format_args!("{}: {rows} row(s)", kind.as_str()));
        }
    }
    Ok(())
}
