//! Webhooks of table `event`, as they are replayed.

use std::sync::Arc;

use chrono::NaiveDate;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::body;
use crate::event::{Kind, Outcome, Webhook};
use crate::model::{EventId, Timestamp};
use crate::store::connect::snapshot;

/// Events to replay; `None` and empty mean any.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Any of these.
    pub ids: Vec<Uuid>,
    /// Any of these; `None` means any.
    pub organizations: Option<Vec<String>>,
    /// Received at this time or later.
    pub from: Option<Timestamp>,
    /// Received before this time.
    pub to: Option<Timestamp>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
}

impl Selection {
    /// The partitions to read: the first and the last day.
    fn days(&self) -> (Option<NaiveDate>, Option<NaiveDate>) {
        let days = self.ids.iter().filter_map(|id| Some(EventId(*id).received_at()?.day()));
        let first = days.clone().min().max(self.from.map(Timestamp::day));
        (first, days.max().or(self.to.map(Timestamp::day)))
    }
}

/// Counts the selected events after `after`. Fails if that takes longer than ten seconds.
pub async fn count_selected(
    db: &PgPool,
    selection: &Selection,
    after: Option<EventId>,
) -> sqlx::Result<i64> {
    let mut db = snapshot(db).await?;
    sqlx::raw_sql("set local statement_timeout = '10s'").execute(&mut *db).await?;
    let ids = (!selection.ids.is_empty()).then_some(&selection.ids[..]);
    let (first, last) = selection.days();
    sqlx::query_scalar!(
        r#"
            select count(*) as "count!"
            from event
            where ($1::date is null or day >= $1)
                and ($2::date is null or day <= $2)
                and ($3::uuid is null or (day, event_id) > ($4::date, $3))
                and ($5::uuid[] is null or event_id = any($5))
                and ($6::timestamptz is null or received_at >= $6)
                and ($7::timestamptz is null or received_at < $7)
                and ($8::event_kind is null or kind = $8)
                and ($9::event_outcome is null or outcome = $9)
                and erased_at is null
                and ($10::text[] is null or organization = any(organization_numbers($10)))
        "#,
        first,
        last,
        after.map(|id| id.0),
        after.and_then(EventId::received_at).map(Timestamp::day),
        ids,
        selection.from as _,
        selection.to as _,
        selection.kind as _,
        selection.outcome as _,
        selection.organizations.as_deref(),
    )
    .fetch_one(&mut *db)
    .await
}

/// Selects webhooks after `after`, oldest first, by the primary key.
pub async fn select(
    db: impl PgExecutor<'_>,
    selection: &Selection,
    after: Option<EventId>,
    limit: i64,
) -> sqlx::Result<Vec<Webhook>> {
    let ids = (!selection.ids.is_empty()).then_some(&selection.ids[..]);
    let (first, last) = selection.days();
    let rows = sqlx::query_as!(
        WebhookRow,
        r#"
            select
                event_id, received_at, endpoint,
                nullif(organization_id(organization), '') as organization_id, body, dictionary,
                request_id,
                coalesce(reasons[1] like 'damaged:%', false) as "is_damaged!"
            from event
            where ($1::date is null or day >= $1)
                and ($2::date is null or day <= $2)
                and ($3::uuid is null or (day, event_id) > ($4::date, $3))
                and ($5::uuid[] is null or event_id = any($5))
                and ($6::timestamptz is null or received_at >= $6)
                and ($7::timestamptz is null or received_at < $7)
                and ($8::event_kind is null or kind = $8)
                and ($9::event_outcome is null or outcome = $9)
                and erased_at is null
                and ($11::text[] is null or organization = any(organization_numbers($11)))
            order by day, event_id
            limit $10
        "#,
        first,
        last,
        after.map(|id| id.0),
        after.and_then(EventId::received_at).map(Timestamp::day),
        ids,
        selection.from as _,
        selection.to as _,
        selection.kind as _,
        selection.outcome as _,
        limit,
        selection.organizations.as_deref(),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Webhook::try_from).collect()
}

struct WebhookRow {
    event_id: Uuid,
    received_at: Timestamp,
    endpoint: String,
    organization_id: Option<String>,
    body: Vec<u8>,
    dictionary: Option<i16>,
    request_id: String,
    is_damaged: bool,
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = sqlx::Error;

    fn try_from(row: WebhookRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: EventId(row.event_id),
            received_at: row.received_at,
            endpoint: row.endpoint.into(),
            // An organisation in the body takes precedence, as at the first delivery.
            organization_id: row.organization_id.map(Arc::from),
            body: body::decompress(row.body, row.dictionary)?.into(),
            request_id: row.request_id,
            is_damaged: row.is_damaged,
        })
    }
}

/// Finds the webhook of an event.
pub async fn find_webhook_stored(
    db: &PgPool,
    organizations: Option<&[String]>,
    id: EventId,
) -> sqlx::Result<Option<Webhook>> {
    let Some(received_at) = id.received_at() else {
        return Ok(None);
    };
    let row = sqlx::query_as!(
        WebhookRow,
        r#"
            select
                event_id, received_at, endpoint,
                nullif(organization_id(organization), '') as organization_id, body, dictionary,
                request_id,
                coalesce(reasons[1] like 'damaged:%', false) as "is_damaged!"
            from event
            where day = $1
                and event_id = $2
                and ($3::text[] is null or organization = any(organization_numbers($3)))
                and erased_at is null
        "#,
        received_at.day(),
        id.0,
        organizations,
    )
    .fetch_optional(db)
    .await?;
    row.map(Webhook::try_from).transpose()
}
