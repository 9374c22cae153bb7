//! Full-text search of messages, newest first.
//!
//! The word index has no order, and a frequent word is in millions of messages. So search first scans
//! the nearest messages one by one, and some more if many of them match: that finds frequent words.
//! Then it queries the index for one day, and for as many more days as the page should need: that
//! finds rare words in a few statements for all years.

use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};

use super::MessageKey;
use super::filter::{Filter, Place};
use super::scan::{Scan, ScannedKey};
use crate::model::Timestamp;
use crate::store::connect::snapshot;
use crate::store::search::{Query, day};
use crate::store::walk::Walk;

/// Messages scanned one by one; a few µs each.
const SCAN_ROWS: i64 = 500;

/// The scan may continue for this many times the distance that it has covered.
const MAX_TIMES: f64 = 5.0;

/// The scan may continue for this long. Where messages are less dense, a day of the index is cheap.
const MAX_FURTHER: TimeDelta = TimeDelta::hours(1);

/// Maximum number of days in one query of the word index.
const MAX_DAYS: i64 = 1024;

/// Lists messages with these words, in the order of [`list`](super::list()).
pub async fn search(
    db: &PgPool,
    organizations: Option<&[String]>,
    query: &Query,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<MessageKey>> {
    let (backward, limit) = (walk.backward, walk.rows);
    let mut db = snapshot(db).await?;
    let from = walk.from.as_ref();
    let mut scan = Scan::new(&mut db, organizations, filter, from, backward).await?;
    // A room or an external id has an index of its own, which finds few messages.
    let is_narrow = filter.room_ids.is_some() || filter.external_id.is_some();
    let mut scanned = Vec::new();
    if !is_narrow {
        scan.filter = Filter { since: filter.since, until: filter.until, ..Filter::default() };
        scanned = scan.nearest(&mut db, SCAN_ROWS).await?;
        scan.filter = filter.clone();
    } else if filter.external_id.is_none() {
        // The planner expects hardly any match. It would read and sort the whole room instead of
        // walking the index of time.
        sqlx::raw_sql("set local enable_bitmapscan = off; set local enable_sort = off")
            .execute(&mut *db)
            .await?;
    }
    // Up to here messages are scanned; `None` if all of them were.
    let mut edge = scanned.get(SCAN_ROWS as usize - 1).map(|row| row.at);
    if let Some(edge) = edge {
        scan.stop_at(edge);
    }
    let mut found = scan.fetch(&mut db, limit, limit).await?;
    if let Some(known) = edge
        && let Some(further) = further(&scanned, known, found.len(), limit)
    {
        scan.filter = filter.clone();
        scan.start_beyond(known);
        scan.stop_at(further);
        let rest = limit - found.len() as i64;
        found.extend(scan.fetch(&mut db, rest, rest).await?);
        edge = Some(further);
    }
    let mut found: Vec<MessageKey> = found.into_iter().map(ScannedKey::into_key).collect();
    let Some(edge) = edge.filter(|_| (found.len() as i64) < limit) else { return Ok(found) };
    let numbers = scan.organizations();
    let Some((oldest, newest)) = span(&mut db, &numbers).await? else { return Ok(found) };
    // They only save work, and the size of a text query is limited.
    let few = organizations.map(|_| numbers.as_slice()).filter(|few| few.len() <= 8);
    let first = day(filter.since.map_or(oldest, |since| since.max(oldest)));
    let last = day(filter.until.map_or(newest, |until| until.min(newest)));
    let (mut next, mut days) = (day(edge), 1);
    while (found.len() as i64) < limit && (first..=last).contains(&next) {
        let window = if backward {
            next..=(next + days - 1).min(last)
        } else {
            (next - days + 1).max(first)..=next
        };
        next = if backward { next + days } else { next - days };
        let words = query.message_tsquery(window, few);
        let rest = Walk { from: Some(edge), backward, rows: limit - found.len() as i64 };
        let more = fetch(&mut db, organizations, &words, filter, &rest).await?;
        // Every match of these days is read, so take no more days than the page should need.
        let needed = match more.len() as i64 {
            0 => MAX_DAYS,
            count => (rest.rows - count) * days / count + 1,
        };
        days = needed.min(4 * days).min(MAX_DAYS);
        found.extend(more);
    }
    Ok(found)
}

/// Computes how far to continue the scan beyond the edge, if that should complete the page: so many
/// of the scanned messages match that a day of the word index holds far more than the page needs.
fn further(scanned: &[ScannedKey], edge: Timestamp, found: usize, limit: i64) -> Option<Timestamp> {
    let (found, missing) = (found as f64, limit as f64 - found as f64);
    // With a margin of three standard deviations, because matches are not evenly spread.
    let times = (missing + 3.0 * missing.max(0.0).sqrt()) / found;
    if missing <= 0.0 || times > MAX_TIMES {
        return None;
    }
    let covered = (edge.0 - scanned.first()?.at.0).num_microseconds()?;
    let more = TimeDelta::microseconds((covered as f64 * times) as i64);
    (more.abs() <= MAX_FURTHER).then(|| Timestamp(edge.0 + more))
}

/// Finds the times of the oldest and the newest message of these organisations (by number).
async fn span(
    db: &mut PgConnection,
    organizations: &[i32],
) -> sqlx::Result<Option<(Timestamp, Timestamp)>> {
    let span = sqlx::query!(
        r#"
            select min(oldest.at) as "oldest: Timestamp", max(newest.at) as "newest: Timestamp"
            from unnest($1::int[]) as own
            cross join lateral (
                select at from message where organization = own order by at limit 1
            ) as oldest
            cross join lateral (
                select at from message where organization = own order by at desc limit 1
            ) as newest
        "#,
        organizations,
    )
    .fetch_one(db)
    .await?;
    Ok(span.oldest.zip(span.newest))
}

/// Fetches matches beyond the edge by index `message_by_word`. All matches of the query's days are
/// read and sorted: an expression over `at` keeps the planner from the indexes of time.
async fn fetch(
    db: &mut PgConnection,
    organizations: Option<&[String]>,
    words: &str,
    filter: &Filter,
    walk: &Walk<Timestamp>,
) -> sqlx::Result<Vec<MessageKey>> {
    macro_rules! page {
        ($cmp:tt, $order:tt) => {
            sqlx::query_as!(
                MessageKey,
                r#"
                    select
                        (
                            select organization_id from organization where number = message.organization
                        ) as "organization_id!",
                        message_id
                    from message
                    where message_words(organization, at, text, file, buttons, raw_message)
                            @@ ($1::text)::tsquery
                        and ($2::text[] is null or organization = any(organization_numbers($2)))
                        and ($3::text[] is null or type = any($3))
                        and ($4::text[] is null or status = any($4))
                        and ($5::text[] is null or sender_kind = any($5))
                        and ($6::timestamptz is null or at + interval '0' >= $6)
                        and ($7::timestamptz is null or at + interval '0' < $7)
                        and ($10::text[] is null or channel = any($10))
                        and ($11::text is null or sender_id = $11)
                        and ($12::text is null or broadcast_id = $12)
                        and ($13::boolean is null or (is_campaign is true) = $13)
                        and at + interval '0' "#
                    + $cmp
                    + r#" $8
                    order by "#
                    + $order
                    + r#"
                    limit $9
                "#,
                words,
                organizations,
                filter.r#type.as_deref(),
                filter.status.as_deref(),
                filter.authors as _,
                filter.since as _,
                filter.until as _,
                walk.from as _,
                walk.rows,
                filter.channel.as_deref(),
                filter.sender_id.as_deref(),
                filter.broadcast_id.as_deref(),
                filter.is_campaign,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward {
        page!(">", "at, message_id, organization")
    } else {
        page!("<", "at desc, message_id desc, organization desc")
    }
}
