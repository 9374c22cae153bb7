//! What the journal is asked.

use std::sync::Arc;

use serde::Serialize;
use sqlx::PgExecutor;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::body;
use crate::event::{Kind, Outcome, Webhook};
use crate::model::{EventId, Timestamp};

/// Which events to read again; `None` and empty mean any.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// These.
    pub ids: Vec<Uuid>,
    /// Received then or later.
    pub from: Option<Timestamp>,
    /// Received earlier.
    pub to: Option<Timestamp>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With this outcome.
    pub outcome: Option<String>,
}

/// What was received, in the order of the journal, from after `after` on.
pub async fn select(
    db: impl PgExecutor<'_>,
    selection: &Selection,
    after: Option<EventId>,
    limit: i64,
) -> sqlx::Result<Vec<Webhook>> {
    let ids = (!selection.ids.is_empty()).then_some(&selection.ids[..]);
    // Where to look, by partition.
    let days = selection.ids.iter().filter_map(|id| Some(EventId(*id).received_at()?.day()));
    let first = days.clone().min().max(selection.from.map(Timestamp::day));
    let last = days.max().or(selection.to.map(Timestamp::day));
    let rows = sqlx::query_as!(
        WebhookRow,
        r#"
            select
                event_id, received_at, endpoint,
                nullif(organization_id, '') as organization_id, body, dictionary,
                request_id
            from event
            where ($1::date is null or day >= $1)
                and ($2::date is null or day <= $2)
                and ($3::uuid is null or (day, event_id) > ($4::date, $3))
                and ($5::uuid[] is null or event_id = any($5))
                and ($6::timestamptz is null or received_at >= $6)
                and ($7::timestamptz is null or received_at < $7)
                and ($8::text is null or kind = $8)
                and ($9::text is null or outcome = $9)
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
        selection.kind,
        selection.outcome,
        limit,
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
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = sqlx::Error;

    fn try_from(row: WebhookRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: EventId(row.event_id),
            received_at: row.received_at,
            endpoint: row.endpoint.into(),
            // The body's own wins over it, as it did before.
            organization_id: row.organization_id.map(Arc::from),
            body: body::decompress(row.body, row.dictionary)?.into(),
            request_id: row.request_id,
        })
    }
}

/// An event as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventRow {
    /// A UUIDv7 whose time is `received_at`, to the millisecond.
    pub event_id: Uuid,
    /// When the request was authenticated, by our clock.
    pub received_at: Timestamp,
    /// Name of the configured endpoint whose token was used.
    pub endpoint: String,
    /// What it is: `receive_message_from_customer`, …, `room_updated`, `unknown`. Null when it
    /// could not be told.
    pub kind: Option<String>,
    /// The event's name as Qontak sent it. Null for bodies without one.
    pub name: Option<String>,
    /// Organisation of the body, else of the endpoint, else null.
    pub organization_id: Option<String>,
    /// Id of the message, room, broadcast log, template or user it is about.
    pub subject_id: Option<String>,
    /// `applied`: written to rooms, messages, broadcasts. `recorded`: changes none of them.
    /// `quarantined`: JSON that could not be identified. `malformed`: not JSON.
    pub outcome: String,
    /// Why it is quarantined or malformed, and each field that could not be used, with what was
    /// expected there.
    pub reasons: Vec<String>,
    /// How often the same bytes came in on that day: 1 and more.
    pub deliveries: i32,
    /// Size of the body in bytes.
    pub body_bytes: i32,
    /// Version of the rules that gave kind, outcome and reasons.
    pub parser_version: i16,
    /// The request's `x-request-id`, as in the logs.
    pub request_id: String,
}

/// Which events to list.
#[derive(Clone, Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only events of this kind.
    #[param(value_type = Option<Kind>, inline)]
    pub kind: Option<String>,
    /// Only events with this outcome.
    #[param(value_type = Option<Outcome>, inline)]
    pub outcome: Option<String>,
    /// Only events about this message, room, broadcast log, template or user.
    pub subject_id: Option<String>,
}

