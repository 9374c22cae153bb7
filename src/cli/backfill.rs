//! `qontak-receiver backfill`: reads from Qontak's API what webhooks did not bring, and stores it.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use tokio::task::JoinSet;

use super::output::print_line;
use super::register::{code_of_call, organization};
use super::replay::time;
use crate::config::Config;
use crate::ingest::Ingest;
use crate::model::Timestamp;
use crate::qontak::Client;
use crate::qontak::backfill::{Backfill, BackfillError, Progress, Report, Scope};
use crate::store;

/// Timeout of one event's commit. Longer than for webhooks, since no sender waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Interval of the progress on a terminal, and elsewhere.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Width of the progress bar.
const WIDTH: usize = 30;

/// Arguments of `backfill`.
#[derive(Args)]
pub struct Arguments {
    /// Name of the organisation in the settings [default: the only one]
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Start of the period: 2025-06-12 or 2025-06-12T02:15:03Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Timestamp,
    /// End of the period [default: now; or that of the interrupted backfill with the same start]
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Rooms; with none of --rooms, --messages and --broadcasts, all of them
    #[arg(long)]
    rooms: bool,
    /// Messages of rooms
    #[arg(long)]
    messages: bool,
    /// Broadcasts and their recipients
    #[arg(long)]
    broadcasts: bool,
    /// Store nothing; print what is missing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the backfill and prints the result. Ends when `stop` does.
pub async fn run(
    mut config: Config,
    arguments: Arguments,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<ExitCode> {
    let (name, settings) = organization(&config, arguments.organization.as_deref())?;
    let db = store::connect_for_qontak(&config.database)?;
    let client = Client::new(name, settings, &config, db.clone());
    let name = name.to_owned();
    config.writer.answer_timeout = ANSWER_TIMEOUT;
    let mut tasks = JoinSet::new();
    let ingest = Ingest::start(&config, &db, Vec::new(), &mut tasks);
    let Arguments { from, to, rooms, messages, broadcasts, dry_run, .. } = arguments;
    let is_chosen = rooms || messages || broadcasts;
    let backfill = Backfill {
        client: &client,
        ingest: &ingest,
        db: &db,
        timeout: config.writer.commit_timeout,
        from,
        to,
        scope: if is_chosen { Scope { rooms, messages, broadcasts } } else { Scope::ALL },
        is_dry_run: dry_run,
    };
    print_line(format_args!("organization  {name}"));
    let mut display = Display::new();
    let result = tokio::select! {
        result = backfill.run(|progress| display.show(progress)) => result,
        () = stop => {
            return Err(anyhow!("interrupted; to go on, run it again with the same --from"));
        }
    };
    display.end();
    match result {
        Ok(report) => {
            print_report(&report);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("qontak-receiver: {error}; to go on, run it again with the same --from");
            Ok(ExitCode::from(match &error {
                BackfillError::Qontak(error) => code_of_call(error),
                BackfillError::UnknownOrganization => 1,
                BackfillError::Database(_) | BackfillError::Write(_) | BackfillError::Busy => 4,
            }))
        }
    }
}

fn print_report(report: &Report) {
    print_line(format_args!(
        "{:<15}{:>9}{:>9}{:>9}{:>9}",
        "", "fetched", "missing", "changed", "equal"
    ));
    for (kind, counts) in report {
        print_line(format_args!(
            "{:<15}{:>9}{:>9}{:>9}{:>9}",
            kind.as_str(),
            counts.fetched,
            counts.missing,
            counts.changed,
            counts.equal()
        ));
    }
}

/// Progress on standard error: a bar on a terminal, else a line a minute.
struct Display {
    began: Instant,
    printed: Instant,
    is_terminal: bool,
}

impl Display {
    fn new() -> Self {
        let now = Instant::now();
        Self { began: now, printed: now, is_terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: Progress) {
        let interval = if self.is_terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
        if self.printed.elapsed() < interval {
            return;
        }
        self.printed = Instant::now();
        let line = line(progress, self.began.elapsed());
        // If nobody reads it, the backfill goes on.
        let _ = if self.is_terminal {
            let done = (progress.share * WIDTH as f64) as usize;
            let (bar, rest) = ("#".repeat(done), ".".repeat(WIDTH - done.min(WIDTH)));
            write!(io::stderr(), "\r\x1b[K[{bar}{rest}] {line}")
        } else {
            writeln!(io::stderr(), "{line}")
        };
    }

    /// Leaves the line of the bar.
    fn end(&self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// `room: 400 rows, 12/s, 35%, 140s left`
fn line(Progress { kind, fetched, share }: Progress, took: Duration) -> String {
    let seconds = took.as_secs_f64().max(1e-3);
    let rate = fetched as f64 / seconds;
    let left = seconds / share.max(1e-3) * (1.0 - share);
    let percent = share * 100.0;
    format!("{}: {fetched} rows, {rate:.0}/s, {percent:.0}%, {left:.0}s left", kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qontak::backfill::Kind;

    #[test]
    fn progress_shows_rate_and_time_left() {
        let progress = Progress { kind: Kind::Room, fetched: 400, share: 0.25 };
        let line = line(progress, Duration::from_secs(20));
        assert_eq!(line, "room: 400 rows, 20/s, 25%, 60s left");
    }
}
