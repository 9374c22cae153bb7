//! The command line, and nothing else.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match qontak_receiver::cli::run().await {
        Ok(code) => code,
        Err(error) => {
            // One line, with its causes: whoever reads it may have only that line.
            eprintln!("qontak-receiver: {error:#}");
            ExitCode::FAILURE
        }
    }
}
