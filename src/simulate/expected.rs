//! Expected state of the API after all acknowledged events.
//!
//! The rules of statuses and rooms are implemented a second time, without code of the service: an
//! oracle that shares code with the service shares its bugs.

use strum::VariantArray;

use super::world::Ids;

/// Status of a message or broadcast log, by ascending rank; `failed` has no rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    Created,
    Pending,
    Sent,
    Delivered,
    Read,
    Failed,
}

impl Status {
    /// Name in bodies and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Set of statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses(u8);

impl Statuses {
    /// The set of one status.
    pub const fn of(status: Status) -> Self {
        Self(1 << status as u8)
    }

    /// The union of both sets.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set contains a status.
    pub const fn contains(self, status: Status) -> bool {
        self.0 & Self::of(status).0 != 0
    }

    /// The effective status: read and delivered take precedence over failed, failed over the rest.
    pub fn effective(self) -> Option<Status> {
        use Status::{Created, Delivered, Failed, Pending, Read, Sent};
        [Read, Delivered, Failed, Sent, Pending, Created]
            .into_iter()
            .find(|&one| self.contains(one))
    }
}

/// State that an event reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim {
    /// State of a message.
    pub message: Option<MessageClaim>,
    /// State of a room.
    pub room: Option<RoomClaim>,
    /// State of a recipient of a broadcast.
    pub log: Option<LogClaim>,
}

/// Reported statuses of a message.
#[derive(Clone, Copy, Debug)]
pub struct MessageClaim {
    pub number: u32,
    pub room: u32,
    pub created_at: i64,
    pub statuses: Statuses,
}

/// Reported snapshot of a room. The fields after `number` order snapshots, the first ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomClaim {
    pub number: u32,
    /// The latest of all times.
    pub clock: i64,
    /// The earlier of `updated_at` and `last_activity_at`.
    pub earlier: i64,
    /// Statuses rank in the order of a room's lifecycle.
    pub status_rank: usize,
    pub agents: u32,
    pub tags: u32,
    pub session_at: i64,
    pub unread_count: u32,
    pub status: &'static str,
}

impl RoomClaim {
    /// Statuses in the order of a room's lifecycle.
    pub const STATUSES: [&'static str; 4] = ["campaign", "unassigned", "assigned", "resolved"];
}

/// Reported statuses of a recipient of a broadcast.
#[derive(Clone, Copy, Debug)]
pub struct LogClaim {
    pub number: u32,
    pub broadcast: u32,
    pub statuses: Statuses,
    pub error_code: Option<i64>,
}

/// Statuses of one message or log. An event without acknowledgement may or may not have been stored,
/// so its status is uncertain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    acknowledged: Statuses,
    uncertain: Statuses,
}

impl Progress {
    fn add(&mut self, statuses: Statuses, is_acknowledged: bool) {
        let set = if is_acknowledged { &mut self.acknowledged } else { &mut self.uncertain };
        *set = set.union(statuses);
    }

    /// Expected status if no uncertain event was stored.
    pub fn status(self) -> Option<Status> {
        self.acknowledged.effective()
    }

    /// Whether any event reported it.
    pub fn is_reported(self) -> bool {
        self.acknowledged.union(self.uncertain) != Statuses::default()
    }

    /// Whether all of its events were acknowledged.
    pub fn is_certain(self) -> bool {
        self.uncertain == Statuses::default()
    }

    /// Whether `found` is correct for some subset of the uncertain events.
    pub fn allows(self, found: Option<&str>) -> bool {
        (0..1 << Status::VARIANTS.len())
            .map(Statuses)
            .filter(|some| some.union(self.uncertain) == self.uncertain)
            .any(|some| self.acknowledged.union(some).effective().map(Status::as_str) == found)
    }
}

/// Expected message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message {
    pub room: u32,
    pub created_at: i64,
    pub progress: Progress,
}

/// Expected room.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// Newest acknowledged snapshot.
    pub newest: Option<RoomClaim>,
    /// Time of the latest message.
    pub last_message_at: i64,
    /// Whether an event was not acknowledged, so that a newer snapshot may be stored.
    pub is_uncertain: bool,
}

/// Expected recipient of a broadcast.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log {
    pub broadcast: u32,
    pub progress: Progress,
    pub error_code: Option<i64>,
}

/// Expected state, by number.
#[derive(Clone, Debug)]
pub struct Expected {
    pub ids: Ids,
    pub messages: Vec<Message>,
    pub rooms: Vec<Room>,
    pub logs: Vec<Log>,
}

impl Expected {
    /// An empty state.
    pub const fn new(ids: Ids) -> Self {
        Self { ids, messages: Vec::new(), rooms: Vec::new(), logs: Vec::new() }
    }

    /// Adds what an event reports. Order and repetition do not matter.
    pub fn add(&mut self, claim: &Claim, is_acknowledged: bool) {
        if let Some(reported) = claim.message {
            let message = at(&mut self.messages, reported.number);
            (message.room, message.created_at) = (reported.room, reported.created_at);
            message.progress.add(reported.statuses, is_acknowledged);
            let room = at(&mut self.rooms, reported.room);
            room.is_uncertain |= !is_acknowledged;
            room.last_message_at = room.last_message_at.max(reported.created_at);
        }
        if let Some(reported) = claim.room {
            let room = at(&mut self.rooms, reported.number);
            if !is_acknowledged {
                room.is_uncertain = true;
            } else {
                room.newest = room.newest.max(Some(reported));
            }
        }
        if let Some(reported) = claim.log {
            let log = at(&mut self.logs, reported.number);
            log.broadcast = reported.broadcast;
            log.progress.add(reported.statuses, is_acknowledged);
            if is_acknowledged {
                log.error_code = log.error_code.or(reported.error_code);
            }
        }
    }
}

/// The element of this number, created if missing.
fn at<T: Clone + Default>(all: &mut Vec<T>, number: u32) -> &mut T {
    let number = number as usize;
    if all.len() <= number {
        all.resize(number + 1, T::default());
    }
    &mut all[number]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(statuses: &[Status]) -> Statuses {
        statuses.iter().fold(Statuses::default(), |set, &one| set.union(Statuses::of(one)))
    }

    #[test]
    fn failed_ranks_above_sent_and_below_delivered() {
        assert_eq!(set(&[Status::Sent, Status::Failed]).effective(), Some(Status::Failed));
        assert_eq!(set(&[Status::Delivered, Status::Failed]).effective(), Some(Status::Delivered));
        assert_eq!(Statuses::default().effective(), None);
    }

    #[test]
    fn unacknowledged_statuses_may_be_stored_or_not() {
        let mut progress = Progress::default();
        progress.add(set(&[Status::Sent]), true);
        assert!(!progress.allows(Some("read")));
        progress.add(set(&[Status::Read]), false);
        assert!(progress.allows(Some("read")) && progress.allows(Some("sent")));
        assert!(!progress.allows(Some("created")) && !progress.allows(None));
    }
}
