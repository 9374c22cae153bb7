//! Benchmark of writing, also with NATS (`scripts/bench.sh`), and of reading (`scripts/bench-read.sh`).
//!
//! One binary with several roles: it measures, and it starts itself as the service, the load
//! generator or a baseline. So there is one release build, and everything measured has the same
//! compiler settings and allocator as the delivered service. Results go to stdout, progress to stderr.

mod baselines;
mod nats;
mod process;
mod read;
mod report;
mod write;

use std::ffi::OsString;
use std::iter::once;
use std::process::ExitCode;

use clap::Parser;
use qontak_receiver::cli;
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[derive(Parser)]
enum Command {
    /// Measure writing.
    Write(write::Arguments),
    /// Measure NATS in front of Postgres.
    Nats(nats::Arguments),
    /// Measure reading.
    Read(read::Arguments),
    /// Run `qontak-receiver` with these arguments.
    Receiver {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Serve the baseline that drops every event.
    Ceiling,
    /// Serve the baseline with one transaction per event.
    OneEach,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Write(arguments) => write::run(arguments).await?,
        Command::Nats(arguments) => nats::run(arguments).await?,
        Command::Read(arguments) => read::run(arguments).await?,
        Command::Receiver { arguments } => {
            return cli::run(once("qontak-receiver".into()).chain(arguments)).await;
        }
        Command::Ceiling => baselines::serve_ceiling().await?,
        Command::OneEach => baselines::serve_one_each().await?,
    }
    Ok(ExitCode::SUCCESS)
}
