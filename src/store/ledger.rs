//! Table `ledger`: deliveries per hour and outcome, counted in the transaction that stores them.
//!
//! Each writer has rows of its own, so writers do not contend. `compact` merges old rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::event::{Stored, Written};
use super::walk::Walk;
use crate::event::{BACKFILL, Event, Outcome};
use crate::model::Timestamp;

/// Deliveries of a batch by outcome: negative where a replay moves an event away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table ledger say it")]
pub struct Counts {
    pub received: i64,
    pub applied: i64,
    pub recorded: i64,
    pub quarantined: i64,
    pub malformed: i64,
    pub duplicate: i64,
    /// Time of the last counted event; not set by a replay that moves an event away.
    pub last_event_at: Option<Timestamp>,
}

/// What a batch adds to a row of the ledger.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns of table ledger say it")]
pub struct LedgerChange {
    pub hour: Timestamp,
    pub organization_id: String,
    pub writer_id: Uuid,
    pub counts: Counts,
}

impl Counts {
    /// Returns the counter of an outcome; `None` means duplicates.
    const fn of(&mut self, outcome: Option<Outcome>) -> &mut i64 {
        match outcome {
            Some(Outcome::Applied) => &mut self.applied,
            Some(Outcome::Recorded) => &mut self.recorded,
            Some(Outcome::Quarantined) => &mut self.quarantined,
            Some(Outcome::Malformed) => &mut self.malformed,
            None => &mut self.duplicate,
        }
    }
}

/// Counts the events of a batch for its writer, sorted by key.
pub fn count(writer_id: Uuid, events: &[Event], stored: &[Stored]) -> Vec<LedgerChange> {
    let mut hours: BTreeMap<(i64, &str), Counts> = BTreeMap::new();
    for (event, row) in events.iter().zip(stored) {
        let hour = event.received_at().0.timestamp().div_euclid(3600);
        let mut count = |organization_id, outcome, by| {
            let counts = hours.entry((hour, organization_id)).or_default();
            counts.received += by;
            *counts.of(outcome) += by;
            // Silence of a webhook must be seen while its events are read from Qontak's API.
            if by > 0 && *event.webhook.endpoint != *BACKFILL {
                counts.last_event_at = counts.last_event_at.max(Some(event.received_at()));
            }
        };
        let organization_id = event.organization_id.as_str();
        match &row.written {
            Written::First => count(organization_id, Some(row.outcome), 1),
            Written::Duplicate => count(organization_id, None, 1),
            Written::AlreadyCommitted => {}
            Written::Replay(previous) => {
                count(&previous.organization_id, Some(previous.outcome), -1);
                count(organization_id, Some(row.outcome), 1);
            }
        }
    }
    hours.retain(|_, counts| {
        *counts != Counts { last_event_at: counts.last_event_at, ..Counts::default() }
    });
    let row = |((hour, organization_id), counts): ((i64, &str), Counts)| {
        let hour = Timestamp::from_unix(hour * 3600).unwrap_or_default();
        LedgerChange { hour, organization_id: organization_id.to_owned(), writer_id, counts }
    };
    hours.into_iter().map(row).collect()
}

