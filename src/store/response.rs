//! Table `response`: answers that ended a wait of a customer, maintained by triggers.
//!
//! The definitions of a wait and of an answer are in `migrations/0008_response.sql`.

use sqlx::PgExecutor;

use crate::model::Timestamp;

/// Answers of one kind of author.
#[derive(Debug)]
pub struct Measured {
    /// `agent` or `bot`.
    pub author: String,
    /// Answers.
    pub count: i64,
    /// Rooms of these answers.
    pub rooms: i64,
    /// Median of the waits in seconds.
    pub p50_seconds: Option<f64>,
    /// 95th percentile of the waits in seconds.
    pub p95_seconds: Option<f64>,
}

/// Measures the waits that ended from `since` until `until` (exclusive), at most the latest `limit`.
pub async fn measure(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    since: Timestamp,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<Vec<Measured>> {
    sqlx::query_as!(
        Measured,
        r#"
            select
                author as "author!", count(*) as "count!",
                count(distinct (organization, room_id)) as "rooms!",
                percentile_disc(0.5) within group (order by seconds) as p50_seconds,
                percentile_disc(0.95) within group (order by seconds) as p95_seconds
            from (
                select
                    author, organization, room_id,
                    extract(epoch from at - asked_at)::float8 as seconds
                from (
                    (
                        select author, organization, room_id, at, asked_at
                        from response
                        where $1::text[] is null and at >= $2 and at < $3
                        order by at desc
                        limit $4
                    )
                    union all
                    select one.*
                    from unnest(organization_numbers($1)) as own (organization)
                    cross join lateral (
                        select author, organization, room_id, at, asked_at
                        from response
                        where response.organization = own.organization
                            and at >= $2 and at < $3
                        order by at desc
                        limit $4
                    ) as one
                    order by at desc
                    limit $4
                ) as latest
            ) as response
            group by author
        "#,
        organizations,
        since as _,
        until as _,
        limit,
    )
    .fetch_all(db)
    .await
}
