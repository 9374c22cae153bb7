//! Rooms by last activity, newest first, and the messages of each.
//!
//! A room that was active in the period or after it may have messages of the period, so the walk begins
//! now and ends at the start of the period. Rooms that become active meanwhile move to the top of the
//! list, so the top is walked again.

use serde_json::Value;

use super::compare::{Comparison, Item};
use super::repair::Repair;
use super::report::{BackfillError, Kind, Progress, Scope};
use crate::model::Timestamp;
use crate::qontak::client::{Client, Route};
use crate::qontak::error::Error;
use crate::qontak::list::Walk;
use crate::store::qontak_backfill::{Checkpoint, WalkKey};

/// Walks of the top of the list after the complete one, at most.
const REPEATS: u32 = 3;

/// Rooms in a row without a list of messages, after which no further one is asked for.
const MAX_WITHOUT_MESSAGES: u32 = 3;

/// Times of a room, of which the latest is its last activity.
const TIMES: [&str; 5] =
    ["last_activity_at", "last_message_at", "session_at", "updated_at", "created_at"];

/// Walk through the rooms of one organisation.
pub struct Rooms<'a> {
    client: &'a Client,
    key: WalkKey<'a>,
    scope: Scope,
    began: Timestamp,
    /// Rooms in a row for which Qontak knows no list of messages.
    without_messages: u32,
}

impl<'a> Rooms<'a> {
    /// A walk that begins now.
    pub fn new(client: &'a Client, key: WalkKey<'a>, scope: Scope) -> Self {
        Self { client, key, scope, began: Timestamp::now(), without_messages: 0 }
    }

    /// Walks through all rooms from the checkpoint on.
    pub async fn run(
        mut self,
        repair: &mut Repair<'_>,
        checkpoint: Checkpoint,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(), BackfillError> {
        let mut end = self.key.from;
        let mut walk = self.walk().resume(checkpoint.cursor);
        for repeat in 0..=REPEATS {
            let began = Timestamp::now();
            let mut count = 0;
            while let Some(rows) = walk.next().await? {
                let is_end = rows.iter().all(|row| activity(row) < end);
                let rows: Vec<Value> =
                    rows.into_iter().filter(|row| activity(row) >= end).collect();
                count += rows.len();
                let last = rows.last().map(activity);
                self.page(repair, rows).await?;
                if repeat == 0 {
                    repair.save(self.key, walk.cursor()).await?;
                    let share = last.map_or(1.0, |last| self.share(last));
                    progress(Progress { kind: Kind::Room, fetched: repair.fetched(), share });
                }
                if is_end {
                    break;
                }
            }
            if count == 0 {
                break;
            }
            end = if repeat == 0 { self.began } else { began };
            walk = self.walk();
        }
        Ok(())
    }

    fn walk(&self) -> Walk<'a> {
        Walk::new(self.client, "rooms", "rooms".to_owned())
    }

    /// Share of the time from the begin of the walk back to the start of the period.
    fn share(&self, at: Timestamp) -> f64 {
        let micros = |at: Timestamp| at.0.timestamp_micros() as f64;
        let whole = micros(self.began) - micros(self.key.from);
        ((micros(self.began) - micros(at)) / whole.max(1.0)).clamp(0.0, 1.0)
    }

    /// Repairs rooms, then their messages.
    async fn page(
        &mut self,
        repair: &mut Repair<'_>,
        rows: Vec<Value>,
    ) -> Result<(), BackfillError> {
        let is_begun = |row: &Value| time(row, "created_at").is_none_or(|at| at < self.key.to);
        let rows = rows.into_iter().filter(|row| is_begun(row) && row["id"].is_string());
        let mut items: Vec<Item> = rows.map(item).collect();
        let mut last_messages: Vec<Value> =
            items.iter_mut().map(|item| item.body["last_message"].take()).collect();
        if self.scope.rooms {
            let compared = repair.compare(Kind::Room, &items).await?;
            for (item, finding) in items.iter_mut().zip(&compared) {
                if *finding != Comparison::Equal {
                    self.complete(item).await?;
                }
            }
            repair.store(Kind::Room, &items, &compared).await?;
        }
        if self.scope.messages {
            for (room, last) in items.iter().zip(&mut last_messages) {
                self.messages(repair, room, last.take()).await?;
            }
        }
        Ok(())
    }

