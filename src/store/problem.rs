//! Table `problem`: what is wrong, since when, and what notifications have said about it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use sqlx::{PgExecutor, PgPool};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::rows::column;
use crate::model::Timestamp;

/// What is wrong.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantNames,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[schema(as = ProblemCode)]
pub enum Code {
    /// Far fewer events than usual at this hour of the week, or none.
    Silence,
    /// A webhook setting at Qontak is not as expected.
    Hook,
    /// Checks at Qontak fail.
    Check,
    /// Events are quarantined or malformed.
    Quarantine,
    /// The spool of a replica fills or its disk fails.
    Spool,
    /// The journal lacks partitions of today or tomorrow.
    Partitions,
    /// Qontak sends an event whose name this version does not know.
    UnknownEvent,
}

impl Code {
    /// Name in the table, metrics and notifications.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A problem that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of table problem say it")]
pub struct Found {
    pub code: Code,
    pub organization_id: String,
    pub subject: String,
    pub detail: String,
    pub since: Timestamp,
}

/// Key of a problem.
type Key = (String, String, String);

/// A problem that is open, or has ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemRow {
    /// What is wrong.
    #[schema(value_type = Code)]
    pub code: String,
    /// Organisation concerned; null if it concerns all.
    #[serde(serialize_with = "null_if_empty")]
    #[schema(value_type = Option<String>, required = true)]
    pub organization_id: String,
    /// What it is about: channel and kind of events (`wa_cloud status_message`; empty: all events of
    /// the organisation), an event of a webhook setting, a host, an event name.
    pub subject: String,
    /// One line with figures, as of the last check.
    pub detail: String,
    /// When it began.
    pub since: Timestamp,
    /// When it ended; null while it is open.
    pub ended_at: Option<Timestamp>,
}

fn null_if_empty<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    Some(text).filter(|text| !text.is_empty()).serialize(serializer)
}

impl ProblemRow {
    fn key(&self) -> Key {
        (self.code.clone(), self.organization_id.clone(), self.subject.clone())
    }
}

/// Which problems a check decides about.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// All problems with these codes.
    pub codes: &'a [Code],
    /// Only those of this subject; `None` for all.
    pub subject: Option<&'a str>,
}

