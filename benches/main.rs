//! What does the service cost, on this machine?
//!
//! ```text
//! write    to receive: events a second, CPU, memory, WAL, disk
//! read     to answer: times, rows, buffers; and does that stay so as tables grow?
//!   ├─ running   a service in a process of its own
//!   └─ report    facts, tables, files
//! ```
//!
//! `scripts/bench.sh` and `scripts/bench-read.sh` start the cluster and call this. All is one program
//! with the service in it, as most of the time to build any of it goes into the service. What is
//! measured has the code, profile and allocator of the service as it is delivered, and this program's
//! own parts beside them.

mod read;
mod report;
mod running;
mod write;

use std::ffi::OsString;
use std::iter::once;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use qontak_receiver::cli;
use tikv_jemallocator::Jemalloc;

// As the service does: the ceiling must not pay for another one.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what receiving costs.
    Write(write::Arguments),
    /// Measure what reading costs.
    Read(read::Arguments),
    /// Be `qontak-receiver`, with these words behind it.
    Receiver {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Be the service that drops events; by the settings of the real one.
    Ceiling,
    /// Be the one that writes each event in a transaction.
    OneEach,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("costs: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Write(arguments) => write::measure(arguments).await?,
        Command::Read(arguments) => read::measure(arguments).await?,
        Command::Receiver { words } => {
            return cli::run(once("qontak-receiver".into()).chain(words)).await;
        }
        Command::Ceiling => write::stand_in::serve_ceiling().await?,
        Command::OneEach => write::stand_in::serve_one_each().await?,
    }
    Ok(ExitCode::SUCCESS)
}
