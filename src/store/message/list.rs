//! Messages across rooms.

use std::collections::HashMap;

use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};
use utoipa::{IntoParams, ToSchema};

use super::MessageKey;
use super::search::search;
use crate::model::Timestamp;
use crate::store::connect::snapshot;
use crate::store::search::Query;

/// Which messages to list.
#[derive(Clone, Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only messages of this `type`: `text`, `image`, `document`, …
    pub r#type: Option<String>,
    /// Only messages with this effective `status`: `sent`, `delivered`, `read`, `failed`, …
    pub status: Option<String>,
    /// Only messages in this direction: `in` is from a `customer`, `out` from an `agent` or `bot`.
    #[param(rename = "direction", value_type = Option<Direction>, inline)]
    pub participant_types: Option<&'static [&'static str]>,
    /// Only the messages with this id at the channel (`wamid.…`).
    pub external_id: Option<String>,
    /// Only messages of this room.
    #[param(rename = "room_id", value_type = Option<String>)]
    pub room_ids: Option<Vec<String>>,
    /// Only those without a broadcast log; nobody outside can ask for that.
    #[param(ignore)]
    pub is_without_log: bool,
    /// Only messages from this day (`2025-06-12`, in UTC) or time on.
    #[param(rename = "start_date", value_type = Option<String>)]
    pub start: Option<Timestamp>,
    /// Only messages until the end of this day, or before this time.
    #[param(rename = "end_date", value_type = Option<String>)]
    pub end: Option<Timestamp>,
    /// Only messages whose texts have all of these words. One of three letters or more may go on:
    /// `terima` finds `terimakasih`. A phone number is found as `08…`, `62…` or `+62…`.
    #[param(rename = "q", value_type = Option<String>)]
    pub query: Option<Query>,
}

/// Who writes, as one asks for it.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the filter says it")]
pub enum Direction {
    In,
    Out,
    Customer,
    Agent,
    Bot,
}

/// A message's place in the order of the list.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the columns of table message say it")]
pub struct Place<'a> {
    pub at: Timestamp,
    pub message_id: &'a str,
    pub organization_id: &'a str,
}

/// Lists messages after `from`, newest first; before it if `backward`, then the nearest of these
/// first. `organizations` of `None` sees all.
pub async fn list(
    db: &PgPool,
    organizations: Option<&[String]>,
    filter: &Filter,
    from: Option<Place<'_>>,
    backward: bool,
    limit: i64,
) -> sqlx::Result<Vec<MessageKey>> {
    if let Some(query) = &filter.query {
        return search(db, organizations, query, filter, from, backward, limit).await;
    }
    // How far to look follows from what was there a statement before.
    let mut db = snapshot(db).await?;
    let mut scan = Scan::new(&mut db, organizations, filter, from, backward).await?;
    let rows = scan.nearest(&mut db, limit).await?;
    Ok(rows.into_iter().map(ScannedKey::into_key).collect())
}

/// An order of time in which messages can be.
///
/// Each organisation has one in the index `message_by_time`, named by its hash; each room has one in
/// `message_by_room`.
struct IndexRange {
    hash: i32,
    room_id: Option<String>,
}

/// What is near to a place in the list.
pub struct Scan<'a> {
    organizations: Option<&'a [String]>,
    /// The index_ranges to look at: hashes of organisations,
    pub hashes: Vec<i32>,
    /// and the room that is looked at in each, if only some are.
    room_ids: Option<Vec<Option<String>>>,
    /// Which messages to look for.
    pub filter: Filter,
    from: Option<Place<'a>>,
    backward: bool,
}

/// A message on the way.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table message say it")]
pub struct ScannedKey {
    pub organization_id: String,
    pub message_id: String,
    pub at: Timestamp,
}

impl ScannedKey {
    /// What tells it.
    pub fn into_key(self) -> MessageKey {
        let Self { organization_id, message_id, .. } = self;
        MessageKey { organization_id, message_id }
    }
}

impl<'a> Scan<'a> {
    /// What is near to `from`, or to the beginning, in any order that there is.
    pub async fn new(
        db: &mut PgConnection,
        organizations: Option<&'a [String]>,
        filter: &Filter,
        from: Option<Place<'a>>,
        backward: bool,
    ) -> sqlx::Result<Self> {
        let index_ranges = index_ranges(db, organizations, filter.room_ids.as_deref()).await?;
        let (hashes, rooms) =
            index_ranges.into_iter().map(|range| (range.hash, range.room_id)).unzip();
        let room_ids = filter.room_ids.is_some().then_some(rooms);
        let filter = filter.clone();
        Ok(Self { organizations, hashes, room_ids, filter, from, backward })
    }

