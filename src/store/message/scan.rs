//! Scans messages outwards from a place of the list across rooms, nearest first.
//!
//! No index orders the messages of several organisations. Each organisation has a range of index
//! `message_by_time`, named by its number; each room has a range of `message_by_room`. A scan
//! reads all ranges and merges them.

use std::collections::HashMap;

use chrono::{TimeDelta, Utc};
use sqlx::PgConnection;

use super::MessageKey;
use super::filter::{Filter, Place};
use super::index_range::{IndexRange, index_ranges, is_customer};
use crate::model::Timestamp;
use crate::store::facet::{self, Facet, Occurrence};
use crate::store::rows::column;
use crate::store::search::Query;

/// Scan in one direction from a place, or from the end of the list.
pub struct Scan<'a> {
    index_ranges: Vec<IndexRange>,
    /// Which messages to find; a scan narrows its period.
    pub filter: Filter,
    from: Option<&'a Place>,
    backward: bool,
}

/// Message found by a scan.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table message say it")]
pub struct ScannedKey {
    pub organization_id: String,
    pub message_id: String,
    pub at: Timestamp,
}

impl ScannedKey {
    /// Drops the time.
    pub fn into_key(self) -> MessageKey {
        let Self { organization_id, message_id, .. } = self;
        MessageKey { organization_id, message_id }
    }
}

impl<'a> Scan<'a> {
    /// Finds the index ranges that can contain matching messages.
    pub async fn new(
        db: &mut PgConnection,
        organizations: Option<&'a [String]>,
        filter: &Filter,
        from: Option<&'a Place>,
        backward: bool,
    ) -> sqlx::Result<Self> {
        let mut index_ranges = index_ranges(db, organizations, filter.room_ids.as_deref()).await?;
        if let Some(codes) = &filter.error_codes {
            let of_codes = |range: IndexRange| {
                codes
                    .iter()
                    .map(move |code| IndexRange { error_code: Some(*code), ..range.clone() })
            };
            index_ranges = index_ranges.into_iter().flat_map(of_codes).collect();
        }
        let filter = filter.clone();
        let mut scan = Self { index_ranges, filter, from, backward };
        scan.narrow(db, organizations).await?;
        Ok(scan)
    }

    /// Leaves out what cannot contain a match: organisations without the channel or the sender, and
    /// the time after the sender's latest message. Only customers have an index by sender.
    async fn narrow(
        &mut self,
        db: &mut PgConnection,
        organizations: Option<&[String]>,
    ) -> sqlx::Result<()> {
        if let Some(channels) = &self.filter.channel {
            let found =
                facet::occurrences(&mut *db, organizations, Facet::Channel, channels).await?;
            self.keep_ranges(&found);
        }
        let Some(sender_id) = self.filter.sender_id.clone() else { return Ok(()) };
        let ids = [sender_id];
        let found = facet::occurrences(&mut *db, organizations, Facet::Sender, &ids).await?;
        if found.is_empty() {
            self.filter.is_of_customer = true;
        } else if !is_customer(db, &self.organizations(), &ids[0]).await? {
            self.keep_ranges(&found);
            let last = found.iter().filter_map(|one| one.last_on).max();
            let end = last.and_then(|day| Timestamp::beginning(day.succ_opt()?, &Utc));
            if let Some(end) = end {
                self.filter.until = Some(self.filter.until.map_or(end, |until| until.min(end)));
            }
        }
        Ok(())
    }

    /// Drops the index ranges of other organisations.
    fn keep_ranges(&mut self, of: &[Occurrence]) {
        self.index_ranges
            .retain(|range| of.iter().any(|one| one.organization == range.organization));
    }

    /// Numbers of the organisations, one per index range.
    pub fn organizations(&self) -> Vec<i32> {
        column(&self.index_ranges, |range| range.organization)
    }

