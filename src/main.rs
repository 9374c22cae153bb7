//! The command line, and nothing else.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

// A request makes a few hundred small allocations, most of them in one thread and freed in another.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match qontak_receiver::cli::run(std::env::args_os()).await {
        Ok(code) => code,
        Err(error) => {
            // One line, with its causes: whoever reads it may have only that line.
            eprintln!("qontak-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}
