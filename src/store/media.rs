//! Tables `media` and `media_position`: files of messages that are copied into a folder or a bucket.
//!
//! Files are found by following the batches of applied events, as the stream does, so writing messages
//! costs nothing more.
//!
//! A message's hash is committed before its copy is written, so that of two messages with the same file, the
//! one that is deleted never takes the copy of the other one; and a copy that was written by a process that
//! was killed is found. No transaction that has written waits for the storage: the stream would wait too.

mod removal;

use std::collections::HashMap;
use std::time::Duration;

use chrono::NaiveDate;
use sqlx::{PgConnection, PgExecutor, PgPool};
use uuid::Uuid;

use self::removal::lock;
pub use self::removal::{discard, sweep};
use super::batch::{self, Position};
use super::message::MessageKey;
use super::rows::column;
use crate::model::{EventId, Timestamp};

/// A message whose file is to be fetched.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table media say it")]
pub struct Claim {
    pub organization_id: String,
    pub message_id: String,
    pub attempts: i32,
    /// Hash of the copy that an earlier attempt may have written.
    pub sha256: Option<String>,
    /// Link of the file; `None` if the message has none any more.
    pub url: Option<String>,
}

/// A copy.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns of table media say it")]
pub struct Copy {
    pub sha256: String,
    pub content_type: String,
    pub bytes: i64,
}

/// A file as it is served.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table media say it")]
pub struct MediaRow {
    pub state: String,
    pub error: Option<String>,
    pub sha256: Option<String>,
    pub content_type: Option<String>,
    pub bytes: Option<i64>,
    /// Name of the file according to the message.
    pub filename: Option<String>,
}