    /// The nearest messages, at most `limit`. It may then look no further than these.
    pub async fn nearest(
        &mut self,
        db: &mut PgConnection,
        limit: i64,
    ) -> sqlx::Result<Vec<ScannedKey>> {
        // Each order may have all that is asked for. A few of each tell how far away the last of
        // these can be, so that a filter that lets few through is not applied to all of each.
        let index_ranges = i64::try_from(self.hashes.len()).unwrap_or(1).max(1);
        let share = limit / index_ranges + 1;
        if share < limit {
            let few = self.fetch(db, share, share * index_ranges).await?;
            if (few.len() as i64) < share {
                return Ok(few);
            }
            if let Some(last) = few.get(limit as usize - 1) {
                self.reach(last.at);
            }
            // The sparsest order may be the one that tells, and its few go back far.
            if let Some(at) = self.guess(&few, limit) {
                let (start, end) = (self.filter.start, self.filter.end);
                self.reach(at);
                let nearest = self.fetch(db, limit, limit).await?;
                if nearest.len() as i64 == limit {
                    return Ok(nearest);
                }
                (self.filter.start, self.filter.end) = (start, end);
            }
        }
        self.fetch(db, limit, limit).await
    }

    /// As far away as `limit` messages should be, and as far again, if each organisation goes on as
    /// densely as its first ones.
    fn guess(&self, few: &[ScannedKey], limit: i64) -> Option<Timestamp> {
        let origin = self.from.map(|place| place.at).or(few.first().map(|row| row.at))?.0;
        let mut known: HashMap<&str, (f64, f64)> = HashMap::new();
        for row in few {
            let micros = (row.at.0 - origin).abs().num_microseconds()?.max(1) as f64;
            let (count, farthest) = known.entry(&row.organization_id).or_insert((0.0, micros));
            *count += 1.0;
            *farthest = micros.max(*farthest);
        }
        let density: f64 = known.values().map(|(count, farthest)| count / farthest).sum();
        let away = TimeDelta::microseconds((2.0 * limit as f64 / density) as i64);
        let at = match self.backward {
            true => origin.checked_add_signed(away),
            false => origin.checked_sub_signed(away),
        };
        at.map(Timestamp).filter(|at| at.is_storable())
    }

    /// Looks no further than this, on the way it goes.
    pub fn reach(&mut self, at: Timestamp) {
        if self.backward {
            let after = next(at);
            self.filter.end = Some(self.filter.end.map_or(after, |end| end.min(after)));
        } else {
            self.filter.start = self.filter.start.max(Some(at));
        }
    }

    /// Looks only at what is farther away than this.
    pub fn start_beyond(&mut self, at: Timestamp) {
        if self.backward {
            self.filter.start = self.filter.start.max(Some(next(at)));
        } else {
            self.filter.end = Some(self.filter.end.map_or(at, |end| end.min(at)));
        }
    }

