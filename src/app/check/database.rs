//! The server, the database and the rights of the role.

use metrics::gauge;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::Check;
use crate::config::{self, Config};
use crate::ingest::writer;
use crate::model::Timestamp;
use crate::store::server::{self, Connected, Facts, OLDEST_VERSION, PartitionRights, Pooler};
use crate::store::{self, partition};

/// Connections besides those of reads and of the writer: upkeep, and at most three for alarms and Qontak's API.
const OTHER_CONNECTIONS: u32 = 4;

/// Difference of clocks from which times and days of events are wrong.
const MAX_SKEW_SECONDS: i64 = 60;

/// Connects, and finds what makes every webhook fail. The error is that of a connection.
pub async fn connection(settings: &config::Database) -> sqlx::Result<Check> {
    let Connected { version, pooler } = server::connect_twice(settings).await?;
    let place = place(settings);
    Ok(match pooler {
        Pooler::Transactions => Check::fail(
            "database",
            format!(
                "{place} is a pooler in transaction mode, which loses session settings and prepared \
                 statements; set DATABASE_URL to Postgres itself or to a pooler in session mode, often \
                 port 5432"
            ),
        ),
        Pooler::NoSettings => Check::fail(
            "database",
            format!(
                "{place} is a pooler that ignores session settings such as timeouts; set DATABASE_URL to \
                 Postgres itself, often port 5432"
            ),
        ),
        Pooler::None if version < OLDEST_VERSION => Check::fail(
            "database",
            format!("PostgreSQL {} is too old; upgrade it to 15 or newer", version / 10_000),
        ),
        Pooler::None => Check::ok("database", format!("PostgreSQL {}", version / 10_000)),
    })
}

/// Checks of the server that need no schema. Those that fail make webhooks fail.
pub async fn server(config: &Config, db: &PgPool) -> sqlx::Result<Vec<Check>> {
    let facts = server::facts(db).await?;
    Ok(vec![encoding(&facts), connections(config, &facts)])
}

fn encoding(facts: &Facts) -> Check {
    match facts.encoding.as_str() {
        "UTF8" => Check::ok("encoding", "UTF8"),
        other => Check::fail(
            "encoding",
            format!(
                "{other}; create the database with: create database … encoding 'UTF8' template template0"
            ),
        ),
    }
}

fn connections(config: &Config, facts: &Facts) -> Check {
    let Facts { max_connections, role, .. } = facts;
    let needed =
        config.database.read_connections + writer::connections(&config.writer) + OTHER_CONNECTIONS;
    if i64::from(*max_connections) < i64::from(needed) {
        return Check::fail(
            "sessions",
            format!(
                "{role} may open {max_connections}, a replica needs {needed}; raise max_connections of \
                 the server or the limit of the role, or lower database.read_connections"
            ),
        );
    }
    Check::ok("sessions", format!("{needed} of {max_connections} for each replica"))
}

/// Checks of the server that leave it working.
pub async fn advice(config: &Config, db: &PgPool) -> sqlx::Result<Vec<Check>> {
    let facts = server::facts(db).await?;
    let mut checks = vec![encryption(config, &facts), clock(db).await?];
    if config.search.enabled && !facts.has_trigrams {
        checks.push(Check::fail(
            "search",
            "the server has no extension pg_trgm; install postgresql-contrib there, or set \
             search.enabled to false",
        ));
    }
    Ok(checks)
}

fn encryption(config: &Config, facts: &Facts) -> Check {
    if facts.is_encrypted {
        Check::ok("encryption", "the connection is encrypted")
    } else if is_local(&config.database) {
        Check::ok("encryption", "none needed on this machine")
    } else {
        let place = place(&config.database);
        let text = format!("none to {place}; add ?sslmode=require to DATABASE_URL");
        Check::warn("encryption", text)
    }
}

/// Compares the clock of this machine with that of the server.
pub async fn clock(db: &PgPool) -> sqlx::Result<Check> {
    let clock = store::clock(db).await?;
    let skew = Timestamp::now().0 - clock.0;
    gauge!("qontak_receiver_clock_skew_seconds").set(skew.as_seconds_f64());
    let skew = skew.abs();
    let seconds = skew.num_seconds();
    let text = format!("differs from the database by {seconds} s; synchronise both");
    Ok(match seconds {
        0..=5 => Check::ok(
            "clock",
            format!("differs from the database by {} ms", skew.num_milliseconds()),
        ),
        6..=MAX_SKEW_SECONDS => Check::warn("clock", text),
        _ => Check::fail("clock", text),
    })
}