/// Searches the next applied events for files. `false` if there are none, or another replica searches.
pub async fn search(db: &PgPool) -> sqlx::Result<bool> {
    let mut transaction = db.begin().await?;
    let locked = sqlx::query_scalar!("select position from media_position for update skip locked")
        .fetch_optional(&mut *transaction)
        .await?;
    let position = locked.as_deref().and_then(|text| text.parse::<Position>().ok());
    let next = match position {
        Some(position) => batch::ids(db, position).await?,
        None => None,
    };
    let end = match &next {
        // Not moved without events: that would be a transaction every time.
        Some(next) if next.ids.is_empty() => return Ok(false),
        Some(next) => {
            insert(&mut transaction, &next.ids).await?;
            next.end
        }
        // For the first time, or on another server than before: from now on.
        None => batch::end(db).await?,
    };
    sqlx::query!(
        r#"
            insert into media_position (position) values ($1)
            on conflict (is_only) do update set position = excluded.position where $2
        "#,
        end.to_string(),
        locked.is_some(),
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(next.is_some())
}

/// Notes the messages of these events that have files.
async fn insert(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<()> {
    let day = |id: &Uuid| EventId(*id).received_at().map(Timestamp::day).unwrap_or_default();
    let days: Vec<NaiveDate> = column(ids, day);
    let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else { return Ok(()) };
    sqlx::query!(
        r#"
            with found as (
                select distinct organization_id(message.organization) as organization_id, message.message_id
                from unnest($1::date[], $2::uuid[]) as source (day, event_id)
                -- `limit 1` forces index lookups; else the planner may scan a small day.
                cross join lateral (
                    select kind, subject_id, organization
                    from event
                    where event.day = source.day
                        and event.event_id = source.event_id
                        -- Lets the planner exclude partitions.
                        and event.day between $3 and $4
                    limit 1
                ) as event
                cross join lateral (
                    select message_id, organization, file
                    from message
                    where message.message_id = event.subject_id
                        and message.organization = event.organization
                    limit 1
                ) as message
                where kind in (
                        'receive_message_from_customer', 'receive_message_from_agent', 'status_message'
                    )
                    and message.file ->> 'url' <> ''
            ), claimed as (
                -- Merged into the message of its organisation, which is fetched anew.
                update media
                set state = 'deleted'
                from found
                where media.message_id = found.message_id
                    and media.organization_id = ''
                    and found.organization_id <> ''
            )
            insert into media (organization_id, message_id)
            select organization_id, message_id from found
            order by message_id, organization_id
            on conflict do nothing
        "#,
        &days,
        ids,
        first,
        last,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes up to `limit` files that are due. Another replica takes them over after `time`.
pub async fn claim(
    db: impl PgExecutor<'_>,
    limit: i64,
    time: Duration,
) -> sqlx::Result<Vec<Claim>> {
    sqlx::query_as!(
        Claim,
        r#"
            with due as materialized (
                select message_id, organization_id
                from media
                where state = 'waiting' and next_attempt_at <= now()
                order by next_attempt_at
                limit $1
                for update skip locked
            )
            update media
            set attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => $2)
            from due
            where media.message_id = due.message_id
                and media.organization_id = due.organization_id
            returning
                media.organization_id, media.message_id, media.attempts, media.sha256,
                (
                    select file ->> 'url'
                    from message
                    where message.message_id = media.message_id
                        and message.organization = organization_number(media.organization_id)
                ) as url
        "#,
        limit,
        time.as_secs_f64(),
    )
    .fetch_all(db)
    .await
}

/// Notes that an attempt failed. It is repeated after `pause`; without one it is given up.
pub async fn fail(
    db: impl PgExecutor<'_>,
    claim: &Claim,
    error: &str,
    attempts: i32,
    pause: Option<Duration>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            update media
            set state = case when $5::float8 is null then 'failed' else 'waiting' end,
                next_attempt_at = now() + make_interval(secs => coalesce($5, 0)),
                error = $3, attempts = $4
            where message_id = $1 and organization_id = $2 and state = 'waiting'
        "#,
        claim.message_id,
        claim.organization_id,
        error,
        attempts,
        pause.map(|pause| pause.as_secs_f64()),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that the message has no file any more.
pub async fn forget(db: impl PgExecutor<'_>, claim: &Claim) -> sqlx::Result<()> {
    sqlx::query!(
        "update media set state = 'deleted' where message_id = $1 and organization_id = $2",
        claim.message_id,
        claim.organization_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes the hash of the copy that is to be written: from now on [`sweep`] leaves it alone. `false` if the
/// message was deleted meanwhile.
pub async fn reserve(db: &PgPool, claim: &Claim, sha256: &str) -> sqlx::Result<bool> {
    let mut transaction = db.begin().await?;
    lock(&mut *transaction, sha256).await?;
    let updated = sqlx::query!(
        r#"
            update media
            set sha256 = $3
            where message_id = $1 and organization_id = $2 and state = 'waiting'
        "#,
        claim.message_id,
        claim.organization_id,
        sha256,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(updated.rows_affected() == 1)
}

/// Notes that the copy is written. `false` if the message was deleted meanwhile: the copy is removed with its
/// row.
pub async fn store(db: impl PgExecutor<'_>, claim: &Claim, copy: &Copy) -> sqlx::Result<bool> {
    let state = sqlx::query_scalar!(
        r#"
            update media
            set state = case state when 'waiting' then 'stored' else state end,
                sha256 = $3, content_type = $4, bytes = $5, stored_at = now(), error = null,
                next_attempt_at = now()
            where message_id = $1 and organization_id = $2 and state in ('waiting', 'deleted')
            returning state
        "#,
        claim.message_id,
        claim.organization_id,
        copy.sha256,
        copy.content_type,
        copy.bytes,
    )
    .fetch_optional(db)
    .await?;
    Ok(state.is_some_and(|state| state == "stored"))
}

/// Marks the copies of an organisation for removal. Returns their number.
pub async fn delete_of_organization(
    db: impl PgExecutor<'_>,
    organization_id: &str,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "update media set state = 'deleted' where organization_id = $1 and state <> 'deleted'",
        organization_id,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// Number of files that wait, up to 10,000.
pub async fn waiting(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
            select count(*) as "count!"
            from (select from media where state = 'waiting' limit 10000) as waiting
        "#
    )
    .fetch_one(db)
    .await
}

/// The copies of the files of these messages; those without one are omitted.
pub async fn copies(
    db: impl PgExecutor<'_>,
    messages: &[MessageKey],
) -> sqlx::Result<HashMap<MessageKey, Copy>> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    let copies = sqlx::query!(
        r#"
            select
                organization_id as "organization_id!", message_id as "message_id!", sha256 as "sha256!", content_type as "content_type!",
                bytes as "bytes!"
            from unnest($1::text[], $2::text[]) as key (message_id, organization_id)
            join media using (message_id, organization_id)
            where state = 'stored'
        "#,
        &column(messages, |key| key.message_id.as_str()) as _,
        &column(messages, |key| key.organization_id.as_str()) as _,
    )
    .fetch_all(db)
    .await?;
    let copies = copies.into_iter().map(|row| {
        let key = MessageKey { organization_id: row.organization_id, message_id: row.message_id };
        (key, Copy { sha256: row.sha256, content_type: row.content_type, bytes: row.bytes })
    });
    Ok(copies.collect())
}

/// The file of a message; `None` if it has none.
pub async fn find(db: impl PgExecutor<'_>, message: &MessageKey) -> sqlx::Result<Option<MediaRow>> {
    sqlx::query_as!(
        MediaRow,
        r#"
            select
                coalesce(media.state, 'unknown') as "state!", media.error as "error?",
                media.sha256 as "sha256?", media.content_type as "content_type?",
                media.bytes as "bytes?", message.file ->> 'filename' as filename
            from message
            left join media
                on media.message_id = message.message_id and media.organization_id = $2
            where message.message_id = $1
                and message.organization = organization_number($2)
                and message.file ->> 'url' <> ''
        "#,
        message.message_id,
        message.organization_id,
    )
    .fetch_optional(db)
    .await
}
