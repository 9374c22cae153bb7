//! What must the API show, once everything that was acknowledged has been stored?
//!
//! The rules of Qontak's statuses and rooms once more, and not by the code of the service: an
//! oracle that shares it would share its mistakes.

use super::world::Ids;

/// A status of a message or of a broadcast log, from the lowest to the highest rank; `failed`
/// has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Created,
    Pending,
    Sent,
    Delivered,
    Read,
    Failed,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Pending, Self::Sent, Self::Delivered, Self::Read, Self::Failed];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }
}

/// A set of statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses(u8);

impl Statuses {
    /// This one alone.
    pub const fn of(status: Status) -> Self {
        Self(1 << status as u8)
    }

    /// Those of either.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is one of them.
    pub const fn has(self, status: Status) -> bool {
        self.0 & Self::of(status).0 != 0
    }

    /// The status that follows from these: delivered and read beat failed, failed beats the rest.
    pub fn effective(self) -> Option<Status> {
        use Status::{Created, Delivered, Failed, Pending, Read, Sent};
        [Read, Delivered, Failed, Sent, Pending, Created].into_iter().find(|&one| self.has(one))
    }
}

/// What an event says of what it is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim {
    /// Of a message.
    pub message: Option<MessageClaim>,
    /// Of a room.
    pub room: Option<RoomClaim>,
    /// Of a recipient of a broadcast.
    pub log: Option<LogClaim>,
}

/// A message, and the statuses that it has had.
#[derive(Clone, Copy, Debug)]
pub struct MessageClaim {
    pub number: u32,
    pub room: u32,
    pub created_at: i64,
    pub statuses: Statuses,
}

/// A snapshot of a room.
#[derive(Clone, Copy, Debug)]
pub struct RoomClaim {
    pub number: u32,
    pub clock: i64,
    pub status: &'static str,
}

/// A recipient of a broadcast, and how far it has come.
#[derive(Clone, Copy, Debug)]
pub struct LogClaim {
    pub number: u32,
    pub broadcast: u32,
    pub statuses: Statuses,
    pub error_code: Option<i64>,
}

/// The statuses of one subject. An event without an acknowledgement may have been stored or not,
/// and its status is in doubt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    acknowledged: Statuses,
    doubtful: Statuses,
}

impl Progress {
    fn learn(&mut self, statuses: Statuses, is_acknowledged: bool) {
        let place = if is_acknowledged { &mut self.acknowledged } else { &mut self.doubtful };
        *place = place.and(statuses);
    }

    /// What must be found, if nothing in doubt was stored.
    pub fn status(self) -> Option<Status> {
        self.acknowledged.effective()
    }

    /// Whether any event told of it.
    pub fn is_told_of(self) -> bool {
        self.acknowledged.and(self.doubtful) != Statuses::default()
    }

    /// Whether nothing is in doubt.
    pub fn is_certain(self) -> bool {
        self.doubtful == Statuses::default()
    }

    /// Whether `found` can be right.
    pub fn allows(self, found: Option<&str>) -> bool {
        (0..1 << Status::ALL.len())
            .map(Statuses)
            .filter(|some| some.and(self.doubtful) == self.doubtful)
            .any(|some| self.acknowledged.and(some).effective().map(Status::as_str) == found)
    }
}

/// A message to be found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message {
    pub room: u32,
    pub created_at: i64,
    pub progress: Progress,
}

/// A room to be found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    /// Its newest snapshot: clock and status.
    pub newest: Option<(i64, &'static str)>,
    /// Whether an event of it was not acknowledged, so that a newer one may be stored.
    pub is_doubtful: bool,
}

/// A recipient of a broadcast to be found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log {
    pub broadcast: u32,
    pub progress: Progress,
    pub error_code: Option<i64>,
}

/// Everything to be found, by number.
#[derive(Debug)]
pub struct Expected {
    pub ids: Ids,
    pub messages: Vec<Message>,
    pub rooms: Vec<Room>,
    pub logs: Vec<Log>,
}

impl Expected {
    /// Nothing yet.
    pub const fn new(ids: Ids) -> Self {
        Self { ids, messages: Vec::new(), rooms: Vec::new(), logs: Vec::new() }
    }

    /// Takes note of what an event said; in any order, and as often as it is said.
    pub fn learn(&mut self, claim: &Claim, is_acknowledged: bool) {
        if let Some(said) = claim.message {
            let message = at(&mut self.messages, said.number);
            (message.room, message.created_at) = (said.room, said.created_at);
            message.progress.learn(said.statuses, is_acknowledged);
            at(&mut self.rooms, said.room).is_doubtful |= !is_acknowledged;
        }
        if let Some(said) = claim.room {
            let room = at(&mut self.rooms, said.number);
            if !is_acknowledged {
                room.is_doubtful = true;
            } else if room.newest.is_none_or(|(clock, _)| clock < said.clock) {
                room.newest = Some((said.clock, said.status));
            }
        }
        if let Some(said) = claim.log {
            let log = at(&mut self.logs, said.number);
            log.broadcast = said.broadcast;
            log.progress.learn(said.statuses, is_acknowledged);
            if is_acknowledged {
                log.error_code = log.error_code.or(said.error_code);
            }
        }
    }
}

/// The place of this number, made if need be.
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
        statuses.iter().fold(Statuses::default(), |set, &one| set.and(Statuses::of(one)))
    }

    #[test]
    fn failed_beats_sent_and_is_beaten_by_delivered() {
        assert_eq!(set(&[Status::Sent, Status::Failed]).effective(), Some(Status::Failed));
        assert_eq!(set(&[Status::Delivered, Status::Failed]).effective(), Some(Status::Delivered));
        assert_eq!(Statuses::default().effective(), None);
    }

    #[test]
    fn what_was_not_acknowledged_may_be_found_or_not() {
        let mut progress = Progress::default();
        progress.learn(set(&[Status::Sent]), true);
        assert!(!progress.allows(Some("read")));
        progress.learn(set(&[Status::Read]), false);
        assert!(progress.allows(Some("read")) && progress.allows(Some("sent")));
        assert!(!progress.allows(Some("created")) && !progress.allows(None));
    }
}
