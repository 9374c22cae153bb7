//! Table `event_alias`: ids answered for spooled deliveries that turned out to be duplicates.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::model::{EventId, Timestamp};
use crate::store::rows::column;

/// Inserts pairs of an answered id and the id in the journal. Pairs that exist are left alone.
pub async fn insert(db: impl PgExecutor<'_>, aliases: &[(EventId, EventId)]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
            insert into event_alias (event_id, stored_event_id)
            select * from unnest($1::uuid[], $2::uuid[])
            on conflict do nothing
        "#,
        &column(aliases, |(answered, _)| answered.0),
        &column(aliases, |(_, stored)| stored.0),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Finds the id in the journal for an answered id.
pub async fn find(db: impl PgExecutor<'_>, answered: EventId) -> sqlx::Result<Option<EventId>> {
    let found = sqlx::query_scalar!(
        "select stored_event_id from event_alias where event_id = $1",
        answered.0
    );
    let found: Option<Uuid> = found.fetch_optional(db).await?;
    Ok(found.map(EventId))
}

/// Deletes the ids of deliveries received before this time.
pub async fn delete_before(db: impl PgExecutor<'_>, time: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("delete from event_alias where event_id < $1", EventId::first(time).0)
        .execute(db)
        .await?;
    Ok(())
}