    /// Fetches the nearest `limit` messages. May leave the filter narrowed, so that
    /// later fetches return no farther messages.
    pub async fn nearest(
        &mut self,
        db: &mut PgConnection,
        limit: i64,
    ) -> sqlx::Result<Vec<ScannedKey>> {
        // One range may contain the whole page. A few rows of each range bound how far the page can
        // reach, so that a selective filter is not applied to whole ranges.
        let index_ranges = i64::try_from(self.index_ranges.len()).unwrap_or(1).max(1);
        let share = limit / index_ranges + 1;
        if share < limit {
            let few = self.fetch(db, share, share * index_ranges).await?;
            if (few.len() as i64) < share {
                return Ok(few);
            }
            if let Some(last) = few.get(limit as usize - 1) {
                self.stop_at(last.at);
            }
            // The bound is loose if one range has few messages, so an estimate is tried first.
            if let Some(at) = self.estimate(&few, limit).filter(|at| self.is_nearer(*at)) {
                let (since, until) = (self.filter.since, self.filter.until);
                self.stop_at(at);
                let nearest = self.fetch(db, limit, limit).await?;
                if nearest.len() as i64 == limit {
                    return Ok(nearest);
                }
                (self.filter.since, self.filter.until) = (since, until);
            }
        }
        self.fetch(db, limit, limit).await
    }

    /// Estimates, with a factor of two as margin, how far `limit` messages reach if each organisation
    /// continues as densely as its first rows.
    fn estimate(&self, few: &[ScannedKey], limit: i64) -> Option<Timestamp> {
        let origin = self.from.map(|place| place.at).or(few.first().map(|row| row.at))?.0;
        let mut known: HashMap<&str, (f64, f64)> = HashMap::new();
        for row in few {
            let micros = (row.at.0 - origin).abs().num_microseconds()? as f64;
            let (count, farthest) = known.entry(&row.organization_id).or_insert((0.0, micros));
            *count += 1.0;
            *farthest = micros.max(*farthest);
        }
        // The first row alone has distance 0, and no density.
        let known = known.values().filter(|(_, farthest)| *farthest > 0.0);
        let density: f64 = known.map(|(count, farthest)| count / farthest).sum();
        let away = TimeDelta::microseconds((2.0 * limit as f64 / density) as i64);
        let at = match self.backward {
            true => origin.checked_add_signed(away),
            false => origin.checked_sub_signed(away),
        };
        at.map(Timestamp).filter(|at| at.is_storable())
    }

    /// Whether the scan goes beyond this time.
    fn is_nearer(&self, at: Timestamp) -> bool {
        let Filter { since, until, .. } = self.filter;
        if self.backward {
            until.is_none_or(|until| at < until)
        } else {
            since.is_none_or(|since| at > since)
        }
    }

    /// Excludes messages beyond this time, in the direction of the scan.
    pub fn stop_at(&mut self, at: Timestamp) {
        if self.backward {
            let after = at.next();
            self.filter.until = Some(self.filter.until.map_or(after, |until| until.min(after)));
        } else {
            self.filter.since = self.filter.since.max(Some(at));
        }
    }

    /// Excludes messages up to this time, in the direction of the scan.
    pub fn start_beyond(&mut self, at: Timestamp) {
        if self.backward {
            self.filter.since = self.filter.since.max(Some(at.next()));
        } else {
            self.filter.until = Some(self.filter.until.map_or(at, |until| until.min(at)));
        }
    }