/// Stores what a check found and ends what it did not find any more. Returns the problems that began and
/// those that ended.
pub async fn sync(db: &PgPool, scope: Scope<'_>, found: &[Found]) -> sqlx::Result<Vec<ProblemRow>> {
    let codes = column(scope.codes, |code| code.as_str().to_owned());
    let mut transaction = db.begin().await?;
    let old = sqlx::query_as!(
        ProblemRow,
        r#"
            select code, organization_id, subject, detail, since, ended_at
            from problem
            where code = any($1) and ($2::text is null or subject = $2) and ended_at is null
            for update
        "#,
        &codes,
        scope.subject,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let old: BTreeMap<Key, ProblemRow> = old.into_iter().map(|row| (row.key(), row)).collect();
    let new = sqlx::query_as!(
        ProblemRow,
        r#"
            insert into problem as known (
                code, organization_id, subject, detail, since, seen_at
            )
            select code, organization_id, subject, detail, since, clock_timestamp()
            from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
                as new (code, organization_id, subject, detail, since)
            order by code, organization_id, subject
            on conflict (code, organization_id, subject) do update set
                detail = excluded.detail,
                seen_at = excluded.seen_at,
                since = case
                    when known.ended_at is null then least(known.since, excluded.since)
                    else excluded.since
                end,
                ended_at = null
            returning code, organization_id, subject, detail, since, ended_at
        "#,
        &column(found, |row| row.code.as_str().to_owned()),
        &column(found, |row| row.organization_id.clone()),
        &column(found, |row| row.subject.clone()),
        &column(found, |row| row.detail.clone()),
        &column(found, |row| row.since) as _,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let new: BTreeMap<Key, ProblemRow> = new.into_iter().map(|row| (row.key(), row)).collect();
    let ended: Vec<&Key> = old.keys().filter(|key| !new.contains_key(*key)).collect();
    let ended = sqlx::query_as!(
        ProblemRow,
        r#"
            update problem
            set ended_at = clock_timestamp()
            where (code, organization_id, subject) in (
                select * from unnest($1::text[], $2::text[], $3::text[])
            )
            returning code, organization_id, subject, detail, since, ended_at
        "#,
        &column(&ended, |key| key.0.clone()),
        &column(&ended, |key| key.1.clone()),
        &column(&ended, |key| key.2.clone()),
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let began = new.into_iter().filter(|(key, _)| !old.contains_key(key)).map(|(_, row)| row);
    Ok(began.chain(ended).collect())
}

/// Ends the problems of a code that nobody has checked for this long: of replicas that are gone. Deletes
/// those that ended more than a day, and longer than `cool_down`, ago.
pub async fn expire(
    db: &PgPool,
    code: Code,
    age: Duration,
    cool_down: Duration,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            update problem
            set ended_at = now()
            where code = $1 and ended_at is null and seen_at < now() - make_interval(secs => $2)
        "#,
        code.as_str(),
        age.as_secs_f64(),
    )
    .execute(db)
    .await?;
    sqlx::query!(
        r#"
            delete from problem
            where ended_at < now() - greatest(interval '1 day', make_interval(secs => $1))
        "#,
        cool_down.as_secs_f64(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lists the open problems of these organisations, the latest first. `None` means all problems.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
) -> sqlx::Result<Vec<ProblemRow>> {
    sqlx::query_as!(
        ProblemRow,
        r#"
            select code, organization_id, subject, detail, since, ended_at
            from problem
            where ended_at is null and ($1::text[] is null or organization_id = any($1))
            order by since desc, code, organization_id, subject
        "#,
        organizations,
    )
    .fetch_all(db)
    .await
}

/// Lists what a notification is due about: problems that began, and those that ended after one said that
/// they began. A problem that comes back within `cool_down` is due when that is over.
pub async fn due(db: impl PgExecutor<'_>, cool_down: Duration) -> sqlx::Result<Vec<ProblemRow>> {
    sqlx::query_as!(
        ProblemRow,
        r#"
            select code, organization_id, subject, detail, since, ended_at
            from problem
            where case
                when ended_at is not null then notified is not distinct from 'begin'
                else notified is distinct from 'begin'
                    and coalesce(notified_at <= now() - make_interval(secs => $1), true)
            end
            order by since, code, organization_id, subject
            limit 100
        "#,
        cool_down.as_secs_f64(),
    )
    .fetch_all(db)
    .await
}

/// Remembers that a notification about these problems was sent.
pub async fn set_notified(db: impl PgExecutor<'_>, rows: &[ProblemRow]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            update problem
            set notified = case when told.has_ended then 'end' else 'begin' end,
                notified_at = now()
            from unnest($1::text[], $2::text[], $3::text[], $4::bool[])
                as told (code, organization_id, subject, has_ended)
            where problem.code = told.code
                and problem.organization_id = told.organization_id
                and problem.subject = told.subject
        "#,
        &column(rows, |row| row.code.clone()),
        &column(rows, |row| row.organization_id.clone()),
        &column(rows, |row| row.subject.clone()),
        &column(rows, |row| row.ended_at.is_some()),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An organisation whose events are not understood.
#[derive(Debug)]
pub struct Quarantined {
    /// Organisation; empty if unknown.
    pub organization_id: String,
    /// First of the hours.
    pub since: Timestamp,
    /// Quarantined and malformed events.
    pub count: i64,
}

/// Counts quarantined and malformed events by organisation, from the hour of this time on.
pub async fn quarantined(
    db: impl PgExecutor<'_>,
    since: Timestamp,
) -> sqlx::Result<Vec<Quarantined>> {
    sqlx::query_as!(
        Quarantined,
        r#"
            select
                organization_id, min(hour) as "since!: Timestamp",
                sum(quarantined + malformed)::bigint as "count!"
            from ledger
            where hour >= hour_of($1::timestamptz)
            group by organization_id
            having sum(quarantined + malformed) > 0
            order by organization_id
        "#,
        since as _,
    )
    .fetch_all(db)
    .await
}

/// Lists event names that ever occurred, at most 500, of organisations with events since this time.
pub async fn event_names(
    db: impl PgExecutor<'_>,
    since: Timestamp,
) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        r#"
            select facet.organization_id, facet.value
            from (select distinct organization_id from ledger where hour >= $1) as active
            join facet using (organization_id)
            where facet.name = 'event_name'
            order by facet.organization_id, facet.value
            limit 500
        "#,
        since as _,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.organization_id, row.value)).collect())
}

/// Time an organisation's first event with this name was received today or yesterday, by index
/// `event_by_name`.
pub async fn first_event_at(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    name: &str,
    since: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar!(
        r#"
            select min(received_at) as "at: Timestamp"
            from event
            where name is not null
                and folded_name(name) = folded_name($2)
                and name = $2
                and organization = organization_number($1)
                and day >= ($3::timestamptz at time zone 'UTC')::date
                and received_at >= $3
        "#,
        organization_id,
        name,
        since as _,
    )
    .fetch_one(db)
    .await
}
