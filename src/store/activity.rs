//! Tables `activity` and `observed_hour`: events per hour, organisation, channel and kind, and when
//! somebody could receive them.

use sqlx::{PgExecutor, PgPool};

use super::rows::column;
use crate::model::Timestamp;

/// Events of one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table activity say it")]
pub struct Activity {
    pub hour: Timestamp,
    pub organization_id: String,
    pub channel: String,
    pub kind: String,
    pub count: i64,
    pub minutes: i64,
    pub last_at: Timestamp,
}

/// Events of one kind in one interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Index of the interval in the request, from 1.
    pub span: i32,
    /// `activity.kind`.
    pub kind: String,
    /// Number of events.
    pub count: i64,
}

/// The last event of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table activity say it")]
pub struct Last {
    pub organization_id: String,
    pub channel: String,
    pub kind: String,
    pub last_at: Timestamp,
}

/// Minutes of an hour in which webhooks could be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedHour {
    /// Start of the hour.
    pub hour: Timestamp,
    /// Bit n for minute n.
    pub minutes: i64,
}

/// Adds counts, sorted by key so that replicas do not deadlock, and observed minutes.
pub async fn add(db: &PgPool, counts: &[Activity], observed: &[ObservedHour]) -> sqlx::Result<()> {
    let mut transaction = db.begin().await?;
    if !counts.is_empty() {
        sqlx::query!(
            r#"
                insert into activity (
                    hour, organization_id, channel, kind, count, minutes, last_at
                )
                select hour, organization_id, channel, kind, count, minutes, last_at
                from unnest(
                    $1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::bigint[],
                    $6::bigint[], $7::timestamptz[]
                ) as new (hour, organization_id, channel, kind, count, minutes, last_at)
                on conflict (hour, organization_id, channel, kind) do update set
                    count = activity.count + excluded.count,
                    minutes = activity.minutes | excluded.minutes,
                    last_at = greatest(activity.last_at, excluded.last_at)
            "#,
            &column(counts, |row| row.hour) as _,
            &column(counts, |row| row.organization_id.clone()),
            &column(counts, |row| row.channel.clone()),
            &column(counts, |row| row.kind.clone()),
            &column(counts, |row| row.count),
            &column(counts, |row| row.minutes),
            &column(counts, |row| row.last_at) as _,
        )
        .execute(&mut *transaction)
        .await?;
    }
    sqlx::query!(
        r#"
            insert into observed_hour (hour, minutes)
            select hour, minutes
            from unnest($1::timestamptz[], $2::bigint[]) as new (hour, minutes)
            on conflict (hour) do update set minutes = observed_hour.minutes | excluded.minutes
        "#,
        &column(observed, |row| row.hour) as _,
        &column(observed, |row| row.minutes),
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Lists the events of these hours, by the primary key.
pub async fn list(db: impl PgExecutor<'_>, hours: &[Timestamp]) -> sqlx::Result<Vec<Activity>> {
    sqlx::query_as!(
        Activity,
        r#"
            select hour, organization_id, channel, kind, count, minutes, last_at
            from activity
            where hour = any($1::timestamptz[])
        "#,
        hours as _,
    )
    .fetch_all(db)
    .await
}

/// Counts events from the hour of `since` until `until` (exclusive) by kind and interval. `starts` are the
/// sorted starts of the intervals. `organizations` of `None` means all.
pub async fn count(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    starts: &[Timestamp],
    since: Timestamp,
    until: Timestamp,
) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        r#"
            select
                width_bucket(hour, $2::timestamptz[]) as "span!", kind,
                sum(count)::bigint as "count!"
            from activity
            where ($1::text[] is null or organization_id = any($1))
                and hour >= greatest(hour_of($3::timestamptz), ($2::timestamptz[])[1])
                and hour < $4::timestamptz
            group by 1, 2
            order by 1, 2
        "#,
        organizations,
        starts as _,
        since as _,
        until as _,
    )
    .fetch_all(db)
    .await
}

/// Lists the last event of each organisation and channel within a period, at most `limit` of them.
pub async fn list_last(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    since: Timestamp,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<Vec<Last>> {
    sqlx::query_as!(
        Last,
        r#"
            select distinct on (organization_id, channel) organization_id, channel, kind, last_at
            from activity
            where ($1::text[] is null or organization_id = any($1))
                and hour >= $2::timestamptz and hour < $3::timestamptz
                and channel <> ''
            order by organization_id, channel, last_at desc
            limit $4
        "#,
        organizations,
        since as _,
        until as _,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Lists the observed minutes of these hours.
pub async fn observed(
    db: impl PgExecutor<'_>,
    hours: &[Timestamp],
) -> sqlx::Result<Vec<ObservedHour>> {
    sqlx::query_as!(
        ObservedHour,
        "select hour, minutes from observed_hour where hour = any($1::timestamptz[])",
        hours as _,
    )
    .fetch_all(db)
    .await
}

/// Deletes hours before this time.
pub async fn delete_before(db: &PgPool, time: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("delete from activity where hour < $1", time as _).execute(db).await?;
    sqlx::query!("delete from observed_hour where hour < $1", time as _).execute(db).await?;
    Ok(())
}