/// Merges the rows of all writers for hours older than a day. Every start of the service adds new
/// writer ids, so the table would grow without bound.
pub async fn compact(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            with old as (
                delete from ledger
                where hour < now() - interval '1 day' and writer_id <> $1
                returning *
            )
            insert into ledger (
                hour, organization_id, writer_id,
                received, applied, recorded, quarantined, malformed, duplicate, last_event_at
            )
            select
                hour, organization_id, $1, sum(received), sum(applied), sum(recorded),
                sum(quarantined), sum(malformed), sum(duplicate), max(last_event_at)
            from old
            group by hour, organization_id
            on conflict (hour, organization_id, writer_id) do update set
                received    = ledger.received    + excluded.received,
                applied     = ledger.applied     + excluded.applied,
                recorded    = ledger.recorded    + excluded.recorded,
                quarantined = ledger.quarantined + excluded.quarantined,
                malformed   = ledger.malformed   + excluded.malformed,
                duplicate   = ledger.duplicate   + excluded.duplicate,
                last_event_at = greatest(ledger.last_event_at, excluded.last_event_at)
        "#,
        Uuid::nil(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Time this service received the last webhook of an organisation; `None` if it received none.
pub async fn last_webhook_at(
    db: impl PgExecutor<'_>,
    organization_id: &str,
) -> sqlx::Result<Option<Timestamp>> {
    let at = sqlx::query_scalar!(
        r#"
            select max(last_event_at) as "at: Timestamp"
            from ledger
            where organization_id = $1
                and hour = (
                    select hour
                    from ledger
                    where organization_id = $1 and last_event_at is not null
                    order by hour desc
                    limit 1
                )
        "#,
        organization_id,
    )
    .fetch_one(db)
    .await?;
    Ok(at)
}

/// Webhook deliveries of one hour by outcome.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LedgerHour)]
pub struct LedgerRow {
    /// Start of the hour (UTC) in which the deliveries were received.
    pub hour: Timestamp,
    /// All deliveries: the sum of the other counts.
    pub received: i64,
    /// First deliveries that were applied to rooms, messages or broadcasts.
    pub applied: i64,
    /// First deliveries stored in the journal only.
    pub recorded: i64,
    /// First deliveries of valid JSON that could not be identified.
    pub quarantined: i64,
    /// First deliveries of bodies that are not JSON.
    pub malformed: i64,
    /// Repeated deliveries of the same bytes, regardless of the outcome of the first.
    pub duplicate: i64,
}

/// Place of an hour in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `ledger.hour`.
    #[serde(with = "crate::model::micros")]
    pub hour: Timestamp,
}

impl LedgerRow {
    /// Place in the list.
    pub const fn place(&self) -> Place {
        Place { hour: self.hour }
    }
}

/// Filters of the list; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Hours with deliveries of any of these outcomes, or `duplicate`.
    pub outcome: Option<Vec<String>>,
    /// Hours that begin at this time or later.
    pub since: Option<Timestamp>,
    /// Hours that begin before this time.
    pub until: Option<Timestamp>,
}

/// Lists hours with deliveries, newest first, by the primary key. `organizations` of `None` means all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<LedgerRow>> {
    macro_rules! page {
        ($cmp:tt, $order:tt) => {
            sqlx::query_as!(
                LedgerRow,
                r#"
                    select
                        hour,
                        sum(received)::bigint    as "received!",
                        sum(applied)::bigint     as "applied!",
                        sum(recorded)::bigint    as "recorded!",
                        sum(quarantined)::bigint as "quarantined!",
                        sum(malformed)::bigint   as "malformed!",
                        sum(duplicate)::bigint   as "duplicate!"
                    from ledger
                    where ($1::text[] is null or organization_id = any($1))
                        and ($2::timestamptz is null or hour "#
                    + $cmp
                    + r#" $2)
                        and ($4::timestamptz is null or hour >= $4)
                        and ($5::timestamptz is null or hour < $5)
                    group by hour
                    having $6::text[] is null
                        or sum(applied) <> 0 and 'applied' = any($6)
                        or sum(recorded) <> 0 and 'recorded' = any($6)
                        or sum(quarantined) <> 0 and 'quarantined' = any($6)
                        or sum(malformed) <> 0 and 'malformed' = any($6)
                        or sum(duplicate) <> 0 and 'duplicate' = any($6)
                    order by "#
                    + $order
                    + r#"
                    limit $3
                "#,
                organizations,
                walk.from.as_ref().map(|place| place.hour) as _,
                walk.rows,
                filter.since as _,
                filter.until as _,
                filter.outcome.as_deref(),
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward { page!(">", "hour") } else { page!("<", "hour desc") }
}