    /// The nearest messages, `limit` of them, and of each order at most `share`.
    pub async fn fetch(
        &self,
        db: &mut PgConnection,
        share: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<ScannedKey>> {
        let Self { organizations, hashes, room_ids, filter, from, backward } = self;
        // Looked for, as if they were of day 0, in all that the other filters let through.
        let words = filter.query.as_ref().map(|query| query.of_messages(0..=0, None));
        let parts = filter.query.as_ref().map(Query::of_texts);
        // The two branches are one list scanned both ways; only one of them is run.
        sqlx::query_as!(
            ScannedKey,
            r#"
                select organization_id as "organization_id!", message_id as "message_id!",
                    at as "at!"
                from (
                    select near.*
                    from unnest($2::int[], $7::text[]) as near_order (hash, near_room_id)
                    cross join lateral (
                        select organization_id, message_id, at
                        from message
                        where not $13
                            and hashtext(organization_id) = hash
                            -- Several organisations may have one hash. `is not false` keeps Postgres,
                            -- which takes all hashes for equally frequent, from looking for a rare one
                            -- by the second column of the primary key.
                            and ($1::text[] is null or (organization_id = any($1)) is not false)
                            and ($3::text is null or type = $3)
                            and ($4::text is null or status = $4)
                            -- Said again, in the words of the index `message_failed`.
                            and ($4 is distinct from 'failed' or failed_seen_at is not null)
                            and ($5::text[] is null or participant_type = any($5))
                            and ($6::text is null or external_id = $6)
                            and ($7::text[] is null or room_id = near_room_id)
                            -- Said again as a constant: Postgres knows how much is in a room.
                            and (cardinality($7) is distinct from 1 or room_id = ($7::text[])[1])
                            and ($16::text is null
                                -- Takes a sixth of the time. (Long texts are made lower case by
                                -- other rules.)
                                or (octet_length(text) > 2000
                                    or lower(text collate "C") like all($18::text[]))
                                and message_words('', '1970-01-01Z', text) @@ ($16::text)::tsquery)
                            and (not $17 or not exists (
                                select
                                from broadcast_log as log
                                where log.whatsapp_message_id = message.external_id
                                    and log.organization_id = message.organization_id
                            ))
                            and ($8::timestamptz is null or at >= $8)
                            and ($9::timestamptz is null or at < $9)
                            and ($10::timestamptz is null or at <= $10
                                and (at, message_id, organization_id) < ($10, $11, $12))
                        order by at desc, message_id desc, organization_id desc
                        limit $14
                    ) as near
                    order by at desc, message_id desc, organization_id desc
                    limit $15
                ) as after
                union all
                select organization_id, message_id, at
                from (
                    select near.*
                    from unnest($2::int[], $7::text[]) as near_order (hash, near_room_id)
                    cross join lateral (
                        select organization_id, message_id, at
                        from message
                        where $13
                            and hashtext(organization_id) = hash
                            -- Several organisations may have one hash. `is not false` keeps Postgres,
                            -- which takes all hashes for equally frequent, from looking for a rare one
                            -- by the second column of the primary key.
                            and ($1::text[] is null or (organization_id = any($1)) is not false)
                            and ($3::text is null or type = $3)
                            and ($4::text is null or status = $4)
                            -- Said again, in the words of the index `message_failed`.
                            and ($4 is distinct from 'failed' or failed_seen_at is not null)
                            and ($5::text[] is null or participant_type = any($5))
                            and ($6::text is null or external_id = $6)
                            and ($7::text[] is null or room_id = near_room_id)
                            -- Said again as a constant: Postgres knows how much is in a room.
                            and (cardinality($7) is distinct from 1 or room_id = ($7::text[])[1])
                            and ($16::text is null
                                or (octet_length(text) > 2000
                                    or lower(text collate "C") like all($18::text[]))
                                and message_words('', '1970-01-01Z', text) @@ ($16::text)::tsquery)
                            and (not $17 or not exists (
                                select
                                from broadcast_log as log
                                where log.whatsapp_message_id = message.external_id
                                    and log.organization_id = message.organization_id
                            ))
                            and ($8::timestamptz is null or at >= $8)
                            and ($9::timestamptz is null or at < $9)
                            and ($10::timestamptz is null or at >= $10
                                and (at, message_id, organization_id) > ($10, $11, $12))
                        order by at, message_id, organization_id
                        limit $14
                    ) as near
                    order by at, message_id, organization_id
                    limit $15
                ) as before
            "#,
            *organizations,
            hashes,
            filter.r#type.as_deref(),
            filter.status.as_deref(),
            filter.participant_types as _,
            filter.external_id.as_deref(),
            room_ids.as_deref() as _,
            filter.start as _,
            filter.end as _,
            from.map(|place| place.at) as _,
            from.map(|place| place.message_id),
            from.map(|place| place.organization_id),
            *backward,
            share,
            limit,
            words.as_deref(),
            filter.is_without_log,
            parts.as_deref() as _,
        )
        .fetch_all(db)
        .await
    }
}

/// The first time after this one.
fn next(at: Timestamp) -> Timestamp {
    Timestamp(at.0 + TimeDelta::microseconds(1))
}

/// All index_ranges that there are, or those of these rooms.
async fn index_ranges(
    db: &mut PgConnection,
    organizations: Option<&[String]>,
    room_ids: Option<&[String]>,
) -> sqlx::Result<Vec<IndexRange>> {
    sqlx::query_as!(
        IndexRange,
        r#"
            -- All there are: from each one the next.
            with recursive next as (
                (
                    select hashtext(organization_id) as hash
                    from message
                    where $1::text[] is null and $2::text[] is null
                    order by hashtext(organization_id)
                    limit 1
                )
                union all
                select (
                    select hashtext(organization_id)
                    from message
                    where hashtext(organization_id) > next.hash
                    order by hashtext(organization_id)
                    limit 1
                )
                from next
                where next.hash is not null
            )
            select hash as "hash!", null as room_id from next where hash is not null
            union
            select hashtext(id), null from unnest($1) as id where $2 is null
            union
            select hashtext(organization_id), room_id from room where room_id = any($2)
        "#,
        organizations,
        room_ids,
    )
    .fetch_all(db)
    .await
}