/// Whether commits survive a crash of the server.
pub async fn durability(db: &PgPool) -> sqlx::Result<Check> {
    let settings = store::durability(db).await?.into_iter();
    let settings = settings.map(|(setting, value)| format!("{setting} is {value}; turn it on"));
    let tables = store::unlogged_tables(db).await?.into_iter();
    let tables =
        tables.map(|table| format!("{table} is unlogged; run: alter table {table} set logged"));
    let weak: Vec<String> = settings.chain(tables).collect();
    if weak.is_empty() {
        return Ok(Check::ok("durability", "commits are flushed to disk"));
    }
    let text = format!("acknowledged events can be lost in a crash: {}", weak.join("; "));
    Ok(Check::fail("durability", text))
}

/// Whether the schema is that of this program.
pub async fn schema(db: &PgPool) -> sqlx::Result<Check> {
    let schema = store::assess_schema(db).await?;
    Ok(if let Some(version) = schema.changed {
        let text = format!(
            "migration {version} was changed after it was applied; use the program that applied it, or \
             an empty database"
        );
        Check::fail("schema", text)
    } else if schema.pending > 0 {
        Check::fail("schema", "migrations are pending; run `qontak-receiver migrate`")
    } else if let Some(version) = schema.newer {
        let text = format!(
            "is of a newer program (migration {version}), with which this one works during a rolling \
             update; upgrade this one"
        );
        Check::warn("schema", text)
    } else {
        Check::ok("schema", "up to date")
    })
}

/// Whether the next days have partitions, and the role may create those of later days.
pub async fn partitions(db: &PgPool) -> sqlx::Result<Check> {
    let problems = partition::problems(db).await?;
    if !problems.is_empty() {
        return Ok(Check::fail("partitions", problems.join("; ")));
    }
    if let Some(day) = partition::missing(db).await?.first() {
        let text = format!("none for {day}; run `qontak-receiver migrate`");
        return Ok(Check::fail("partitions", text));
    }
    let ahead = partition::days_ahead(db).await?.unwrap_or(0);
    let PartitionRights { missing_owner, missing_schema } = server::partition_rights(db).await?;
    if missing_owner.is_none() && missing_schema.is_none() {
        return Ok(Check::ok("partitions", format!("exist for today and {ahead} more day(s)")));
    }
    let role = server::facts(db).await?.role;
    let owner = missing_owner.map(|owner| format!("grant {owner} to {role}"));
    let schema = missing_schema.map(|schema| format!("grant create on schema {schema} to {role}"));
    let grants: Vec<String> = owner.into_iter().chain(schema).collect();
    let text = format!(
        "{role} may not create them, and they end in {ahead} day(s); run `qontak-receiver migrate \
         --days 30` as the owner in a daily job, or: {}",
        grants.join("; ")
    );
    Ok(if ahead < 2 { Check::fail("partitions", text) } else { Check::warn("partitions", text) })
}

/// Host and port of the server in use, without secrets.
fn place(settings: &config::Database) -> String {
    options(settings).as_ref().map_or_else(String::new, host_and_port)
}

fn host_and_port(server: &PgConnectOptions) -> String {
    format!("{}:{}", server.get_host(), server.get_port())
}

/// Finds which server is the primary; `None` if `database.url` names only one.
pub async fn servers(settings: &config::Database) -> Option<Check> {
    let servers = settings.servers();
    if servers.len() < 2 {
        return None;
    }
    let mut texts = Vec::new();
    let (mut primaries, mut unavailable) = (0, 0);
    for server in &servers {
        let role = match store::primary::is_primary_at(server).await {
            Ok(true) => {
                primaries += 1;
                "primary"
            }
            Ok(false) => "standby",
            Err(_) => {
                unavailable += 1;
                "unavailable"
            }
        };
        texts.push(format!("{} is {role}", host_and_port(server)));
    }
    let text = texts.join(", ");
    Some(match (primaries, unavailable) {
        (1, 0) => Check::ok("servers", text),
        (1, _) => Check::warn("servers", format!("{text}; start what is unavailable")),
        (0, _) => {
            Check::fail("servers", format!("{text}; promote a standby, or start the primary"))
        }
        _ => Check::fail(
            "servers",
            format!("{text}; only one may accept writes: stop the one that was the primary before"),
        ),
    })
}

fn is_local(settings: &config::Database) -> bool {
    options(settings).is_some_and(|options| {
        let host = options.get_host();
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        let is_loopback = address.is_ok_and(|address| address.is_loopback());
        options.get_socket().is_some()
            || host == "localhost"
            || host.starts_with('/')
            || is_loopback
    })
}

fn options(settings: &config::Database) -> Option<PgConnectOptions> {
    settings.servers().into_iter().nth(settings.primary.get())
}
