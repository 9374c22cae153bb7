//! `qontak-receiver replay`: parses events of the journal again and applies the result.

use std::time::Duration;

use anyhow::Context;
use chrono::{NaiveDate, NaiveTime};
use clap::Args;
use clap::builder::PossibleValuesParser;
use strum::VariantNames;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::output::print_line;
use crate::config::Config;
use crate::event::{Kind, Outcome};
use crate::ingest::replay::{self, Replayed};
use crate::ingest::writer::Writer;
use crate::model::Timestamp;
use crate::store::event::Selection;
use crate::store::{self, dry_run::Difference};

/// Statement timeout of selecting events: the journal has no index for every filter.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(600);

/// Timeout of one event's commit. Longer than for webhooks, since no sender waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Arguments of `replay`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    events: Events,
    /// Change nothing; print events whose outcome would change, and rows by table, key and columns
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Events {
    /// Event with this id; may be repeated
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<Uuid>,
    /// Events received at or after this time: 2025-06-12 or 2025-06-12T02:15:03Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Events received before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Events of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(Kind::VARIANTS))]
    kind: Option<String>,
    /// Events with this outcome
    #[arg(long, value_parser = PossibleValuesParser::new(Outcome::VARIANTS))]
    outcome: Option<String>,
    /// All events in the journal
    #[arg(long)]
    all: bool,
}

/// Parses a day or a time.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let day = text.parse().map(|day: NaiveDate| Timestamp(day.and_time(NaiveTime::MIN).and_utc()));
    let time = || text.parse().map(Timestamp);
    day.or_else(|_| time()).map_err(|_| "expected 2025-06-12 or 2025-06-12T02:15:03Z".to_owned())
}

/// Replays the selected events and prints each change of outcome.
pub async fn run(mut config: Config, arguments: Arguments) -> anyhow::Result<()> {
    let Events { ids, from, to, kind, outcome, all: _ } = arguments.events;
    // Events received from now on are parsed by this version anyway.
    let to = to.or_else(|| Some(Timestamp::now()));
    let selection = Selection { ids, from, to, kind, outcome };
    store::check_connection(&config.database).await.context(store::UNREACHABLE)?;
    let database = config.database.clone();
    config.database.statement_timeout = SEARCH_TIMEOUT;
    let read = store::connect_to_read(&config.database, 1)?;

    let (mut events, mut changed, mut rows) = (0, 0, 0);
    let print = |Replayed { event_id, before, outcome }| {
        events += 1;
        if before != outcome {
            changed += 1;
            print_line(format_args!(
                "event {}: {} -> {}",
                event_id.0,
                before.as_str(),
                outcome.as_str()
            ));
        }
    };
    if arguments.dry_run {
        let print_difference = |Difference { table, key, columns }| {
            rows += 1;
            let change = if columns.is_empty() { "new".to_owned() } else { columns.join(", ") };
            print_line(format_args!("{table} {key}: {change}"));
        };
        let (write, limit) = (store::connect(&database)?, config.writer.commit_timeout);
        replay::dry_run(&read, &write, limit, &selection, print, print_difference).await?;
        print_line(format_args!(
            "{events} event(s) would be replayed: {changed} with another outcome, \
             {rows} change(s) of rows"
        ));
    } else {
        let mut tasks = JoinSet::new();
        let writer =
            Writer::start(&database, &config.writer, &mut tasks)?.with_timeout(ANSWER_TIMEOUT);
        replay::replay(&read, &writer, &selection, print).await?;
        print_line(format_args!("{events} event(s) replayed, {changed} with another outcome"));
    }
    Ok(())
}
