//! Errors of Postgres, classified by what the caller should do next.
//!
//! SQLSTATEs: <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use sqlx::error::DatabaseError;

/// Why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Serialization failure or deadlock; retry at once.
    #[error("serialization failure (SQLSTATE {0})")]
    Race(String),
    /// The data was rejected by Postgres or by a trigger, or a returned row could not be decoded.
    /// Other events may still be written.
    #[error("rejected by the database (SQLSTATE {0})")]
    Data(String),
    /// Lock not available (also how most deadlocks surface) or statement timeout; retry with a
    /// smaller batch or later.
    #[error("lock or statement timeout (SQLSTATE {0})")]
    LockTimeout(String),
    /// The journal has no partition for the day of an event.
    #[error("no journal partition for the day; run `qontak-receiver migrate`")]
    NoPartition,
    /// The database is unreachable or rejects all writes; retry later.
    #[error("{0}")]
    Unavailable(String),
}

/// What an SQLSTATE says about a retry.
#[derive(Clone, Copy, PartialEq)]
enum Class {
    Race,
    LockTimeout,
    /// Unavailable now; may end by itself.
    Outage,
    /// Unavailable until somebody corrects settings, credentials or the schema.
    Setup,
    Data,
}

/// Whether an event of a batch is stored already: a unique index of the journal refused it.
pub fn is_repeat(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().is_some_and(|code| code == "23505") && is_of_journal(error)
    })
}

fn is_of_journal(error: &dyn DatabaseError) -> bool {
    error.table().is_some_and(|table| table.starts_with("event"))
}

/// SQLSTATEs and prefixes of them; the first match decides.
const CLASSES: [(&str, Class); 17] = [
    ("40001", Class::Race),
    ("40P01", Class::Race),
    ("55P03", Class::LockTimeout),
    // Statement timeout: half of the batch may finish in time.
    ("57014", Class::LockTimeout),
    // Connection, read-only transaction, resources, object in use, operator intervention.
    ("08", Class::Outage),
    ("25", Class::Outage),
    ("53", Class::Outage),
    ("55000", Class::Outage),
    ("57", Class::Outage),
    // Plans prepared before a migration, privileges, credentials, no database, no table or column,
    // system errors, configuration file.
    ("0A", Class::Setup),
    ("26", Class::Setup),
    ("28", Class::Setup),
    ("3D", Class::Setup),
    ("42", Class::Setup),
    ("58", Class::Setup),
    ("F0", Class::Setup),
    // Of the SQL function `ingest_1`.
    ("QR", Class::Setup),
];

fn class(code: &str) -> Class {
    let found = CLASSES.iter().find(|(prefix, _)| code.starts_with(prefix));
    found.map_or(Class::Data, |(_, class)| *class)
}

/// What an SQLSTATE means. The message of Postgres is used only where it names identifiers, never
/// values.
fn words<'a>(code: &str, message: &'a str) -> &'a str {
    match code {
        "25006" => "database is read-only",
        "53100" => "disk of the database is full",
        "53200" => "database is out of memory",
        "53300" => "database has too many connections",
        "57P01" | "57P02" | "57P03" => "database is starting up or shutting down",
        "28000" | "28P01" => "database refuses user or password",
        "3D000" => "database does not exist",
        code if code.starts_with("42") || code.starts_with("QR") => message,
        _ => "database error",
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return match error {
                // Without the message, which may quote a value.
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                    Self::Data("decode".to_owned())
                }
                error => Self::Unavailable(error.to_string()),
            };
        };
        let code = database.code().unwrap_or_default().into_owned();
        // A check violation without a constraint: no partition takes the row.
        if code == "23514" && database.constraint().is_none() {
            return Self::NoPartition;
        }
        // A column added to the journal by hand. Other rows could be missing a value by a mistake of
        // ours, and then must be quarantined.
        if code == "23502" && is_of_journal(database) {
            return Self::Unavailable(format!("{} ({code})", database.message()));
        }
        // Another writer stored an event since the stored ones were looked up. Not by its id, which could
        // stand for another body and would fail for ever.
        if is_repeat(&error) && database.constraint().is_some_and(|name| !name.ends_with("_pkey")) {
            return Self::Race(code);
        }
        match class(&code) {
            Class::Race => Self::Race(code),
            Class::LockTimeout => Self::LockTimeout(code),
            Class::Outage | Class::Setup => {
                Self::Unavailable(format!("{} ({code})", words(&code, database.message())))
            }
            Class::Data => Self::Data(code),
        }
    }
}

/// Whether an error means that the database is unavailable and may come back by itself. Wrong
/// settings or a wrong schema do not count.
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(cause) => cause.code().is_some_and(|code| {
            // At start a statement timeout is an outage as well: there is no batch to split.
            class(&code) == Class::Outage || code.starts_with("57")
        }),
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        _ => false,
    }
}
