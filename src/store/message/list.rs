//! Lists of messages, newest first: across rooms, and of one room.

use sqlx::{PgExecutor, PgPool};

use super::MessageKey;
use super::count;
use super::filter::{Filter, Place, RoomPlace};
use super::scan::{Scan, ScannedKey};
use super::search::search;
use crate::model::Timestamp;
use crate::store::connect::snapshot;
use crate::store::room::RoomKey;
use crate::store::walk::Walk;

/// Lists messages across rooms, newest first. `organizations` of `None` means all.
pub async fn list(
    db: &PgPool,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<MessageKey>> {
    let mut filter = filter.clone();
    if let Some(channels) = &filter.channel {
        // A channel that is no longer used, or not yet, is far back in time.
        let Some((since, until)) = count::span(db, organizations, channels).await? else {
            return Ok(Vec::new());
        };
        filter.since = filter.since.max(Some(since));
        filter.until = Some(filter.until.map_or(until, |known| known.min(until)));
    }
    if let Some(query) = &filter.query {
        return search(db, organizations, query, &filter, walk).await;
    }
    // A scan takes several statements, and each relies on what the one before it saw.
    let mut db = snapshot(db).await?;
    let from = walk.from.as_ref();
    let mut scan = Scan::new(&mut db, organizations, &filter, from, walk.backward).await?;
    let rows = scan.nearest(&mut db, walk.rows).await?;
    Ok(rows.into_iter().map(ScannedKey::into_key).collect())
}

/// Lists the messages of a room, newest first, by index `message_by_room`.
pub async fn list_by_room(
    db: impl PgExecutor<'_>,
    room: &RoomKey,
    walk: &Walk<RoomPlace>,
) -> sqlx::Result<Vec<MessageKey>> {
    let from = walk.from.as_ref();
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
                    where organization = organization_number($1)
                        and room_id = $2
                        and ($3::timestamptz is null or (at, message_id) "#
                    + $cmp
                    + r#" ($3, $4))
                    order by "#
                    + $order
                    + r#"
                    limit $5
                "#,
                room.organization_id,
                room.room_id,
                from.map(|place| place.at) as _,
                from.map(|place| place.message_id.as_str()),
                walk.rows,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward {
        page!(">", "at, message_id")
    } else {
        page!("<", "at desc, message_id desc")
    }
}

/// Finds the place of a message in the list of its room.
pub async fn place_in_room(
    db: impl PgExecutor<'_>,
    room: &RoomKey,
    message_id: &str,
) -> sqlx::Result<Option<RoomPlace>> {
    sqlx::query_as!(
        RoomPlace,
        r#"
            select at as "at!: Timestamp", message_id
            from message
            where organization = organization_number($1) and message_id = $2 and room_id = $3
        "#,
        room.organization_id,
        message_id,
        room.room_id,
    )
    .fetch_optional(db)
    .await
}