/// Lists events from `from` on, newest first; towards newer ones if `backward`, then the oldest
/// of these first. `organizations` of `None` sees all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter,
    from: Option<EventId>,
    backward: bool,
    limit: i64,
) -> sqlx::Result<Vec<EventRow>> {
    let day = from.and_then(EventId::received_at).map(Timestamp::day);
    let from = from.map(|id| id.0);
    // The two branches are one list walked both ways; only one of them is run.
    sqlx::query_as!(
        EventRow,
        r#"
            select * from (
                select
                    event_id as "event_id!", received_at as "received_at!",
                    endpoint as "endpoint!", kind, name,
                    nullif(organization_id, '') as organization_id, subject_id,
                    outcome as "outcome!", reasons as "reasons!", deliveries as "deliveries!",
                    coalesce(body_bytes, length(body)) as "body_bytes!", parser_version as "parser_version!",
                    request_id as "request_id!"
                from event
                where not $6
                    -- What the row of both says as well, but not to who chooses partitions.
                    and ($5::date is null or day <= $5)
                    and ($4::uuid is null or (day, event_id) < ($5, $4))
                    and ($1::text[] is null or organization_id = any($1))
                    and ($2::text is null or kind = $2)
                    and ($3::text is null or outcome = $3)
                    and ($8::text is null or subject_id = $8)
                order by day desc, event_id desc
                limit $7
            ) as older
            union all
            select * from (
                select
                    event_id, received_at, endpoint, kind, name,
                    nullif(organization_id, '') as organization_id, subject_id, outcome, reasons,
                    deliveries, coalesce(body_bytes, length(body)), parser_version, request_id
                from event
                where $6
                    and ($5::date is null or day >= $5)
                    and ($4::uuid is null or (day, event_id) > ($5, $4))
                    and ($1::text[] is null or organization_id = any($1))
                    and ($2::text is null or kind = $2)
                    and ($3::text is null or outcome = $3)
                    and ($8::text is null or subject_id = $8)
                order by day, event_id
                limit $7
            ) as newer
        "#,
        organizations,
        filter.kind.as_deref(),
        filter.outcome.as_deref(),
        from,
        day,
        backward,
        limit,
        filter.subject_id.as_deref(),
    )
    .fetch_all(db)
    .await
}

/// One event.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    id: EventId,
) -> sqlx::Result<Option<EventRow>> {
    let Some(received_at) = id.received_at() else {
        return Ok(None);
    };
    sqlx::query_as!(
        EventRow,
        r#"
            select
                event_id, received_at, endpoint, kind, name,
                nullif(organization_id, '') as organization_id, subject_id, outcome, reasons,
                deliveries, coalesce(body_bytes, length(body)) as "body_bytes!", parser_version, request_id
            from event
            where day = $1
                and event_id = $2
                and ($3::text[] is null or organization_id = any($3))
        "#,
        received_at.day(),
        id.0,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// The bytes of one event, and what became of it.
pub async fn find_body(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    id: EventId,
) -> sqlx::Result<Option<(Vec<u8>, Outcome)>> {
    let Some(received_at) = id.received_at() else {
        return Ok(None);
    };
    let row = sqlx::query!(
        r#"
            select body, dictionary, outcome as "outcome: Outcome"
            from event
            where day = $1
                and event_id = $2
                and ($3::text[] is null or organization_id = any($3))
        "#,
        received_at.day(),
        id.0,
        organizations,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok((body::decompress(row.body, row.dictionary)?, row.outcome))).transpose()
}

/// What was received as this event.
pub async fn find_webhook(
    db: impl PgExecutor<'_>,
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
                nullif(organization_id, '') as organization_id, body, dictionary,
                request_id
            from event
            where day = $1
                and event_id = $2
                and ($3::text[] is null or organization_id = any($3))
        "#,
        received_at.day(),
        id.0,
        organizations,
    )
    .fetch_optional(db)
    .await?;
    row.map(Webhook::try_from).transpose()
}