    /// Replaces a row of the list, which does not show some changes, by the details of the room.
    async fn complete(&self, item: &mut Item) -> Result<(), BackfillError> {
        if !is_plain(&item.id) {
            return Ok(());
        }
        let route = Route::get_path("rooms/{id}", format!("rooms/{}", item.id), String::new());
        match self.client.call(route, None).await {
            Ok(mut answer) if answer["data"]["id"] == item.id.as_str() => {
                item.body = answer["data"].take();
                item.body["last_message"].take();
            }
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Repairs the messages of a room. `last` is the last one, as the list of rooms shows it.
    async fn messages(
        &mut self,
        repair: &mut Repair<'_>,
        room: &Item,
        last: Value,
    ) -> Result<(), BackfillError> {
        if self.without_messages >= MAX_WITHOUT_MESSAGES || !is_plain(&room.id) {
            return self.last_message(repair, room, last).await;
        }
        let path = format!("rooms/{}/messages", room.id);
        let mut walk = Walk::new(self.client, "rooms/{id}/messages", path);
        loop {
            let rows = match walk.next().await {
                Ok(Some(rows)) => rows,
                Ok(None) => return Ok(()),
                Err(Error::NotFound { .. }) => {
                    self.without_messages += 1;
                    return self.last_message(repair, room, last).await;
                }
                Err(error) => return Err(error.into()),
            };
            self.without_messages = 0;
            let at = |row: &Value| time(row, "created_at");
            let is_end = rows.iter().all(|row| at(row).is_some_and(|at| at < self.key.from));
            let items: Vec<Item> = rows
                .into_iter()
                .filter(|row| row["id"].is_string() && self.contains(at(row)))
                .map(|row| message(row, room))
                .collect();
            repair.repair(Kind::Message, &items).await?;
            if is_end {
                return Ok(());
            }
        }
    }

    /// Repairs the last message of a room, for an account of Qontak without lists of messages.
    async fn last_message(
        &self,
        repair: &mut Repair<'_>,
        room: &Item,
        last: Value,
    ) -> Result<(), BackfillError> {
        if !last["id"].is_string() || !self.contains(time(&last, "created_at")) {
            return Ok(());
        }
        let Item { id, at, .. } = item(last.clone());
        let at = time(&last, "created_at").unwrap_or(at);
        let mut body = room.body.clone();
        body["last_message"] = last;
        repair.repair(Kind::Message, &[Item { id, at, body }]).await
    }

    /// Whether a time is in the period; rows without one are compared too.
    fn contains(&self, at: Option<Timestamp>) -> bool {
        at.is_none_or(|at| self.key.from <= at && at < self.key.to)
    }
}

/// A row of a list with an id.
fn item(row: Value) -> Item {
    let id = row["id"].as_str().unwrap_or_default().to_owned();
    Item { id, at: activity(&row), body: row }
}

/// A message with its room, as webhooks show it.
fn message(mut row: Value, room: &Item) -> Item {
    let at = time(&row, "created_at").unwrap_or(room.at);
    if row["room_id"].is_null() {
        row["room_id"] = room.id.as_str().into();
    }
    row["room"] = room.body.clone();
    Item { at, ..item(row) }
}

fn time(row: &Value, field: &str) -> Option<Timestamp> {
    Timestamp::parse(row[field].as_str()?)
}

/// The last activity of a room; now if it has no time, so that it is compared.
fn activity(room: &Value) -> Timestamp {
    let times = TIMES.iter().filter_map(|field| time(room, field));
    times.max().unwrap_or_else(Timestamp::now)
}

/// Whether an id can stand in a path as it is.
pub fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}
