//! Messages that hold certain words, newest first.
//!
//! An index of words knows no order, and a frequent word is in millions of messages. So the nearest
//! messages are looked at one by one, and some more if many of them have the words: that finds
//! frequent words. Others are found by the index, a day first and then as many as the rest should
//! need, so that a rare word takes a few statements for all years.

use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};

use super::MessageKey;
use super::list::{Filter, Place, Scan, ScannedKey};
use crate::model::Timestamp;
use crate::store::connect::snapshot;
use crate::store::search::{Query, day};

/// How many messages are looked at one by one; some µs each.
const WALK: i64 = 500;

/// How many times as many as were scanned past may follow, if that should find all.
const MAX_TIMES: f64 = 5.0;

/// How far beyond them. Where they lie less densely, a day does not hold many either.
const MAX_FURTHER: TimeDelta = TimeDelta::hours(1);

/// How many days the index is asked for at once.
const MAX_DAYS: i64 = 1024;

/// Lists messages with these words as [`list`](super::list()) does.
pub async fn search(
    db: &PgPool,
    organizations: Option<&[String]>,
    query: &Query,
    filter: &Filter,
    from: Option<Place<'_>>,
    backward: bool,
    limit: i64,
) -> sqlx::Result<Vec<MessageKey>> {
    let mut db = snapshot(db).await?;
    let mut scan = Scan::new(&mut db, organizations, filter, from, backward).await?;
    // Messages of one room, or with one external id, are found without the words.
    let is_narrow = filter.room_ids.is_some() || filter.external_id.is_some();
    let mut scanned = Vec::new();
    if !is_narrow {
        scan.filter = Filter { start: filter.start, end: filter.end, ..Filter::default() };
        scanned = scan.nearest(&mut db, WALK).await?;
        scan.filter = filter.clone();
    } else if filter.external_id.is_none() {
        // Postgres thinks that hardly any message has the words. It would rather read all of the
        // room, and sort it, than walk from the newest one on.
        sqlx::raw_sql("set local enable_bitmapscan = off; set local enable_sort = off")
            .execute(&mut *db)
            .await?;
    }
    let mut edge = scanned.get(WALK as usize - 1).map(|row| row.at);
    edge.iter().for_each(|edge| scan.reach(*edge));
    let mut found = scan.fetch(&mut db, limit, limit).await?;
    if let Some(known) = edge
        && let Some(further) = further(&scanned, known, found.len(), limit)
    {
        scan.filter = filter.clone();
        scan.start_beyond(known);
        scan.reach(further);
        let rest = limit - found.len() as i64;
        found.extend(scan.fetch(&mut db, rest, rest).await?);
        edge = Some(further);
    }
    let mut found: Vec<MessageKey> = found.into_iter().map(ScannedKey::into_key).collect();
    let Some(edge) = edge.filter(|_| (found.len() as i64) < limit) else { return Ok(found) };
    let Some((oldest, newest)) = span(&mut db, &scan.hashes).await? else { return Ok(found) };
    // They only save work, and Postgres limits how much may be asked for at once.
    let hashes = organizations.map(|_| scan.hashes.as_slice()).filter(|hashes| hashes.len() <= 8);
    let first = day(filter.start.map_or(oldest, |start| start.max(oldest)));
    let last = day(filter.end.map_or(newest, |end| end.min(newest)));
    let (mut next, mut days) = (day(edge), 1);
    while (found.len() as i64) < limit && (first..=last).contains(&next) {
        let window = if backward {
            next..=(next + days - 1).min(last)
        } else {
            (next - days + 1).max(first)..=next
        };
        next = if backward { next + days } else { next - days };
        let words = query.of_messages(window, hashes);
        let rest = limit - found.len() as i64;
        let more = fetch(&mut db, organizations, &words, filter, edge, backward, rest).await?;
        // All that have the words are read, so no more days than the rest should need.
        let needed = match more.len() as i64 {
            0 => MAX_DAYS,
            count => (rest - count) * days / count + 1,
        };
        days = needed.min(4 * days).min(MAX_DAYS);
        found.extend(more);
    }
    Ok(found)
}

/// How far to go on walking beyond the edge, if that should find the rest: so many of those scanned
/// past have the words that a whole day holds far more of them than are asked for.
fn further(scanned: &[ScannedKey], edge: Timestamp, found: usize, limit: i64) -> Option<Timestamp> {
    let (found, missing) = (found as f64, limit as f64 - found as f64);
    // And a margin, as chance may bring fewer.
    let times = (missing + 3.0 * missing.max(0.0).sqrt()) / found;
    if missing <= 0.0 || times > MAX_TIMES {
        return None;
    }
    let passed = (edge.0 - scanned.first()?.at.0).num_microseconds()?;
    let more = TimeDelta::microseconds((passed as f64 * times) as i64);
    (more.abs() <= MAX_FURTHER).then(|| Timestamp(edge.0 + more))
}

/// When the oldest and the newest message of these organisations (by their hashes) were sent.
async fn span(
    db: &mut PgConnection,
    hashes: &[i32],
) -> sqlx::Result<Option<(Timestamp, Timestamp)>> {
    let span = sqlx::query!(
        r#"
            select min(oldest.at) as "oldest: Timestamp", max(newest.at) as "newest: Timestamp"
            from unnest($1::int[]) as hash
            cross join lateral (
                select at from message where hashtext(organization_id) = hash order by at limit 1
            ) as oldest
            cross join lateral (
                select at from message where hashtext(organization_id) = hash order by at desc limit 1
            ) as newest
        "#,
        hashes,
    )
    .fetch_one(db)
    .await?;
    Ok(span.oldest.zip(span.newest))
}

/// Those with these words beyond the edge. All of them are read, so nothing is to be gained from an
/// order; and `at` is worded so that no other index is.
async fn fetch(
    db: &mut PgConnection,
    organizations: Option<&[String]>,
    words: &str,
    filter: &Filter,
    edge: Timestamp,
    backward: bool,
    limit: i64,
) -> sqlx::Result<Vec<MessageKey>> {
    sqlx::query_as!(
        MessageKey,
        r#"
            select organization_id, message_id
            from message
            where message_words(organization_id, at, text) @@ ($2::text)::tsquery
                and ($1::text[] is null or organization_id = any($1))
                and ($3::text is null or type = $3)
                and ($4::text is null or status = $4)
                and ($5::text[] is null or participant_type = any($5))
                and ($6::timestamptz is null or at + interval '0' >= $6)
                and ($7::timestamptz is null or at + interval '0' < $7)
                and case when $9 then at > $8 else at < $8 end
            order by
                case when $9 then at end, case when $9 then message_id end,
                case when $9 then organization_id end,
                at desc, message_id desc, organization_id desc
            limit $10
        "#,
        organizations,
        words,
        filter.r#type.as_deref(),
        filter.status.as_deref(),
        filter.participant_types as _,
        filter.start as _,
        filter.end as _,
        edge as _,
        backward,
        limit,
    )
    .fetch_all(db)
    .await
}
