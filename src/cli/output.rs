//! Standard output of commands.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::exit;

/// Exit code of a process that SIGPIPE ended, as shells report it.
const SIGPIPE: i32 = 128 + 13;

/// Prints a line. If nobody reads the output any more, as after `… | head`, it ends the process as
/// other commands do: Rust ignores SIGPIPE, and `println!` panics instead.
pub fn print_line(line: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    end_unless_written(writeln!(stdout, "{line}"));
}

/// Prints bytes, in the same way.
pub fn print_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    end_unless_written(stdout.write_all(bytes).and_then(|()| stdout.flush()));
}

fn end_unless_written(result: io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(SIGPIPE),
        Err(error) => {
            eprintln!("qontak-receiver: cannot write to standard output: {error}");
            exit(1);
        }
    }
}
