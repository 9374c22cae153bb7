//! Ranges of the indexes of messages.

use sqlx::PgConnection;

/// Range of an index in which messages are ordered by time.
#[derive(Clone)]
pub struct IndexRange {
    /// Number of the organisation.
    pub organization: i32,
    /// Room, if the filter names rooms.
    pub room_id: Option<String>,
    /// Error code, if the filter names codes.
    pub error_code: Option<i64>,
}

/// Finds the index ranges of these rooms, or else of these organisations, or else all of them.
pub async fn index_ranges(
    db: &mut PgConnection,
    organizations: Option<&[String]>,
    room_ids: Option<&[String]>,
) -> sqlx::Result<Vec<IndexRange>> {
    let Some(room_ids) = room_ids else {
        let numbers = sqlx::query_scalar!(
            r#"
                select number
                from organization
                where ($1::text[] is null or organization_id = any($1))
                    and exists (select from message where message.organization = number)
            "#,
            organizations,
        );
        let range = |organization| IndexRange { organization, room_id: None, error_code: None };
        return Ok(numbers.fetch_all(db).await?.into_iter().map(range).collect());
    };
    sqlx::query_as!(
        IndexRange,
        r#"
            select organization, room_id as "room_id?", null::bigint as error_code
            from room
            where room_id = any($2)
                and ($1::text[] is null or organization = any(organization_numbers($1)))
        "#,
        organizations,
        room_ids,
    )
    .fetch_all(db)
    .await
}

/// Whether the sender wrote any message as a customer, in organisations with these numbers.
pub async fn is_customer(
    db: &mut PgConnection,
    organizations: &[i32],
    sender_id: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
            select exists (
                select
                from unnest($1::int[]) as own
                cross join lateral (
                    select
                    from message
                    where organization = own
                        and hashtext(sender_id) = hashtext($2)
                        and sender_id = $2
                        and participant_type = 'customer'
                    limit 1
                ) as one
            ) as "is_customer!"
        "#,
        organizations,
        sender_id,
    )
    .fetch_one(db)
    .await
}
