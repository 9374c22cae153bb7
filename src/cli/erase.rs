//! `qontak-receiver erase`: erases a person or an organisation.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;

use super::output::print_line;
use crate::config::Config;
use crate::media;
use crate::media::Storage;
use crate::model::phone;
use crate::store;
use crate::store::audit::{self, Action, Entry};
use crate::store::erase::{self, Report, Subject};

/// Statement timeout: some tables have no index by which a person is found.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// Arguments of `erase`.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Who {
    /// Everybody with this phone number
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// The contact with this id of Qontak's (`sender_id` of its messages), or with this account name
    #[arg(long, value_name = "ID")]
    contact: Option<String>,
    /// The organisation with this id
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
}

/// Arguments of `erase`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    who: Who,
    /// Change nothing; print how many rows would be erased
    #[arg(long)]
    dry_run: bool,
}

/// Erases, and prints the number of rows by table.
pub async fn run(mut config: Config, arguments: Arguments) -> anyhow::Result<()> {
    let subject = subject(arguments.who)?;
    store::check_connection(&config.database).await.context(store::UNREACHABLE)?;
    config.database.statement_timeout = TIMEOUT;
    let db = store::connect(&config.database)?;
    let report = match &subject {
        Subject::Organization(id) if arguments.dry_run => {
            erase::count_organization(&db, id).await?
        }
        Subject::Organization(id) => erase::erase_organization(&db, id).await?,
        _ => person(&db, &subject, arguments.dry_run).await?,
    };
    let word = if arguments.dry_run { "would be erased" } else { "erased" };
    for (table, rows) in &report {
        print_line(format_args!("{table}: {rows} row(s) {word}"));
    }
    if !arguments.dry_run {
        let shown = match &subject {
            Subject::Organization(id) => id.clone(),
            Subject::Phone(text) | Subject::Contact(text) => phone::mask(text),
        };
        erase::record(&db, subject.kind(), &shown, &report).await?;
        let target = format!("{} {shown}", subject.kind());
        let (key_name, action) = (String::new(), Action::Erase);
        audit::insert(&db, &Entry { key_name, action, target, status: 0 }).await?;
        remove_copies(&config, &db).await;
    }
    Ok(())
}

/// Removes the copies of files. What fails here, the service does within seconds.
async fn remove_copies(config: &Config, db: &sqlx::PgPool) {
    let Some(storage) = Storage::new(&config.media) else { return };
    match media::remove_deleted(db, &storage).await {
        Ok(count) => print_line(format_args!("media: {count} file(s) removed")),
        Err(error) => print_line(format_args!("media: not removed, the service will: {error}")),
    }
}

/// Erases a person in one transaction: rows and events disappear together.
async fn person(db: &sqlx::PgPool, subject: &Subject, is_dry_run: bool) -> anyhow::Result<Report> {
    let mut transaction = db.begin().await?;
    let (mut report, traces) = erase::erase_person(&mut transaction, subject).await?;
    let mut events = erase::erase_subjects(&mut *transaction, &traces).await?;
    let mut after = None;
    loop {
        let (last, erased) = erase::erase_page(&mut transaction, &traces, after).await?;
        events += erased;
        if last.is_none() {
            break;
        }
        after = last;
    }
    report.insert("event".to_owned(), events);
    if is_dry_run {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    Ok(report)
}

fn subject(who: Who) -> anyhow::Result<Subject> {
    let Who { phone, contact, organization } = who;
    if let Some(number) = phone {
        let digits = phone::normalize(&number);
        return Ok(Subject::Phone(digits.context("--phone: expected a phone number")?));
    }
    let (Some(id), is_contact) = (contact.clone().or(organization), contact.is_some()) else {
        bail!("expected --phone, --contact or --organization");
    };
    ensure!(!id.trim().is_empty(), "expected an id");
    Ok(if is_contact { Subject::Contact(id) } else { Subject::Organization(id) })
}
