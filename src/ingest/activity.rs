//! Counts first deliveries by hour, organisation, channel and kind, in memory. The alarms take the counts
//! once per interval and store them, so an event costs no statement.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{BACKFILL, Event, Kind};
use crate::model::Timestamp;
use crate::store::activity::Activity as Row;

/// Maximum number of rows between two calls of [`Activity::take`]; further ones are left out. A sender of
/// random channels must not fill the memory.
const MAX_ROWS: usize = 10_000;

/// Maximum length of a channel in bytes; longer ones count as none.
const MAX_CHANNEL_BYTES: usize = 64;

/// Hour since 1970, organisation, channel, kind.
type Key = (i64, String, String, Kind);
type Counts = HashMap<Key, Counted>;

/// Events of one hour.
#[derive(Clone, Copy, Debug)]
struct Counted {
    count: i64,
    /// Bit n for minute n.
    minutes: i64,
    last_at: Timestamp,
}

/// Counts of this process that are not stored yet; cheap to clone.
#[derive(Clone, Debug)]
pub struct Activity {
    /// `None` if nobody asks for the counts.
    counts: Option<Arc<Mutex<Counts>>>,
}

impl Activity {
    /// Starts counting, if it is wanted.
    pub fn new(is_wanted: bool) -> Self {
        Self { counts: is_wanted.then(Arc::default) }
    }

    /// Counts an event that was committed for the first time. Events of a backfill are not counted: they
    /// say nothing about webhooks.
    pub fn observe(&self, event: &Event) {
        let (Some(counts), Some(kind)) = (&self.counts, event.kind) else { return };
        if *event.webhook.endpoint == *BACKFILL {
            return;
        }
        let changes = &event.changes;
        let of_message = changes.messages.first().and_then(|row| row.channel.as_deref());
        let of_room = changes.rooms.first().and_then(|row| row.channel.as_deref());
        let channel = of_message.or(of_room).filter(|it| it.len() <= MAX_CHANNEL_BYTES);
        let at = event.received_at();
        let hour = at.0.timestamp().div_euclid(3600);
        let channel = channel.unwrap_or_default().to_owned();
        let minutes = 1 << at.0.timestamp().div_euclid(60).rem_euclid(60);
        let key = (hour, event.organization_id.clone(), channel, kind);
        add(&mut lock(counts), key, Counted { count: 1, minutes, last_at: at });
    }

    /// Takes the counts, sorted by key.
    pub fn take(&self) -> Vec<Row> {
        let counts = self.counts.as_ref().map(|counts| std::mem::take(&mut *lock(counts)));
        let mut counts: Vec<_> = counts.unwrap_or_default().into_iter().collect();
        counts.sort_unstable_by(|(one, _), (other, _)| {
            let key = |key: &Key| (key.0, key.1.clone(), key.2.clone(), key.3.as_str());
            key(one).cmp(&key(other))
        });
        let row = |((hour, organization_id, channel, kind), counted): (Key, Counted)| {
            let hour = Timestamp::from_unix(hour * 3600).unwrap_or_default();
            let kind = kind.as_str().to_owned();
            let Counted { count, minutes, last_at } = counted;
            Row { hour, organization_id, channel, kind, count, minutes, last_at }
        };
        counts.into_iter().map(row).collect()
    }

    /// Takes back counts that could not be stored.
    pub fn put_back(&self, rows: Vec<Row>) {
        let Some(counts) = &self.counts else { return };
        let mut counts = lock(counts);
        for row in rows {
            if let Ok(kind) = row.kind.parse() {
                let hour = row.hour.0.timestamp().div_euclid(3600);
                let Row { organization_id, channel, count, minutes, last_at, .. } = row;
                let key = (hour, organization_id, channel, kind);
                add(&mut counts, key, Counted { count, minutes, last_at });
            }
        }
    }
}

fn add(counts: &mut Counts, key: Key, new: Counted) {
    if counts.len() >= MAX_ROWS && !counts.contains_key(&key) {
        return;
    }
    let none = Counted { count: 0, minutes: 0, last_at: new.last_at };
    let row = counts.entry(key).or_insert(none);
    row.count += new.count;
    row.minutes |= new.minutes;
    row.last_at = row.last_at.max(new.last_at);
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
