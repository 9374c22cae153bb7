//! What does the service cost, on this machine?
//!
//! ```text
//! write    to receive: events a second, CPU, memory, WAL, disk
//! read     to answer: times, rows, buffers; and does that stay so as tables grow?
//!   ├─ running   a service in a process of its own
//!   └─ report    facts, tables, files
//! ```
//!
//! `scripts/bench.sh` and `scripts/bench-read.sh` start the cluster and call this. Both are one
//! program, as most of the time to build it goes into the service, which is in both.

mod read;
mod report;
mod running;
mod write;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tikv_jemallocator::Jemalloc;

// As the service does: the ceiling must not pay for another one.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Cargo says so to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what receiving costs.
    Write(write::Arguments),
    /// Measure what reading costs.
    Read(read::Arguments),
    /// Be the service that drops events; by the settings of the real one.
    Ceiling,
    /// Be the one that writes each event in a transaction.
    OneEach,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Write(arguments) => write::measure(arguments).await,
        Command::Read(arguments) => read::measure(arguments).await,
        Command::Ceiling => write::stand_in::serve_ceiling().await,
        Command::OneEach => write::stand_in::serve_one_each().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
