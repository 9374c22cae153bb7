//! Table `room_event`: what happened to rooms.

use sqlx::PgConnection;

use super::{column, rounds};
use crate::model::RoomEvent;

/// Inserts what is not known yet. Of two reports of the same, the earlier one stays.
pub async fn insert<'a>(
    db: &mut PgConnection,
    rows: impl Iterator<Item = &'a RoomEvent>,
) -> sqlx::Result<()> {
    let key = |row: &'a RoomEvent| (&row.organization_id, &row.room_id, row.r#type, &row.mark);
    for rows in rounds(rows, key, |_, _| false) {
        sqlx::query!(
            r#"
                insert into room_event (
                    organization_id, room_id, type, mark, at, actor_id, actor_name, event_id,
                    received_at
                )
                select
                    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]),
                    unnest($4::text[]), unnest($5::timestamptz[]), unnest($6::text[]),
                    unnest($7::text[]), unnest($8::uuid[]), unnest($9::timestamptz[])
                on conflict (organization_id, room_id, type, mark) do update set
                    actor_name  = greatest(room_event.actor_name, excluded.actor_name),
                    event_id    = least(room_event.event_id, excluded.event_id),
                    received_at = least(room_event.received_at, excluded.received_at)
            "#,
            &column(&rows, |row| row.organization_id.as_str()) as _,
            &column(&rows, |row| row.room_id.as_str()) as _,
            &column(&rows, |row| row.r#type) as _,
            &column(&rows, |row| row.mark.as_str()) as _,
            &column(&rows, |row| row.at) as _,
            &column(&rows, |row| row.actor_id.as_deref()) as _,
            &column(&rows, |row| row.actor_name.as_deref()) as _,
            &column(&rows, |row| row.event_id.0),
            &column(&rows, |row| row.received_at) as _,
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
