//! `qontak-receiver check`.

use std::process::ExitCode;

use crate::config::{self, Config};
use crate::ingest::spool::disk::Disk;
use crate::model::Timestamp;
use crate::store::{self, api_key, partition};

/// Prints one line for each thing that was looked at.
pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut ok = true;
    let mut line = |name: &str, result: Result<String, String>| {
        let (mark, text) = match result {
            Ok(text) => ("ok  ", text),
            Err(text) => {
                ok = false;
                ("FAIL", text)
            }
        };
        println!("{mark}  {name:<11}{text}");
    };
    let tokens: usize = config.endpoint.values().map(|endpoint| endpoint.tokens.len()).sum();
    let settings = format!("{} endpoint(s), {tokens} token(s)", config.endpoint.len());
    line("settings", Ok(settings));

    line("spool", look_at_spool(&config.spool));
    if let Err(error) = store::check_connection(&config.database).await {
        line("database", Err(format!("{}: {error}", store::UNREACHABLE)));
        return Ok(ExitCode::FAILURE);
    }
    line("database", Ok("reached".into()));
    let pool = store::connect(&config.database)?;
    let clock = store::clock(&pool).await?;
    let skew = (Timestamp::now().0 - clock.0).abs();
    line(
        "clock",
        if skew.num_seconds() <= 5 {
            Ok(format!("within {} ms of the database's", skew.num_milliseconds()))
        } else {
            Err(format!("{} s away from the database's; synchronise both", skew.num_seconds()))
        },
    );
    let weak: Vec<String> = store::durability(&pool)
        .await?
        .into_iter()
        .map(|(setting, value)| format!("{setting} is {value}"))
        .collect();
    let weak = weak.join(", ");
    line(
        "durability",
        if weak.is_empty() {
            Ok("a commit is on disk".into())
        } else {
            Err(format!("{weak}: a crash can lose acknowledged events; turn it on"))
        },
    );
    let pending = store::pending_migrations(&pool).await?;
    if pending > 0 {
        line(
            "schema",
            Err(format!("{pending} migration(s) to run; run `qontak-receiver migrate`")),
        );
        return Ok(ExitCode::FAILURE);
    }
    line("schema", Ok("up to date".into()));
    let stored = api_key::list_live(&pool).await?.len();
    line(
        "keys",
        Ok(match (config.key.len(), stored) {
            (0, 0) => {
                "none: nobody can read the API; see `qontak-receiver key create --help`".into()
            }
            (in_settings, stored) => {
                format!("{in_settings} in the settings, {stored} in the database")
            }
        }),
    );
    let missing = partition::missing(&pool).await?;
    line(
        "partitions",
        match missing.first() {
            None => Ok("there for today and tomorrow".into()),
            Some(day) => Err(format!("none for {day}; run `qontak-receiver migrate`")),
        },
    );
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the spool can be used. A running service has it locked, which is fine.
fn look_at_spool(settings: &config::Spool) -> Result<String, String> {
    let Some(folder) = settings.folder() else {
        return Ok("none: while the database is away, webhooks are answered 503".into());
    };
    match Disk::in_folder(folder) {
        Ok(disk) => Ok(format!("{} webhook(s) wait in {}", disk.depth().events, folder.display())),
        Err(redb::Error::DatabaseAlreadyOpen) => Ok("in use by a running service".into()),
        Err(cause) => Err(format!("{}: {cause}; check spool.folder", folder.display())),
    }
}
