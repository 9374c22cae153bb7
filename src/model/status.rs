//! Delivery statuses: a set that only grows.
//!
//! What a message's status *is* follows from the set of statuses ever seen for it; the rule is
//! the generated column `status` of the tables `message` and `broadcast_log`, so that every
//! replica and every reader agrees.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Timestamp, least};

/// A status that is ranked.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Qontak's own words")]
pub enum Status {
    Created,
    Pending,
    Sent,
    Failed,
    Delivered,
    Read,
}

impl Status {
    /// All of them, each before those that win over it.
    pub const NAMES: [&str; 6] = ["created", "pending", "sent", "failed", "delivered", "read"];

    /// This one and those that it wins over.
    pub fn up_to(name: &str) -> &'static [&'static str] {
        let rank = Self::NAMES.iter().position(|other| *other == name);
        &Self::NAMES[..rank.map_or(0, |rank| rank + 1)]
    }
}

/// The statuses that one event tells of, each with the time at which we saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "Qontak's own words")]
pub struct Statuses {
    pub created: Option<Timestamp>,
    pub pending: Option<Timestamp>,
    pub sent: Option<Timestamp>,
    pub delivered: Option<Timestamp>,
    pub read: Option<Timestamp>,
    pub failed: Option<Timestamp>,
    /// Words without a place in the lattice, in lower case.
    pub other: Option<String>,
}

impl Statuses {
    /// Adds a status seen at `seen_at`. Case and blanks around it do not matter. `played` is a
    /// `read` that also keeps its word.
    pub fn add(&mut self, status: &str, seen_at: Timestamp) {
        let status = status.trim().to_ascii_lowercase();
        let place = match status.as_str() {
            "created" => &mut self.created,
            "pending" => &mut self.pending,
            "sent" => &mut self.sent,
            "delivered" => &mut self.delivered,
            "read" | "played" => &mut self.read,
            "failed" => &mut self.failed,
            _ => {
                self.other = Some(status);
                return;
            }
        };
        *place = Some(seen_at);
        if status == "played" {
            self.other = Some(status);
        }
    }

    /// What was seen by either. False, and nothing is done, if there are two other words.
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.other.is_some() && other.other.is_some() && self.other != other.other {
            return false;
        }
        least(&mut self.created, other.created);
        least(&mut self.pending, other.pending);
        least(&mut self.sent, other.sent);
        least(&mut self.delivered, other.delivered);
        least(&mut self.read, other.read);
        least(&mut self.failed, other.failed);
        if self.other.is_none() {
            self.other.clone_from(&other.other);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn played_is_read_and_keeps_its_word() {
        let mut statuses = Statuses::default();
        statuses.add(" Played ", Timestamp::default());
        assert_eq!(statuses.read, Some(Timestamp::default()));
        assert_eq!(statuses.other.as_deref(), Some("played"));
    }

    #[test]
    fn an_unknown_word_is_kept_and_ranks_nothing() {
        let mut statuses = Statuses::default();
        statuses.add("warning", Timestamp::default());
        let expected = Statuses { other: Some("warning".into()), ..Statuses::default() };
        assert_eq!(statuses, expected);
    }
}
