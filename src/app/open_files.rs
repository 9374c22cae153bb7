//! Limit of open files: each connection needs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use super::check::Check;
use crate::config::Config;
use crate::ingest::writer;

/// Files besides client connections and those to the database: the log, the spool, timers, ports, and
/// clients of the ops port.
const OTHERS: u64 = 128;

/// Raises the soft limit to the hard one, and checks that `http.max_connections` fits: otherwise connections
/// are refused, and files of the spool cannot be opened.
pub fn raise_limit(config: &Config) -> Check {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        warn!(%error, "soft limit of open files cannot be raised");
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return Check::ok("files", "no limit of open files");
    };
    let database = u64::from(config.database.read_connections)
        + u64::from(writer::connections(&config.writer));
    let others = database + OTHERS;
    let connections = config.http.max_connections as u64;
    if limit < connections + others {
        let text = format!(
            "`ulimit -n` is {limit}, too low for http.max_connections ({connections}); raise it, or set \
             that to {} at most",
            limit.saturating_sub(others),
        );
        return Check::fail("files", text);
    }
    Check::ok("files", format!("{limit} may be open"))
}
