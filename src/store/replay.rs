//! Table `replay`: replays of many events, with their progress. A replica that works on one moves
//! `worked_at`; if it does not for a minute, another one goes on after the last complete page.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use super::event::Selection;
use crate::event::{Kind, Outcome};
use crate::model::{EventId, Timestamp};

/// Time without progress after which another replica takes over.
pub const TAKE_OVER: Duration = Duration::from_secs(60);

/// A replay of many events.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Replay)]
pub struct ReplayRow {
    /// Id of the replay.
    pub replay_id: Uuid,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// `running` (or waiting for a replica), `done`, `canceled` or `failed`.
    pub state: String,
    /// Events that are replayed were received at this time or later; null for any.
    pub from_at: Option<Timestamp>,
    /// Events that are replayed were received before this time.
    pub to_at: Timestamp,
    /// Kind of the events; null for any.
    pub kind: Option<String>,
    /// Outcome of the events; null for any.
    pub outcome: Option<String>,
    /// Events replayed so far, in complete pages.
    pub events: i64,
    /// Those of them that got another outcome.
    pub changed: i64,
    /// Why it failed; null if it did not.
    pub error: Option<String>,
    /// Last change.
    pub updated_at: Timestamp,
}

/// Inserts a replay. A selection by ids is not stored.
pub async fn insert(
    db: impl PgExecutor<'_>,
    key_name: &str,
    selection: &Selection,
    to: Timestamp,
) -> sqlx::Result<ReplayRow> {
    sqlx::query_as!(
        ReplayRow,
        r#"
            insert into replay (
                replay_id, key_name, organizations, from_at, to_at, kind, outcome
            )
            values ($1, $2, $3, $4, $5, $6, $7)
            returning
                replay_id, created_at, state, from_at, to_at, kind::text, outcome::text, events,
                changed, error, updated_at
        "#,
        Uuid::now_v7(),
        key_name,
        selection.organizations.as_deref(),
        selection.from as _,
        to as _,
        selection.kind as _,
        selection.outcome as _,
    )
    .fetch_one(db)
    .await
}

/// Finds a replay. A key that may not see all organisations finds those of its own organisations only.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    replay_id: Uuid,
) -> sqlx::Result<Option<ReplayRow>> {
    sqlx::query_as!(
        ReplayRow,
        r#"
            select
                replay_id, created_at, state, from_at, to_at, kind::text, outcome::text, events,
                changed, error, updated_at
            from replay
            where replay_id = $1
                and ($2::text[] is null or coalesce(organizations <@ $2, false))
        "#,
        replay_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// Cancels a replay that runs. The page that is being replayed is completed.
pub async fn cancel(db: impl PgExecutor<'_>, replay_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            update replay
            set state = 'canceled', updated_at = now()
            where replay_id = $1 and state = 'running'
        "#,
        replay_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A replay to work on.
#[derive(Debug)]
pub struct Task {
    /// Its id.
    pub replay_id: Uuid,
    /// Its events.
    pub selection: Selection,
    /// Where it goes on.
    pub after: Option<EventId>,
}

/// Takes the oldest replay on which no replica works.
pub async fn take(db: impl PgExecutor<'_>) -> sqlx::Result<Option<Task>> {
    let row = sqlx::query!(
        r#"
            update replay
            set worked_at = now()
            where replay_id = (
                select replay_id
                from replay
                where state = 'running'
                    and coalesce(worked_at < now() - make_interval(secs => $1), true)
                order by created_at
                limit 1
                for update skip locked
            )
            returning
                replay_id, organizations, from_at as "from_at: Timestamp",
                to_at as "to_at: Timestamp", kind as "kind: Kind",
                outcome as "outcome: Outcome", after_id
        "#,
        TAKE_OVER.as_secs_f64(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Task {
        replay_id: row.replay_id,
        selection: Selection {
            ids: Vec::new(),
            organizations: row.organizations,
            from: row.from_at,
            to: Some(row.to_at),
            kind: row.kind,
            outcome: row.outcome,
        },
        after: row.after_id.map(EventId),
    }))
}

/// Stores the progress of a complete page. `false` if the replay was canceled.
pub async fn advance(
    db: impl PgExecutor<'_>,
    replay_id: Uuid,
    after: EventId,
    events: i64,
    changed: i64,
) -> sqlx::Result<bool> {
    let advanced = sqlx::query!(
        r#"
            update replay
            set after_id = $2, events = events + $3, changed = changed + $4, updated_at = now(),
                worked_at = now()
            where replay_id = $1
            returning state = 'running' as "is_running!"
        "#,
        replay_id,
        after.0,
        events,
        changed,
    )
    .fetch_optional(db)
    .await?;
    Ok(advanced.is_some_and(|row| row.is_running))
}

/// Ends a replay that still runs: done, or failed with an error.
pub async fn finish(
    db: impl PgExecutor<'_>,
    replay_id: Uuid,
    error: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            update replay
            set state = case when $2::text is null then 'done' else 'failed' end, error = $2,
                updated_at = now()
            where replay_id = $1 and state = 'running'
        "#,
        replay_id,
        error,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets another replica go on at once.
pub async fn release(db: impl PgExecutor<'_>, replay_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("update replay set worked_at = null where replay_id = $1", replay_id)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes replays that ended 30 days ago.
pub async fn delete_expired(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from replay where state <> 'running' and updated_at < now() - interval '30 days'"
    )
    .execute(db)
    .await?;
    Ok(())
}
