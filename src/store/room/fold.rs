//! What several snapshots of one room say together, before it is written.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Deref;

use crate::model::{FoldKey, Room};

/// Snapshots of one room, folded: its newest one, with the fields that this lacks from older ones.
pub struct Fold<'a> {
    room: Cow<'a, Room>,
    /// All fields, a bit each.
    pub fields: i32,
    /// Those of the newest snapshot.
    pub key_fields: i32,
    /// Which fields came from which older snapshot.
    older: Vec<(FoldKey, i32)>,
}

impl<'a> Fold<'a> {
    fn new(room: &'a Room) -> Self {
        let fields = room.fields();
        Self { room: Cow::Borrowed(room), fields, key_fields: fields, older: Vec::new() }
    }

    /// What tells the room.
    pub fn id(&self) -> (&str, &str) {
        id(&self.room)
    }

    /// The fold key of each field that the newest snapshot lacks, in the order of the columns, as
    /// Postgres splits it. `None` if there is no such field.
    pub fn lagging(&self) -> Option<String> {
        let key_of = |field: i32| {
            let snapshot = self.older.iter().find(|(_, fields)| fields & (1 << field) != 0);
            snapshot.map_or_else(String::new, |(key, _)| key.0.to_string())
        };
        let keys = || (0..Room::FIELDS).map(key_of).collect::<Vec<_>>().join(",");
        (!self.older.is_empty()).then(keys)
    }

    /// Adds an older snapshot. Of two with the same key the greater value of each field wins: that
    /// is left to the database, and the snapshot is returned.
    fn add(&mut self, older: &'a Room) -> Option<&'a Room> {
        let fields = older.fields();
        let news = fields & !self.fields;
        let oldest = self.older.last().map_or(self.room.key, |(key, _)| *key);
        if fields != 0 && older.key == oldest {
            return Some(older);
        }
        if older.received_at < self.room.received_at {
            self.room.to_mut().received_at = older.received_at;
        }
        if older.clock > self.room.clock {
            self.room.to_mut().clock = older.clock;
        }
        if news != 0 {
            self.room.to_mut().fill(older);
            self.fields |= news;
            self.older.push((older.key, news));
        }
        None
    }
}

impl Deref for Fold<'_> {
    type Target = Room;

    fn deref(&self) -> &Room {
        &self.room
    }
}

fn id(room: &Room) -> (&str, &str) {
    (&room.organization_id, &room.room_id)
}

/// Folds the snapshots of each room. A second fold of a room, if there is one, comes in the next
/// round; within a round, folds are in the order of their ids, so that writers do not deadlock.
pub fn rounds_of_unique_keys<'a>(rows: impl Iterator<Item = &'a Room>) -> Vec<Vec<Fold<'a>>> {
    let mut rows: Vec<&Room> = rows.collect();
    let mut rounds_of_unique_keys = Vec::new();
    while !rows.is_empty() {
        rows.sort_by_key(|row| (id(row), Reverse(row.key)));
        let mut folds: Vec<Fold<'a>> = Vec::with_capacity(rows.len());
        let mut left = Vec::new();
        for row in rows {
            match folds.last_mut() {
                Some(fold) if fold.id() == id(row) => left.extend(fold.add(row)),
                _ => folds.push(Fold::new(row)),
            }
        }
        rounds_of_unique_keys.push(folds);
        rows = left;
    }
    rounds_of_unique_keys
}
