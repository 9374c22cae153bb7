//! Is everything that was acknowledged found over the API, in its right final state?

mod api;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use self::api::Api;
use self::api::{Broadcast, Log, Message, Reader, Room};
use super::expected::{self, Expected, Progress, Status};
use super::world::Subject;

/// How long what is in the spool may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many readers there are.
const READERS: usize = 8;

/// How many mistakes are printed.
const MOST_SHOWN: usize = 20;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Verdict {
    messages: usize,
    rooms: usize,
    #[serde(rename = "broadcast_logs")]
    logs: usize,
    /// Each mistake in a line.
    wrong: Vec<String>,
}

impl Verdict {
    /// Whether there is no mistake.
    pub const fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, rooms, logs, wrong } = self;
        for line in wrong.iter().take(MOST_SHOWN) {
            writeln!(f, "{line}")?;
        }
        if wrong.len() > MOST_SHOWN {
            writeln!(f, "and {} more", wrong.len() - MOST_SHOWN)?;
        }
        let wrong = wrong.len();
        write!(
            f,
            "verified {messages} messages, {rooms} rooms, {logs} broadcast logs: {wrong} wrong"
        )
    }
}

/// Compares what the API shows with what is expected. What is missing has time to arrive if some
/// of it was `spooled`.
pub async fn verify(api: Api, expected: Expected, spooled: u64) -> anyhow::Result<Verdict> {
    let deadline = Instant::now() + PATIENCE;
    let oracle = Arc::new(Oracle::new(api, expected));
    let mut open = oracle.questions();
    loop {
        let wrong = oracle.clone().ask_all(open).await?;
        if wrong.is_empty() || spooled == 0 || Instant::now() >= deadline {
            return Ok(oracle.verdict(wrong.into_iter().flat_map(|(_, wrong)| wrong).collect()));
        }
        open = wrong.into_iter().map(|(question, _)| question).collect();
        sleep(Duration::from_secs(1)).await;
    }
}

/// What is to be compared at a time, by its number.
#[derive(Clone, Copy, Debug)]
enum Question {
    Room(u32),
    Broadcast(u32),
}

/// Knows all answers.
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

    fn questions(&self) -> Vec<Question> {
        let is_told_of = |number: &u32| {
            let room = &self.expected.rooms[*number as usize];
            room.newest.is_some() || self.messages_by_room.contains_key(number)
        };
        let rooms = (0..self.expected.rooms.len() as u32).filter(is_told_of).map(Question::Room);
        let broadcasts = self.logs_by_broadcast.keys().copied().map(Question::Broadcast);
        rooms.chain(broadcasts).collect()
    }

    /// Asks all of these, and returns those with a wrong answer, each mistake in a line.
    async fn ask_all(
        self: Arc<Self>,
        questions: Vec<Question>,
    ) -> anyhow::Result<Vec<(Question, Vec<String>)>> {
        let (questions, next) = (Arc::new(questions), Arc::new(AtomicUsize::new(0)));
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            let (oracle, questions, next) = (self.clone(), questions.clone(), next.clone());
            readers.spawn(async move {
                let mut reader = oracle.api.reader();
                let mut all_wrong = Vec::new();
                while let Some(&question) = questions.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut wrong = Vec::new();
                    match question {
                        Question::Room(number) => {
                            oracle.compare_room(number, &mut reader, &mut wrong).await?;
                        }
                        Question::Broadcast(number) => {
                            oracle.compare_broadcast(number, &mut reader, &mut wrong).await?;
                        }
                    }
                    if !wrong.is_empty() {
                        all_wrong.push((question, wrong));
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
        let expected::Room { newest, is_doubtful } = self.expected.rooms[number as usize];
        if !is_doubtful {
            let status = newest.map(|(_, status)| status);
            tell(wrong, "room", &id, status, room.status.as_deref());
            let last = self.last_of(of_room);
            let found = room.last_message.map(|message| message.id);
            let (last, found) = (
                last.map(|id| format!("last message {id}")),
                found.map(|id| format!("last message {id}")),
            );
            tell(wrong, "room", &id, last.as_deref(), found.as_deref());
        }
        let shown: Vec<Message> = reader.all(&format!("/v1/rooms/{id}/messages")).await?;
        let mut shown: HashMap<String, Option<String>> =
            shown.into_iter().map(|message| (message.id, message.status)).collect();
        for &message in of_room {
            let id = self.id(Subject::Message, message);
            let found = shown.remove(&id).flatten();
            let progress = self.expected.messages[message as usize].progress;
            tell_progress(wrong, "message", &id, progress, found.as_deref());
        }
        for (id, found) in shown {
            tell(wrong, "message", &id, None, Some(found.as_deref().unwrap_or("it")));
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
            tell_progress(wrong, "log", &id, log.progress, found.status.as_deref());
            if log.progress.is_certain() {
                let code = |code: Option<i64>| code.map(|code| format!("error {code}"));
                let (code, found) = (code(log.error_code), code(found.error_code));
                tell(wrong, "log", &id, code.as_deref(), found.as_deref());
            }
        }
        for (id, found) in shown {
            tell(wrong, "log", &id, None, Some(found.status.as_deref().unwrap_or("it")));
        }
        if logs().all(|(_, log)| log.progress.is_certain()) {
            for (status, found) in Status::ALL.into_iter().zip(funnel.counts()) {
                let count = logs().filter(|(_, log)| log.progress.status() == Some(status)).count();
                let of = |count| format!("{count} {}", status.as_str());
                tell(wrong, "broadcast", &id, Some(&of(count as i64)), Some(&of(found)));
            }
        }
        Ok(())
    }

    /// The id of the latest of these messages.
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

/// The numbers of those that were told of, by what they belong to.
fn group(all: impl Iterator<Item = (u32, Progress)>) -> HashMap<u32, Vec<u32>> {
    let mut groups: HashMap<u32, Vec<u32>> = HashMap::new();
    for (number, (of, _)) in (0..).zip(all).filter(|(_, (_, progress))| progress.is_told_of()) {
        groups.entry(of).or_default().push(number);
    }
    groups
}

fn tell_progress(
    wrong: &mut Vec<String>,
    what: &str,
    id: &str,
    progress: Progress,
    found: Option<&str>,
) {
    if !progress.allows(found) {
        tell(wrong, what, id, progress.status().map(Status::as_str), found);
    }
}

fn tell(
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
