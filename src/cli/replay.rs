//! `qontak-receiver replay`: parses events of the journal again and applies the result.

use std::io::{self, Write};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use chrono::{NaiveDate, NaiveTime};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use strum::VariantNames;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::output::print_line;
use crate::config::Config;
use crate::event::{Kind, Outcome};
use crate::ingest::activity::Activity;
use crate::ingest::replay::{self, Replayed, Report};
use crate::ingest::writer::Writer;
use crate::model::{EventId, Timestamp};
use crate::store::event::Selection;
use crate::store::{self, dry_run::Difference};

/// Statement timeout of selecting events: the journal has no index for every filter.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(600);

/// Timeout of one event's commit. Longer than for webhooks, since no sender waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Interval of the lines on progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Arguments of `replay`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    events: Events,
    /// Change nothing; print events whose outcome would change, and rows by table, key and columns
    #[arg(long)]
    dry_run: bool,
    /// Go on after this event, as a replay that was stopped printed
    #[arg(long, value_name = "ID")]
    after: Option<Uuid>,
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
    #[arg(long, value_parser = one_of::<Kind>())]
    kind: Option<Kind>,
    /// Events with this outcome
    #[arg(long, value_parser = one_of::<Outcome>())]
    outcome: Option<Outcome>,
    /// All events in the journal
    #[arg(long)]
    all: bool,
}

/// Parses one of the names of an enum.
fn one_of<T>() -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = strum::ParseError> + VariantNames + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(T::VARIANTS).try_map(|name| name.parse())
}

/// Parses a day or a time.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let day = text.parse().map(|day: NaiveDate| Timestamp(day.and_time(NaiveTime::MIN).and_utc()));
    let time = || text.parse().map(Timestamp);
    day.or_else(|_| time()).map_err(|_| "expected 2025-06-12 or 2025-06-12T02:15:03Z".to_owned())
}

/// Progress of a replay, printed to standard error.
struct Progress {
    began: Instant,
    printed: Option<Instant>,
    /// Number of selected events, if known.
    total: Option<i64>,
    /// Number of events in complete pages.
    done: i64,
    /// Last event of the last complete page.
    last: Option<EventId>,
}

impl Progress {
    fn add(&mut self, last: EventId, events: usize) {
        self.last = Some(last);
        self.done += events as i64;
        if self.printed.is_none_or(|printed| printed.elapsed() >= PROGRESS_INTERVAL) {
            self.printed = Some(Instant::now());
            // If nobody reads it, the replay goes on.
            let _ = writeln!(io::stderr(), "{}", self.line());
        }
    }

    /// `replay: 400 of 12000 events, 850/s, 14s left`
    fn line(&self) -> String {
        let rate = self.done as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
        let (done, total) = (self.done, self.total);
        let of = total.map_or(String::new(), |total| format!(" of {total}"));
        let left = total.map_or(String::new(), |total| {
            let seconds = ((total - done).max(0) as f64 / rate.max(1e-3)).ceil();
            format!(", {seconds}s left")
        });
        format!("replay: {done}{of} events, {rate:.0}/s{left}")
    }

    /// What to do after the replay was stopped.
    fn advice(&self) -> String {
        let done = self.done;
        match self.last {
            Some(last) => format!(
                "stopped after {done} event(s); to go on, run it again with --after {}",
                last.0
            ),
            None => "stopped before the first event".to_owned(),
        }
    }
}

/// Replays the selected events and prints each change of outcome. Ends when `stop` does.
pub async fn run(
    mut config: Config,
    arguments: Arguments,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let Events { ids, from, to, kind, outcome, all: _ } = arguments.events;
    // Events received from now on are parsed by this version anyway.
    let to = to.or_else(|| Some(Timestamp::now()));
    let selection = Selection { ids, organizations: None, from, to, kind, outcome };
    let after = arguments.after.map(EventId);
    store::check_connection(&config.database).await.context(store::UNREACHABLE)?;
    let database = config.database.clone();
    config.database.statement_timeout = SEARCH_TIMEOUT;
    let read = store::connect_to_read(&config.database, 1)?;
    let total = store::event::count_selected(&read, &selection, after).await.ok();

    let mut progress =
        Progress { began: Instant::now(), printed: None, total, done: 0, last: after };
    let (mut events, mut changed, mut rows) = (0, 0, 0);
    let report = |report| match report {
        Report::Event(Replayed { event_id, before, outcome }) => {
            events += 1;
            if before != outcome {
                changed += 1;
                let (before, outcome) = (before.as_str(), outcome.as_str());
                print_line(format_args!("event {}: {before} -> {outcome}", event_id.0));
            }
        }
        Report::Row(Difference { table, key, is_new, columns }) => {
            rows += 1;
            let columns: Vec<&str> = columns.iter().map(|one| one.column.as_str()).collect();
            let change = if is_new { "new".to_owned() } else { columns.join(", ") };
            print_line(format_args!("{table} {key}: {change}"));
        }
        Report::Page { last, events } => progress.add(last, events),
    };
    let mut tasks = JoinSet::new();
    let replay = async {
        if arguments.dry_run {
            let (write, limit) = (store::connect(&database)?, config.writer.commit_timeout);
            replay::dry_run(&read, &write, limit, &selection, after, report).await?;
        } else {
            let writer =
                Writer::start(&database, &config.writer, &Activity::new(false), &mut tasks);
            let writer = writer.with_timeout(ANSWER_TIMEOUT);
            replay::replay(&read, &writer, &selection, after, report).await?;
        }
        anyhow::Ok(())
    };
    let result = tokio::select! {
        result = replay => result,
        () = stop => Err(anyhow!("interrupted")),
    };
    result.with_context(|| progress.advice())?;
    if arguments.dry_run {
        print_line(format_args!(
            "{events} event(s) would be replayed: {changed} with another outcome, \
             {rows} change(s) of rows"
        ));
    } else {
        print_line(format_args!("{events} event(s) replayed, {changed} with another outcome"));
    }
    Ok(())
}
