//! `qontak-receiver key create | list | revoke`.

use anyhow::{Context, bail, ensure};
use chrono::{Datelike, Utc};
use clap::Subcommand;
use sqlx::PgPool;
use uuid::Uuid;

use super::output::print_line;
use super::replay::time;
use crate::config::{self, Config, Scope};
use crate::model::Timestamp;
use crate::read::{hmac, key};
use crate::store;
use crate::store::api_key::{self, KeyRow, NewKey};

/// Subcommands of `key`.
#[derive(Subcommand)]
pub enum Command {
    /// Create a key and print it
    ///
    /// The key cannot be shown again: the database stores only its SHA-256.
    Create(Create),
    /// List all keys with scopes, organisations, expiry and last use
    List,
    /// Revoke a key permanently; all replicas reject it within 5 seconds
    Revoke {
        /// Name or id of the key
        #[arg(value_name = "NAME-OR-ID")]
        key: String,
    },
}

/// Arguments of `key create`.
#[derive(clap::Args)]
pub struct Create {
    /// Name, 1 to 64 characters; the name of a revoked or expired key can be reused
    #[arg(long, value_parser = name)]
    name: String,
    /// Permission; may be repeated. `export` requires `read`
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// Id of an organisation whose data the key may read, or * for all; may be repeated
    #[arg(
        long = "organization", value_name = "ID", required = true, value_delimiter = ',',
        value_parser = organization
    )]
    organizations: Vec<String>,
    /// Expiry: 2027-01-31 (0:00 UTC), 2027-01-31T17:00:00Z, or a duration from now such as 90d
    /// [default: never]
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: Option<Timestamp>,
    /// Create an id and a secret that sign requests (Mekari's HMAC), for Qontak's own routes; needs
    /// the setting api.hmac_secret
    #[arg(long)]
    hmac: bool,
}

/// Runs a subcommand.
pub async fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    store::check_connection(&config.database).await.context(store::UNREACHABLE)?;
    let pool = store::connect(&config.database)?;
    ensure!(
        store::pending_migrations(&pool).await? == 0,
        "schema is not up to date; run `qontak-receiver migrate`"
    );
    match command {
        Command::Create(arguments) => create(&pool, config, arguments).await,
        Command::List => list(&pool, config).await,
        Command::Revoke { key } => revoke(&pool, config, &key).await,
    }
}

/// Prints only the key to stdout, so that a script can read it; the description goes to stderr. Id and
/// secret of an HMAC key are printed as the variables that Mekari's clients read.
async fn create(pool: &PgPool, config: &Config, arguments: Create) -> anyhow::Result<()> {
    let Create { name, scopes, organizations, expires, hmac: is_hmac } = arguments;
    ensure!(
        !scopes.contains(&Scope::Export) || scopes.contains(&Scope::Read),
        "--scope export requires --scope read"
    );
    ensure!(
        !scopes.contains(&Scope::ReadMasked) || !scopes.contains(&Scope::Read),
        "--scope read shows what --scope read_masked hides; use one of them"
    );
    let api_key_id = Uuid::now_v7();
    let secret = if is_hmac {
        let hmac_secret = config.api.hmac_secret.as_ref().context(
            "--hmac: api.hmac_secret is not set; set RECEIVER__API__HMAC_SECRET here and for the \
             service to at least 32 characters, for example from `openssl rand -hex 32`",
        )?;
        hmac::secret(&hmac_secret.0, api_key_id)
    } else {
        key::generate().context("the system's random number generator failed")?
    };
    let new = NewKey {
        api_key_id,
        name,
        sha256: key::hash(&secret),
        scopes: distinct(scopes.iter().map(|scope| scope.as_str().to_owned())),
        organizations: config::unless_all(&distinct(organizations)),
        expires_at: expires,
        is_hmac,
    };
    ensure!(
        api_key::create(pool, &new).await?,
        "--name {}: a key with this name is live; revoke it or choose another name",
        new.name
    );
    eprintln!(
        "created key {} ({}): scopes {}; organisations {}; expires {}. It is not shown again:",
        new.name,
        new.api_key_id,
        new.scopes.join(", "),
        new.organizations.as_deref().map_or("*".to_owned(), |ids| ids.join(", ")),
        new.expires_at.map_or("never".to_owned(), |at| at.to_string()),
    );
    if is_hmac {
        print_line(format_args!("MEKARI_API_CLIENT_ID={api_key_id}"));
        print_line(format_args!("MEKARI_API_CLIENT_SECRET={secret}"));
    } else {
        print_line(format_args!("{secret}"));
    }
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
        let organizations = show(organizations.as_deref());
        let state = "in the settings".to_owned();
        [name.clone(), scopes.join(","), organizations, none(), none(), none(), state, none()]
    }));
    let keys = api_key::list(pool).await?;
    table.extend(keys.into_iter().map(|key| {
        let state = format!("{}{}", state(&key), if key.is_hmac { ", hmac" } else { "" });
        let time = |time: Option<Timestamp>, none: &str| time.map_or(none.to_owned(), minute);
        [
            key.name,
            key.scopes.join(","),
            show(key.organizations.as_deref()),
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
            print_line(format_args!(
                "revoked key {name} ({id}); all replicas reject it within 5 s"
            ));
            Ok(())
        }
        None if config.key.contains_key(name_or_id) => bail!(
            "{name_or_id}: this key is in the settings; remove key.{name_or_id} there and restart \
             the service"
        ),
        None => bail!("{name_or_id}: no live key has this name or id; see `key list`"),
    }
}

fn state(key: &KeyRow) -> &'static str {
    // A key that expired before it was revoked is listed as expired.
    let end = key.revoked_at.unwrap_or_else(Timestamp::now);
    match key.expires_at {
        Some(at) if at <= end => "expired",
        _ if key.revoked_at.is_some() => "revoked",
        _ => "live",
    }
}

fn show(organizations: Option<&[String]>) -> String {
    organizations.map_or("*".to_owned(), |ids| ids.join(","))
}

fn minute(time: Timestamp) -> String {
    time.0.format("%Y-%m-%dT%H:%MZ").to_string()
}

/// Prints a table; each column is as wide as its widest cell.
fn print<const N: usize>(table: &[[String; N]]) {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in table {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        print_line(format_args!("{}", cells.collect::<Vec<_>>().join("  ").trim_end()));
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
        return Err("expected 1 to 64 characters without leading or trailing spaces");
    }
    if text.chars().any(char::is_control) {
        return Err("control characters are not allowed");
    }
    // `key revoke` accepts both names and ids.
    if text.parse::<Uuid>().is_ok() { Err("must not be a UUID") } else { Ok(text.to_owned()) }
}

fn organization(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("expected the id of an organisation, or * for all");
    }
    Ok(text.trim().to_owned())
}

/// Parses a day, a time, or a duration from now.
fn expiry(text: &str) -> Result<Timestamp, &'static str> {
    let after = |text| {
        Utc::now().checked_add_signed(
            humantime::parse_duration(text)
                .ok()
                .and_then(|d| chrono::TimeDelta::from_std(d).ok())?,
        )
    };
    let at = time(text).ok().or_else(|| after(text).map(Timestamp));
    let at = at.ok_or(
        "expected 2027-01-31, 2027-01-31T17:00:00Z, or a duration from now such as 90d or 12h",
    )?;
    if at <= Timestamp::now() {
        return Err("must be in the future");
    }
    if at.0.year() > 9999 { Err("must be before the year 10000") } else { Ok(at) }
}
