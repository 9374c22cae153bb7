//! `qontak-receiver spool`: reads files of the spool.

use std::path::PathBuf;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use serde_json::json;

use super::output::print_line;
use crate::ingest::spool::segment;

#[derive(Subcommand)]
pub enum Command {
    /// Print the readable webhooks of a file, one JSON object per line
    ///
    /// Also of a damaged file (`spool.corrupt-…`). A body that is not UTF-8 is in `body_base64`. The
    /// exit code is 0 even if some bytes could not be read; their number is printed to stderr.
    Export {
        /// File in spool.folder
        file: PathBuf,
    },
}

pub fn run(command: Command) -> anyhow::Result<()> {
    let Command::Export { file } = command;
    let (webhooks, unreadable) =
        segment::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let count = webhooks.len();
    for webhook in webhooks {
        let mut line = json!({
            "event_id": webhook.id,
            "received_at": webhook.received_at,
            "endpoint": webhook.endpoint.as_ref(),
            "organization_id": webhook.organization_id.as_deref(),
            "request_id": webhook.request_id,
            "is_damaged": webhook.is_damaged,
        });
        match std::str::from_utf8(&webhook.body) {
            Ok(body) => line["body"] = body.into(),
            Err(_) => line["body_base64"] = STANDARD.encode(&webhook.body).into(),
        }
        print_line(format_args!("{line}"));
    }
    eprintln!("{count} webhooks, {unreadable} unreadable bytes");
    Ok(())
}
