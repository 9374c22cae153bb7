//! Folds the snapshots of one room within a batch, because a statement cannot touch a row twice.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Deref;

use crate::model::{FoldKey, Room};

/// Fold of the snapshots of one room: the newest one, completed by fields of older ones.
pub struct Fold<'a> {
    room: Cow<'a, Room>,
    /// Bit set of all known fields.
    pub fields: i32,
    /// Bit set of the fields of the newest snapshot.
    pub key_fields: i32,
    /// Older snapshots, newest first, with the fields taken from them.
    older: Vec<(FoldKey, i32)>,
}

impl<'a> Fold<'a> {
    fn new(room: &'a Room) -> Self {
        let fields = room.fields();
        Self { room: Cow::Borrowed(room), fields, key_fields: fields, older: Vec::new() }
    }

    /// Returns the primary key of the room.
    pub fn id(&self) -> (&str, &str) {
        id(&self.room)
    }

    /// Returns the fold keys of fields from older snapshots, in column order, joined by commas;
    /// empty for all other fields. `None` if all fields are from the newest snapshot.
    pub fn lagging(&self) -> Option<String> {
        let key_of = |field: i32| {
            let snapshot = self.older.iter().find(|(_, fields)| fields & (1 << field) != 0);
            snapshot.map_or_else(String::new, |(key, _)| key.0.to_string())
        };
        let keys = || (0..Room::FIELDS).map(key_of).collect::<Vec<_>>().join(",");
        (!self.older.is_empty()).then(keys)
    }

    /// Adds an older snapshot. Returns a snapshot with the same key as the last one: between these
    /// the greater value of each field wins, and only the database can compare them.
    fn add(&mut self, older: &'a Room) -> Option<&'a Room> {
        let fields = older.fields();
        let new_fields = fields & !self.fields;
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
        if new_fields != 0 {
            self.room.to_mut().fill(older);
            self.fields |= new_fields;
            self.older.push((older.key, new_fields));
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

/// Folds the snapshots of each room. A second fold of the same room goes into the next round.
/// Within a round, folds are sorted by key, so that writers do not deadlock.
pub fn rounds_of_folds<'a>(rows: impl Iterator<Item = &'a Room>) -> Vec<Vec<Fold<'a>>> {
    let mut rows: Vec<&Room> = rows.collect();
    let mut rounds = Vec::new();
    while !rows.is_empty() {
        rows.sort_by_key(|row| (id(row), Reverse(row.key)));
        let mut folds: Vec<Fold<'a>> = Vec::with_capacity(rows.len());
        let mut remaining = Vec::new();
        for row in rows {
            match folds.last_mut() {
                Some(fold) if fold.id() == id(row) => remaining.extend(fold.add(row)),
                _ => folds.push(Fold::new(row)),
            }
        }
        rounds.push(folds);
        rows = remaining;
    }
    rounds
}
