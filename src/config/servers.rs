//! A database URL with several hosts, as libpq accepts it: `postgres://user@one,two:5433/database`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use percent_encoding::percent_decode_str;
use sqlx::postgres::PgConnectOptions;

/// The server in use, by its number in the URL. Clones share it, so that a failover reaches all who connect.
#[derive(Clone, Debug, Default)]
pub struct Primary(Arc<AtomicUsize>);

impl Primary {
    /// Number of the server in use.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes the server in use.
    pub fn set(&self, server: usize) {
        self.0.store(server, Ordering::Relaxed);
    }
}

/// Options of each server of a URL, in its order; at least one. The error is a sentence without secrets.
pub fn parse(url: &str) -> Result<Vec<PgConnectOptions>, String> {
    let invalid = || "not a Postgres URL".to_owned();
    // sqlx accepts any scheme, and ignores what follows a `#`, which can only be part of a password.
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !is_postgres || url.contains('#') {
        return Err(invalid());
    }
    split(url)?.iter().map(|url| url.parse().map_err(|_| invalid())).collect()
}

/// A URL for each host. sqlx knows neither lists of hosts nor `target_session_attrs`.
fn split(url: &str) -> Result<Vec<String>, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let mut hosts: Vec<&str> = hosts.split(',').collect();
    let mut in_query: (Vec<String>, Vec<String>) = Default::default();
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = percent_decode_str(value).decode_utf8_lossy();
        let list = || decoded.split(',').map(str::to_owned).collect();
        match name {
            "host" if decoded.contains(',') => in_query.0 = list(),
            "port" if decoded.contains(',') => in_query.1 = list(),
            "target_session_attrs" => match &*decoded {
                "any" | "read-write" | "primary" => {}
                _ => return Err("target_session_attrs can only be read-write".to_owned()),
            },
            _ => others.push(pair),
        }
    }
    let (query_hosts, ports) = in_query;
    let count = query_hosts.len().max(hosts.len());
    if hosts.len() < count {
        hosts = vec![hosts[0]; count];
    } else if !query_hosts.is_empty() {
        return Err("lists of hosts before and after the ?".to_owned());
    }
    if !ports.is_empty() && ports.len() != count {
        return Err(format!("{} ports for {count} hosts", ports.len()));
    }
    let is_empty = |host: &&str| count > 1 && query_hosts.is_empty() && host.is_empty();
    if hosts.iter().any(is_empty) || query_hosts.iter().any(String::is_empty) {
        return Err("an empty host in the list".to_owned());
    }
    let url = |(place, host): (usize, &&str)| {
        // A user and no host make no valid URL; the host after the ? replaces it.
        let host = if host.is_empty() && !query_hosts.is_empty() { "localhost" } else { *host };
        let mut pairs: Vec<String> = others.iter().map(|pair| (*pair).to_owned()).collect();
        for (name, values) in [("host", &query_hosts), ("port", &ports)] {
            pairs.extend(values.get(place).map(|value| format!("{name}={value}")));
        }
        let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
        format!("{scheme}://{user}{host}{path}{query}")
    };
    Ok(hosts.iter().enumerate().map(url).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(url: &str) -> Result<Vec<String>, String> {
        let place = |it: &PgConnectOptions| match it.get_socket() {
            Some(socket) => format!("{}:{}", socket.display(), it.get_port()),
            None => format!("{}:{}", it.get_host(), it.get_port()),
        };
        parse(url).map(|servers| servers.iter().map(place).collect())
    }

    #[test]
    fn hosts_are_listed_as_libpq_lists_them() {
        for (url, expected) in [
            ("postgres://one/db", vec!["one:5432"]),
            ("postgres://u:p%40@one,two:5433/db?sslmode=disable", vec!["one:5432", "two:5433"]),
            ("postgresql://u@one:1,two:2,[::1]:3/db", vec!["one:1", "two:2", "[::1]:3"]),
            ("postgres://one,two/db?target_session_attrs=read-write", vec!["one:5432", "two:5432"]),
            ("postgres://u@/db?host=one,two&port=1,2", vec!["one:1", "two:2"]),
            ("postgres://u@/db?host=%2Frun%2Fa%2C%2Frun%2Fb", vec!["/run/a:5432", "/run/b:5432"]),
            ("postgres://u@localhost/db?host=%2Frun%2Fa&port=7", vec!["/run/a:7"]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(places(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn lists_that_make_no_sense_are_refused() {
        for (url, problem) in [
            ("mysql://one/db", "not a Postgres URL"),
            ("postgres://one/db#x", "not a Postgres URL"),
            ("postgres://one,,two/db", "an empty host in the list"),
            ("postgres://u@/db?host=one,two&port=1,2,3", "3 ports for 2 hosts"),
            ("postgres://one,two/db?host=three,four", "lists of hosts before and after the ?"),
            (
                "postgres://one,two/db?target_session_attrs=standby",
                "target_session_attrs can only be read-write",
            ),
        ] {
            assert_eq!(places(url), Err(problem.to_owned()), "{url}");
        }
    }
}
