//! What a backfill compares, tells and returns.

use std::collections::BTreeMap;

use crate::ingest::writer::WriteError;
use crate::qontak::error::Error;
use crate::store::Failure;
pub use crate::store::reconciliation::Kind;

/// What to compare.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are sufficient")]
pub struct Scope {
    pub rooms: bool,
    pub messages: bool,
    pub broadcasts: bool,
}

impl Scope {
    /// Everything.
    pub const ALL: Self = Self { rooms: true, messages: true, broadcasts: true };
}

/// Why a backfill stopped. Run again, it goes on after the last complete page.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// A call failed.
    #[error(transparent)]
    Qontak(#[from] Error),
    /// Rows could not be compared or counted.
    #[error("database: {0}")]
    Database(#[from] Failure),
    /// An event could not be stored.
    #[error("event not stored: {0}")]
    Write(#[from] WriteError),
    /// Another process backfills the organisation.
    #[error("another process is backfilling this organisation; wait until it ends")]
    Busy,
    /// The organisation's id is needed for rows that do not name it.
    #[error("Qontak does not tell the organisation of the credentials; set organization_id")]
    UnknownOrganization,
}

impl From<sqlx::Error> for BackfillError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Rows of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table reconciliation say it")]
pub struct Counts {
    pub fetched: u64,
    pub missing: u64,
    pub changed: u64,
}

impl Counts {
    /// Rows that were equal to what is stored.
    pub const fn equal(self) -> u64 {
        self.fetched - self.missing - self.changed
    }
}

/// Rows by kind, of this run.
pub type Report = BTreeMap<Kind, Counts>;

/// How far a backfill is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The list that is walked.
    pub kind: Kind,
    /// Rows of all kinds so far.
    pub fetched: u64,
    /// Share of the list's period that is complete, from 0 to 1.
    pub share: f64,
}