    /// Fetches the nearest `limit` messages, at most `share` of each index range. Uses index
    /// `message_by_time`, `message_failed`, `message_by_room`, `message_channel_id_by_hash`,
    /// `message_by_sender`, `message_by_channel`, `message_by_broadcast`, `message_campaign` or
    /// `message_by_error`.
    pub async fn fetch(
        &self,
        db: &mut PgConnection,
        share: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<ScannedKey>> {
        let Self { index_ranges, filter, from, backward } = self;
        let room_ids = filter.room_ids.is_some();
        let room_ids = room_ids.then(|| column(index_ranges, |range| range.room_id.as_deref()));
        let error_codes = filter.error_codes.is_some();
        let error_codes = error_codes.then(|| column(index_ranges, |range| range.error_code));
        // Here the words filter scanned rows and do not use the word index, so any day will do.
        let words = filter.query.as_ref().map(|query| query.message_tsquery(0..=0, None));
        let patterns = filter.query.as_ref().map(Query::text_patterns);
        macro_rules! page {
            ($cmp:tt, $order:tt) => {
                sqlx::query_as!(
                    ScannedKey,
                    r#"
                        select
                            (
                                select organization_id from organization where number = near.organization
                            ) as "organization_id!",
                            near.message_id as "message_id!", near.at as "at!"
                        from unnest($1::int[], $2::text[], $22::bigint[])
                            as index_range (own, range_room_id, range_error_code)
                        cross join lateral (
                            select organization, message_id, at
                            from message
                            where ($2::text[] is not null or organization = own)
                                and ($4::text[] is null or type = any($4))
                                -- `coalesce` hides the selectivity from the planner, which would
                                -- multiply it by that of the next line.
                                and ($5::text[] is null or coalesce(status = any($5), false))
                                -- Redundant: matches the predicate of index `message_failed`.
                                and ($5 is distinct from array['failed']
                                    or failed_seen_at is not null)
                                and ($6::text[] is null or sender_kind = any($6))
                                and ($7::text is null or external_id = $7
                                    and message_id = any(array(
                                        select message_id
                                        from message_channel_id
                                        where hash = hashtextextended($7, 0)
                                    )))
                                -- `coalesce` hides the organisation from the planner, which would read
                                -- all of its messages in `message_by_time`, too.
                                and ($2 is null
                                    or room_id = range_room_id and coalesce(organization = own, false))
                                -- Redundant: with a constant the planner knows the room's size.
                                and (cardinality($2) is distinct from 1 or room_id = ($2::text[])[1])
                                and ($8::text is null
                                    -- Several times faster than the word match, so it goes first.
                                    or message_text(text, file, buttons, raw_message) like all($9::text[])
                                    and message_words(
                                        0, '1970-01-01Z', text, file, buttons, raw_message
                                    ) @@ ($8::text)::tsquery)
                                -- One channel keeps the order of `message_by_channel`. It is not compared
                                -- twice: the planner would multiply the selectivities, expect next to
                                -- nothing, and read and sort all messages of the channel.
                                and ($18::text[] is null or cardinality($18) = 1 or channel = any($18))
                                and (cardinality($18) is distinct from 1 or channel = ($18::text[])[1])
                                -- `coalesce` hides the selectivity from the planner, which would
                                -- read and sort all messages to find those of an agent.
                                and ($19::text is null or coalesce(sender_id = $19, false))
                                -- Redundant: matches index `message_by_sender`.
                                and (not $3 or participant_type = 'customer'
                                    and hashtext(sender_id) = hashtext($19))
                                and ($20::text is null or hashtext(broadcast_id) = hashtext($20)
                                    and coalesce(broadcast_id = $20, false))
                                and ($21::boolean is distinct from true or is_campaign is true)
                                and ($21::boolean is distinct from false or is_campaign is not true)
                                and ($22::bigint[] is null or error_code = range_error_code)
                                and (not $10 or external_id is null or not exists (
                                    select
                                    from broadcast_log as log
                                    where log.whatsapp_message_id = message.external_id
                                        and log.organization = message.organization
                                ) and not exists (
                                    -- Messages with one id at the channel are one delivery, listed
                                    -- as the most advanced of them, whose status is that of all.
                                    select
                                    from message_channel_id as link
                                    join message as other using (organization, message_id)
                                    where link.hash = hashtextextended(message.external_id, 0)
                                        and other.external_id = message.external_id
                                        and other.organization = message.organization
                                        and ($6 is null or other.sender_kind = any($6))
                                        and (status_rank(other.status), message.message_id)
                                            > (status_rank(message.status), other.message_id)
                                ))
                                and ($11::timestamptz is null or at >= $11)
                                and ($12::timestamptz is null or at < $12)
                                and ($13::timestamptz is null or at "# + $cmp + r#"= $13
                                    and (at, message_id, organization) "# + $cmp + r#"
                                        ($13, $14, organization_number($15)))
                            order by "# + $order + r#"
                            limit $16
                        ) as near
                        order by "# + $order + r#"
                        limit $17
                    "#,
                    &self.organizations(),
                    room_ids as _,
                    filter.is_of_customer,
                    filter.r#type.as_deref(),
                    filter.status.as_deref(),
                    filter.authors as _,
                    filter.external_id.as_deref(),
                    words.as_deref(),
                    patterns.as_deref() as _,
                    filter.is_without_log,
                    filter.since as _,
                    filter.until as _,
                    from.map(|place| place.at) as _,
                    from.map(|place| place.message_id.as_str()),
                    from.map(|place| place.organization_id.as_str()),
                    share,
                    limit,
                    filter.channel.as_deref(),
                    filter.sender_id.as_deref(),
                    filter.broadcast_id.as_deref(),
                    filter.is_campaign,
                    error_codes as _,
                )
                .fetch_all(db)
                .await
            };
        }
        if *backward {
            page!(">", "at, message_id, organization")
        } else {
            page!("<", "at desc, message_id desc, organization desc")
        }
    }
}
