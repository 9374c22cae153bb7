//! Verification: compares what the API shows with the expected state.

mod api;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use strum::VariantArray;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use self::api::Api;
use self::api::{Broadcast, Log, Message, Reader, Room};
use super::expected::{self, Expected, Progress, Status};
use super::world::Subject;
use crate::model::Timestamp;

/// Maximum time for spooled events to be committed.
const SPOOL_TIMEOUT: Duration = Duration::from_secs(30);

/// Number of concurrent readers.
const READERS: usize = 8;

/// Maximum number of differences to print.
const MAX_PRINTED: usize = 20;

/// Result of the verification.
#[derive(Debug, Serialize)]
pub struct Verdict {
    messages: usize,
    rooms: usize,
    #[serde(rename = "broadcast_logs")]
    logs: usize,
    /// One line per difference.
    wrong: Vec<String>,
}

impl Verdict {
    /// Whether there is no difference.
    pub const fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, rooms, logs, wrong } = self;
        for line in wrong.iter().take(MAX_PRINTED) {
            writeln!(f, "{line}")?;
        }
        if wrong.len() > MAX_PRINTED {
            writeln!(f, "and {} more", wrong.len() - MAX_PRINTED)?;
        }
        let wrong = wrong.len();
        write!(
            f,
            "verified {messages} messages, {rooms} rooms, {logs} broadcast logs: {wrong} wrong"
        )
    }
}

/// Compares the API with the expected state. If events were spooled, differences are checked again
/// until [`SPOOL_TIMEOUT`].
pub async fn verify(api: Api, expected: Expected, spooled: u64) -> anyhow::Result<Verdict> {
    let deadline = Instant::now() + SPOOL_TIMEOUT;
    let oracle = Arc::new(Oracle::new(api, expected));
    let mut remaining = oracle.parts();
    loop {
        let wrong = oracle.clone().compare_all(remaining).await?;
        if wrong.is_empty() || spooled == 0 || Instant::now() >= deadline {
            return Ok(oracle.verdict(wrong.into_iter().flat_map(|(_, wrong)| wrong).collect()));
        }
        remaining = wrong.into_iter().map(|(part, _)| part).collect();
        sleep(Duration::from_secs(1)).await;
    }
}

/// Unit of comparison: a room with its messages, or a broadcast with its logs, by number.
#[derive(Clone, Copy, Debug)]
enum Part {
    Room(u32),
    Broadcast(u32),
}

/// Expected state, indexed by room and broadcast.
struct Oracle {
    api: Api,
    expected: Expected,
    messages_by_room: HashMap<u32, Vec<u32>>,
    logs_by_broadcast: HashMap<u32, Vec<u32>>,
}

impl Oracle {
    fn new(api: Api, expected: Expected) -> Self {
        let messages_by_room = group(expected.messages.iter().map(|one| (one.room, one.progress)));
        let logs_by_broadcast =
            group(expected.logs.iter().map(|one| (one.broadcast, one.progress)));
        Self { api, expected, messages_by_room, logs_by_broadcast }
    }

    fn parts(&self) -> Vec<Part> {
        let is_reported = |number: &u32| {
            let room = &self.expected.rooms[*number as usize];
            room.newest.is_some() || self.messages_by_room.contains_key(number)
        };
        let rooms = (0..self.expected.rooms.len() as u32).filter(is_reported).map(Part::Room);
        let broadcasts = self.logs_by_broadcast.keys().copied().map(Part::Broadcast);
        rooms.chain(broadcasts).collect()
    }

