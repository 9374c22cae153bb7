//! Aggregates for the delivery funnel of one broadcast.
//!
//! The grouping reads the index `broadcast_log_funnel` only; a column outside it would read the
//! row of every recipient.

use sqlx::PgExecutor;

/// Recipients of a broadcast with equal values in one grouping; fields of the other groupings are
/// `None`.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table broadcast_log say it")]
pub struct Group {
    /// Grouping: `status` (all fields that are no times), `delivery_seconds`, `read_seconds`, or `hours` (all
    /// hours).
    pub of: String,
    pub status: Option<String>,
    pub error_code: Option<i64>,
    pub billable: Option<bool>,
    pub pricing_category: Option<String>,
    pub delivery_seconds: Option<i32>,
    pub read_seconds: Option<i32>,
    pub sent_hour: Option<i16>,
    pub delivered_hour: Option<i16>,
    pub read_hour: Option<i16>,
    pub failed_hour: Option<i16>,
    /// Number of recipients.
    pub count: i64,
}

/// Groups the recipients of a broadcast four times: by status, by seconds to delivery, by seconds to read, and
/// by the hours at which they reached each status.
pub async fn groups(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    broadcast_id: &str,
) -> sqlx::Result<Vec<Group>> {
    sqlx::query_as!(
        Group,
        r#"
            select
                case
                    when grouping(status) = 0 then 'status'
                    when grouping(delivery_seconds) = 0 then 'delivery_seconds'
                    when grouping(read_seconds) = 0 then 'read_seconds'
                    else 'hours'
                end as "of!",
                status, error_code, billable, pricing_category, delivery_seconds, read_seconds,
                sent_hour, delivered_hour, read_hour, failed_hour,
                sum(count)::bigint as "count!"
            -- First grouped in index order, hence by `statuses`, without hashing: this halves the
            -- time.
            from (
                select
                    status, error_code, statuses, billable, pricing_category, delivery_seconds,
                    read_seconds, sent_hour, delivered_hour, read_hour, failed_hour,
                    count(*) as count
                from broadcast_log
                where organization = organization_number($1) and broadcast_id = $2
                group by
                    status, error_code, statuses, billable, pricing_category, delivery_seconds,
                    read_seconds, sent_hour, delivered_hour, read_hour, failed_hour
            ) as alike
            group by grouping sets (
                (status, error_code, billable, pricing_category),
                (delivery_seconds),
                (read_seconds),
                -- Together: they have few combinations, and each grouping takes time per recipient.
                (sent_hour, delivered_hour, read_hour, failed_hour)
            )
        "#,
        organization_id,
        broadcast_id,
    )
    .fetch_all(db)
    .await
}

/// Example of a WhatsApp error: texts of one of the recipients that failed with it.
#[derive(Debug)]
pub struct Example {
    /// WhatsApp error code; `None` for failures without a code.
    pub error_code: Option<i64>,
    /// Title, or else the message.
    pub error_title: Option<String>,
    /// Details.
    pub error_details: Option<String>,
}

/// Lists an example for each of these error codes, and one for failures without a code.
pub async fn examples(
    db: impl PgExecutor<'_>,
    organization_id: &str,
    broadcast_id: &str,
    error_codes: &[i64],
) -> sqlx::Result<Vec<Example>> {
    sqlx::query_as!(
        Example,
        r#"
            select error_code, one.error_title, one.error_details
            from unnest($3::bigint[]) as error_code
            cross join lateral (
                select coalesce(error_title, error_message) as error_title, error_details
                from broadcast_log
                where organization = organization_number($1)
                    and broadcast_id = $2
                    and status = 'failed'
                    and broadcast_log.error_code = error_code.error_code
                limit 1
            ) as one
            union all
            (
                select null, coalesce(error_title, error_message), error_details
                from broadcast_log
                where organization = organization_number($1)
                    and broadcast_id = $2
                    and status = 'failed'
                    and error_code is null
                limit 1
            )
        "#,
        organization_id,
        broadcast_id,
        error_codes,
    )
    .fetch_all(db)
    .await
}
