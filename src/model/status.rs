//! Delivery statuses: a set that only grows.
//!
//! The status of a message follows from all statuses ever seen for it. Postgres computes it, in the column
//! `status` of the tables `message` and `broadcast_log`, so that all replicas agree.

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::fold::least;
use super::time::Timestamp;

/// A status, in ascending order of precedence. Names are Qontak's.
#[derive(Clone, Copy, Debug, EnumString, IntoStaticStr, VariantNames, ToSchema)]
#[schema(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "Qontak's names")]
pub enum Status {
    Created,
    Pending,
    Sent,
    Failed,
    Delivered,
    Read,
}

impl Status {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it is in a set of statuses: a bit each, as in column `broadcast_log.statuses`.
    pub const fn is_in(self, statuses: i16) -> bool {
        let bit = match self {
            Self::Created => 0,
            Self::Pending => 1,
            Self::Sent => 2,
            Self::Delivered => 3,
            Self::Read => 4,
            Self::Failed => 5,
        };
        statuses >> bit & 1 == 1
    }

    /// The effective status of such a set; `None` if the set is empty.
    pub fn effective(statuses: i16) -> Option<Self> {
        let by_precedence = Self::VARIANTS.iter().rev().filter_map(|name| name.parse().ok());
        by_precedence.into_iter().find(|status: &Self| status.is_in(statuses))
    }

    /// The names of this status and of all with lower precedence.
    pub fn up_to(name: &str) -> &'static [&'static str] {
        let rank = Self::VARIANTS.iter().position(|other| *other == name);
        &Self::VARIANTS[..rank.map_or(0, |rank| rank + 1)]
    }
}

/// Statuses in one event, each with the time of receipt.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "Qontak's names")]
pub struct Statuses {
    pub created: Option<Timestamp>,
    pub pending: Option<Timestamp>,
    pub sent: Option<Timestamp>,
    pub delivered: Option<Timestamp>,
    pub read: Option<Timestamp>,
    pub failed: Option<Timestamp>,
    /// Statuses of other names, in lower case, sorted.
    pub other: Vec<String>,
}

impl Statuses {
    /// Adds a status received at `seen_at`. Ignores case and surrounding white space. `played`
    /// counts as `read` and is also stored in `other`.
    pub fn add(&mut self, status: &str, seen_at: Timestamp) {
        let status = status.trim().to_ascii_lowercase();
        let time = match status.parse() {
            Ok(Status::Created) => &mut self.created,
            Ok(Status::Pending) => &mut self.pending,
            Ok(Status::Sent) => &mut self.sent,
            Ok(Status::Failed) => &mut self.failed,
            Ok(Status::Delivered) => &mut self.delivered,
            Ok(Status::Read) => &mut self.read,
            Err(_) => {
                if status == "played" {
                    self.read = Some(seen_at);
                }
                self.add_other(status);
                return;
            }
        };
        *time = Some(seen_at);
    }

    /// Statuses of the event that have a rank.
    pub fn known(&self) -> impl Iterator<Item = Status> {
        let Self { created, pending, sent, delivered, read, failed, other: _ } = self;
        let seen = [
            (created, Status::Created),
            (pending, Status::Pending),
            (sent, Status::Sent),
            (delivered, Status::Delivered),
            (read, Status::Read),
            (failed, Status::Failed),
        ];
        seen.map(|(at, status)| at.map(|_| status)).into_iter().flatten()
    }

    /// The effective status of the event.
    pub fn effective(&self) -> Option<Status> {
        self.known().max_by_key(|status| *status as u8)
    }

    /// Adds the statuses of another event.
    pub fn merge(&mut self, other: &Self) {
        least(&mut self.created, other.created);
        least(&mut self.pending, other.pending);
        least(&mut self.sent, other.sent);
        least(&mut self.delivered, other.delivered);
        least(&mut self.read, other.read);
        least(&mut self.failed, other.failed);
        for status in &other.other {
            self.add_other(status.clone());
        }
    }

    fn add_other(&mut self, status: String) {
        if let Err(place) = self.other.binary_search(&status) {
            self.other.insert(place, status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn played_counts_as_read_and_is_kept() {
        let mut statuses = Statuses::default();
        statuses.add(" Played ", Timestamp::default());
        assert_eq!(statuses.read, Some(Timestamp::default()));
        assert_eq!(statuses.other, ["played"]);
    }

    #[test]
    fn unknown_status_is_kept_in_other() {
        let mut statuses = Statuses::default();
        statuses.add("warning", Timestamp::default());
        let expected = Statuses { other: vec!["warning".into()], ..Statuses::default() };
        assert_eq!(statuses, expected);
    }
}