    /// Compares the given parts. Returns those that differ, with one line per difference.
    async fn compare_all(
        self: Arc<Self>,
        parts: Vec<Part>,
    ) -> anyhow::Result<Vec<(Part, Vec<String>)>> {
        let (parts, next) = (Arc::new(parts), Arc::new(AtomicUsize::new(0)));
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            let (oracle, parts, next) = (self.clone(), parts.clone(), next.clone());
            readers.spawn(async move {
                let mut reader = oracle.api.reader();
                let mut all_wrong = Vec::new();
                while let Some(&part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut wrong = Vec::new();
                    match part {
                        Part::Room(number) => {
                            oracle.compare_room(number, &mut reader, &mut wrong).await?;
                        }
                        Part::Broadcast(number) => {
                            oracle.compare_broadcast(number, &mut reader, &mut wrong).await?;
                        }
                    }
                    if !wrong.is_empty() {
                        all_wrong.push((part, wrong));
                    }
                }
                anyhow::Ok(all_wrong)
            });
        }
        let mut all_wrong = Vec::new();
        while let Some(wrong) = readers.join_next().await {
            all_wrong.extend(wrong??);
        }
        Ok(all_wrong)
    }

    async fn compare_room(
        &self,
        number: u32,
        reader: &mut Reader,
        wrong: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let id = self.id(Subject::Room, number);
        let room: Room = reader.one(&format!("/v1/rooms/{id}")).await?.unwrap_or_default();
        let of_room = self.messages_by_room.get(&number).map_or(&[][..], Vec::as_slice);
        let expected::Room { newest, last_message_at, is_uncertain } =
            self.expected.rooms[number as usize];
        if !is_uncertain {
            let status = newest.map(|snapshot| snapshot.status);
            compare(wrong, "room", &id, status, room.status.as_deref());
            let unread = newest.map(|snapshot| format!("{} unread", snapshot.unread_count));
            let found = room.unread_count.map(|count| format!("{count} unread"));
            compare(wrong, "room", &id, unread.as_deref(), found.as_deref());
            let clock = newest.map_or(0, |snapshot| snapshot.clock).max(last_message_at);
            let active = Timestamp::from_micros(clock * 1000).map(|at| format!("active at {at}"));
            let found = room.activity_at.map(|at| format!("active at {at}"));
            compare(wrong, "room", &id, active.as_deref(), found.as_deref());
            let last = self.last_of(of_room);
            let found = room.last_message.map(|message| message.id);
            let (last, found) = (
                last.map(|id| format!("last message {id}")),
                found.map(|id| format!("last message {id}")),
            );
            compare(wrong, "room", &id, last.as_deref(), found.as_deref());
        }
        let shown: Vec<Message> = reader.all(&format!("/v1/rooms/{id}/messages")).await?;
        let mut shown: HashMap<String, Option<String>> =
            shown.into_iter().map(|message| (message.id, message.status)).collect();
        for &message in of_room {
            let id = self.id(Subject::Message, message);
            let found = shown.remove(&id).flatten();
            let progress = self.expected.messages[message as usize].progress;
            compare_progress(wrong, "message", &id, progress, found.as_deref());
        }
        for (id, found) in shown {
            compare(wrong, "message", &id, None, Some(found.as_deref().unwrap_or("it")));
        }
        Ok(())
    }

    async fn compare_broadcast(
        &self,
        number: u32,
        reader: &mut Reader,
        wrong: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let id = self.id(Subject::Broadcast, number);
        let funnel: Broadcast =
            reader.one(&format!("/v1/broadcasts/{id}")).await?.unwrap_or_default();
        let shown: Vec<Log> = reader.all(&format!("/v1/broadcasts/{id}/logs")).await?;
        let mut shown: HashMap<String, Log> =
            shown.into_iter().map(|log| (log.id.clone(), log)).collect();
        let of_broadcast = &self.logs_by_broadcast[&number];
        let logs = || of_broadcast.iter().map(|&log| (log, &self.expected.logs[log as usize]));
        for (number, log) in logs() {
            let id = self.id(Subject::Log, number);
            let found = shown.remove(&id).unwrap_or_default();
            compare_progress(wrong, "log", &id, log.progress, found.status.as_deref());
            if log.progress.is_certain() {
                let code = |code: Option<i64>| code.map(|code| format!("error {code}"));
                let (code, found) = (code(log.error_code), code(found.error_code));
                compare(wrong, "log", &id, code.as_deref(), found.as_deref());
            }
        }
        for (id, found) in shown {
            compare(wrong, "log", &id, None, Some(found.status.as_deref().unwrap_or("it")));
        }
        if logs().all(|(_, log)| log.progress.is_certain()) {
            for (status, found) in Status::VARIANTS.iter().copied().zip(funnel.counts()) {
                let count = logs().filter(|(_, log)| log.progress.status() == Some(status)).count();
                let of = |count| format!("{count} {}", status.as_str());
                compare(wrong, "broadcast", &id, Some(&of(count as i64)), Some(&of(found)));
            }
        }
        Ok(())
    }

    /// The id of the last of these messages.
    fn last_of(&self, messages: &[u32]) -> Option<String> {
        let at = |message: u32| {
            let created_at = self.expected.messages[message as usize].created_at;
            (created_at, self.id(Subject::Message, message))
        };
        messages.iter().map(|&message| at(message)).max().map(|(_, id)| id)
    }

    fn id(&self, subject: Subject, number: u32) -> String {
        self.expected.ids.of(subject, number).to_string()
    }

    fn verdict(&self, wrong: Vec<String>) -> Verdict {
        let is_known = |progress: Progress| progress.status().is_some();
        let Expected { messages, rooms, logs, .. } = &self.expected;
        Verdict {
            messages: messages.iter().filter(|one| is_known(one.progress)).count(),
            rooms: rooms.iter().filter(|one| one.newest.is_some()).count(),
            logs: logs.iter().filter(|one| is_known(one.progress)).count(),
            wrong,
        }
    }
}

/// Groups the numbers of all reported messages or logs by their room or broadcast.
fn group(all: impl Iterator<Item = (u32, Progress)>) -> HashMap<u32, Vec<u32>> {
    let mut groups: HashMap<u32, Vec<u32>> = HashMap::new();
    for (number, (parent, _)) in (0..).zip(all).filter(|(_, (_, progress))| progress.is_reported())
    {
        groups.entry(parent).or_default().push(number);
    }
    groups
}

fn compare_progress(
    wrong: &mut Vec<String>,
    what: &str,
    id: &str,
    progress: Progress,
    found: Option<&str>,
) {
    if !progress.allows(found) {
        compare(wrong, what, id, progress.status().map(Status::as_str), found);
    }
}

fn compare(
    wrong: &mut Vec<String>,
    what: &str,
    id: &str,
    expected: Option<&str>,
    found: Option<&str>,
) {
    if expected != found {
        let [expected, found] = [expected, found].map(|one| one.unwrap_or("nothing"));
        wrong.push(format!("{what} {id}: expected {expected}, found {found}"));
    }
}
