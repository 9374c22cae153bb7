//! `qontak-receiver key create | list | revoke`.

use anyhow::{Context, bail, ensure};
use chrono::{Datelike, Utc};
use clap::Subcommand;
use sqlx::PgPool;
use uuid::Uuid;

use super::replay::time;
use crate::config::{self, Config, Scope};
use crate::model::Timestamp;
use crate::read::key;
use crate::store;
use crate::store::api_key::{self, KeyRow, NewKey};

/// What to do with keys.
#[derive(Subcommand)]
pub enum Command {
    /// Make a key and print it, this once: only its SHA-256 is kept.
    Create(Create),
    /// List all keys: who may read what, until when, and when each was last used.
    List,
    /// Take a key back for good. Replicas know it within 5 seconds.
    Revoke {
        /// The name of the key, or its id.
        #[arg(value_name = "NAME-OR-ID")]
        key: String,
    },
}

/// The key to make.
#[derive(clap::Args)]
pub struct Create {
    /// What to call it: 1 to 64 characters. The name of a revoked or expired key is free again.
    #[arg(long, value_parser = name)]
    name: String,
    /// What it may do; may be given several times. An export needs `read` as well.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// The id of an organisation whose data it may see, or * for all; may be given several times.
    #[arg(
        long = "organization", value_name = "ID", required = true, value_delimiter = ',',
        value_parser = organization
    )]
    organizations: Vec<String>,
    /// When it ends: 2027-01-31 (at 0:00 UTC), 2027-01-31T17:00:00Z, or from now on, as 90d. Else
    /// never.
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: Option<Timestamp>,
}

/// Does what the command says.
pub async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    store::check_connection(&config.database).await?;
    let pool = store::connect(&config.database)?;
    ensure!(
        store::pending_migrations(&pool).await? == 0,
        "the schema is not up to date; run `qontak-receiver migrate`"
    );
    match command {
        Command::Create(wanted) => create(&pool, wanted).await,
        Command::List => list(&pool, config).await,
        Command::Revoke { key } => revoke(&pool, config, &key).await,
    }
}

/// Prints the key alone, so that a script can take it; what is to be said goes to stderr.
async fn create(pool: &PgPool, wanted: Create) -> anyhow::Result<()> {
    let Create { name, scopes, organizations, expires } = wanted;
    ensure!(
        !scopes.contains(&Scope::Export) || scopes.contains(&Scope::Read),
        "--scope export: an export is read, so it needs --scope read as well"
    );
    let secret = key::generate().context("the system has no random bits")?;
    let new = NewKey {
        api_key_id: Uuid::now_v7(),
        name,
        sha256: key::hash(&secret),
        scopes: distinct(scopes.iter().map(|scope| scope.as_str().to_owned())),
        organizations: config::those_seen(&distinct(organizations)),
        expires_at: expires,
    };
    ensure!(
        api_key::create(pool, &new).await?,
        "--name {}: a key with this name is live; revoke it, or take another name",
        new.name
    );
    eprintln!(
        "key {} ({}) may {} of {}, {}; it is not shown again:",
        new.name,
        new.api_key_id,
        new.scopes.join(", "),
        new.organizations.as_deref().map_or("all organisations".to_owned(), |ids| ids.join(", ")),
        new.expires_at.map_or("for ever".to_owned(), |at| format!("until {at}")),
    );
    println!("{secret}");
    Ok(())
}

async fn list(pool: &PgPool, config: &Config) -> anyhow::Result<()> {
    let mut table = vec![
        ["name", "scopes", "organizations", "created", "expires", "last used", "state", "id"]
            .map(str::to_owned),
    ];
    table.extend(config.key.iter().map(|(name, key)| {
        let scopes = distinct(key.scopes.iter().map(|scope| scope.as_str().to_owned()));
        let organizations = key.organizations();
        let none = || "-".to_owned();
        let organizations = shown(organizations.as_deref());
        let state = "in the settings".to_owned();
        [name.clone(), scopes.join(","), organizations, none(), none(), none(), state, none()]
    }));
    let keys = api_key::list(pool).await?;
    table.extend(keys.into_iter().map(|key| {
        let state = state(&key).to_owned();
        let time = |time: Option<Timestamp>, none: &str| time.map_or(none.to_owned(), minute);
        [
            key.name,
            key.scopes.join(","),
            shown(key.organizations.as_deref()),
            minute(key.created_at),
            time(key.expires_at, "never"),
            time(key.last_used_at, "never"),
            state,
            key.api_key_id.to_string(),
        ]
    }));
    print(&table);
    Ok(())
}

async fn revoke(pool: &PgPool, config: &Config, name_or_id: &str) -> anyhow::Result<()> {
    match api_key::revoke(pool, name_or_id).await? {
        Some((name, id)) => {
            println!("key {name} ({id}) is revoked; replicas refuse it within 5 s");
            Ok(())
        }
        None if config.key.contains_key(name_or_id) => bail!(
            "{name_or_id}: this key is in the settings; remove key.{name_or_id} there and start \
             the service again"
        ),
        None => bail!("{name_or_id}: no live key has this name or id; see `key list`"),
    }
}

fn state(key: &KeyRow) -> &'static str {
    // The name of an expired key may have been taken back later.
    let end = key.revoked_at.unwrap_or_else(Timestamp::now);
    match key.expires_at {
        Some(at) if at <= end => "expired",
        _ if key.revoked_at.is_some() => "revoked",
        _ => "live",
    }
}

fn shown(organizations: Option<&[String]>) -> String {
    organizations.map_or("*".to_owned(), |ids| ids.join(","))
}

fn minute(time: Timestamp) -> String {
    time.0.format("%Y-%m-%dT%H:%MZ").to_string()
}

/// Columns as wide as the widest of their cells.
fn print<const N: usize>(table: &[[String; N]]) {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in table {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn distinct(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().collect();
    texts.sort();
    texts.dedup();
    texts
}

fn name(text: &str) -> Result<String, &'static str> {
    if text.trim() != text || !(1..=64).contains(&text.chars().count()) {
        return Err("expected 1 to 64 characters, without spaces around them");
    }
    if text.chars().any(char::is_control) {
        return Err("a name has no control characters");
    }
    // `key revoke` takes names and ids alike.
    if text.parse::<Uuid>().is_ok() {
        Err("a name must not look like an id")
    } else {
        Ok(text.to_owned())
    }
}

fn organization(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("must not be empty: give the id of an organisation, or * for all");
    }
    Ok(text.trim().to_owned())
}

/// Reads a day, a time, or how long from now.
fn expiry(text: &str) -> Result<Timestamp, &'static str> {
    let after = |text| {
        Utc::now().checked_add_signed(
            humantime::parse_duration(text)
                .ok()
                .and_then(|d| chrono::TimeDelta::from_std(d).ok())?,
        )
    };
    let at = time(text).ok().or_else(|| after(text).map(Timestamp));
    let at =
        at.ok_or("expected 2027-01-31, 2027-01-31T17:00:00Z, or a time from now as 90d or 12h")?;
    if at <= Timestamp::now() {
        return Err("it must not be in the past");
    }
    if at.0.year() > 9999 { Err("it must be before the year 10000") } else { Ok(at) }
}
