//! Entry point: runs the command line and prints its error.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

// A request makes a few hundred small allocations, and most are freed in another thread.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match qontak_receiver::cli::run(std::env::args_os()).await {
        Ok(code) => code,
        Err(error) => {
            // One line with all causes: log collectors treat each line as a message of its own.
            eprintln!("qontak-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}
