//! Queries of table `event`, the journal.
//!
//! Every query names the days it reads, if it can, because a day is a partition.

use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::body;
use crate::event::{Kind, Outcome};
use crate::model::{EventId, Timestamp};
use crate::store::walk::Walk;

/// An event without its body.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub struct EventRow {
    /// UUIDv7; its time is `received_at` in milliseconds.
    pub event_id: Uuid,
    /// Time at which the webhook was authenticated.
    pub received_at: Timestamp,
    /// Name of the endpoint whose token was used.
    pub endpoint: String,
    /// Kind of the event: `receive_message_from_customer`, …, `room_updated`, `unknown`. Null if it
    /// could not be identified.
    #[schema(value_type = Option<Kind>)]
    pub kind: Option<String>,
    /// Event name as sent by Qontak; null if the body has none.
    pub name: Option<String>,
    /// Organisation of the body, or else of the endpoint; null if neither names one.
    pub organization_id: Option<String>,
    /// Id of the message, room, broadcast log, template or user that the event is about.
    pub subject_id: Option<String>,
    /// `applied`: changed rooms, messages or broadcasts. `recorded`: stored in the journal only.
    /// `quarantined`: JSON that could not be identified. `malformed`: not JSON.
    #[schema(value_type = Outcome)]
    pub outcome: String,
    /// Why the event is quarantined or malformed, and each field that could not be used, with the
    /// expected value.
    pub reasons: Vec<String>,
    /// Number of deliveries of the same bytes on that day, from 1.
    pub deliveries: i32,
    /// Size of the body in bytes.
    pub body_bytes: i32,
    /// Version of the parser that set kind, outcome and reasons.
    pub parser_version: i16,
    /// `x-request-id` of the request, as in the logs.
    pub request_id: String,
}

/// Filters of the list; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these `event.kind`.
    pub kind: Option<Vec<Kind>>,
    /// Any of these names, in lower case.
    pub name: Option<Vec<String>>,
    /// Any of these `event.outcome`.
    pub outcome: Option<Vec<Outcome>>,
    /// `event.subject_id`.
    pub subject_id: Option<String>,
    /// Whether there are reasons.
    pub has_reasons: Option<bool>,
    /// `event.endpoint`.
    pub endpoint: Option<String>,
    /// `event.request_id`; has no index.
    pub request_id: Option<String>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// Kinds whose name is one of those looked for; `None` if there are none.
    fn kinds_with_name(&self) -> Option<Vec<Kind>> {
        let names = self.name.iter().flatten();
        let kinds: Vec<Kind> = names.filter_map(|name| Kind::from_name(name)).collect();
        (!kinds.is_empty()).then_some(kinds)
    }

    /// Kinds looked for, by themselves or by their names: an event with the name of a kind is of this
    /// kind, so the index of kinds finds it.
    fn kinds(&self, with_name: Option<&[Kind]>) -> Option<Vec<Kind>> {
        let has_all = |kinds: &&[Kind]| kinds.len() == self.name.as_ref().map_or(0, Vec::len);
        match (&self.kind, with_name.filter(has_all)) {
            (Some(kinds), Some(named)) => {
                Some(kinds.iter().filter(|kind| named.contains(kind)).copied().collect())
            }
            (kinds, named) => kinds.clone().or_else(|| named.map(<[Kind]>::to_vec)),
        }
    }
}

/// Place of an event in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Contains the time of receipt, and so the day.
    pub event_id: EventId,
}

impl EventRow {
    /// Place in the list.
    pub const fn place(&self) -> Place {
        Place { event_id: EventId(self.event_id) }
    }
}

/// Lists events, newest first, by the primary key; filters use `event_by_organization`,
/// `event_by_kind`, `event_by_name`, `event_by_outcome`, `event_by_subject` and
/// `event_with_reasons`. `organizations` of `None` means all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<EventRow>> {
    // An id contains the time of receipt, so ids bound the period as well as the page.
    let mut first = filter.since.map(EventId::first);
    let mut end = filter.until.map(EventId::first);
    if let Some(Place { event_id }) = walk.from {
        if walk.backward {
            first = first.max(Some(event_id.next_id()));
        } else {
            end = Some(end.map_or(event_id, |end| end.min(event_id)));
        }
    }
    let day = |id: Option<EventId>| id.and_then(EventId::received_at).map(Timestamp::day);
    let named_kinds = filter.kinds_with_name();
    let kinds = filter.kinds(named_kinds.as_deref());
    macro_rules! page {
        ($order:tt) => {
            sqlx::query_as!(
                EventRow,
                r#"
                    select
                        event_id, received_at, endpoint, kind::text, name_sent(name, kind) as name,
                        nullif(
                            (select organization_id from organization where number = event.organization), ''
                        ) as organization_id,
                        subject_id,
                        outcome::text as "outcome!", coalesce(reasons, '{}') as "reasons!",
                        deliveries, coalesce(body_bytes, length(body)) as "body_bytes!",
                        parser_version, request_id
                    from event
                    -- One value keeps the order of an index; `= any` reads and sorts all of its rows. It is
                    -- not compared twice: the planner would expect too few rows.
                    where ($1::text[] is null or cardinality($1) = 1
                            or organization = any(organization_numbers($1)))
                        and (cardinality($1) is distinct from 1
                            or organization = organization_number(($1::text[])[1]))
                        and ($2::event_kind[] is null or cardinality($2) = 1 or kind = any($2))
                        and (cardinality($2) is distinct from 1 or kind = ($2::event_kind[])[1])
                        and ($3::event_outcome[] is null or cardinality($3) = 1 or outcome = any($3))
                        and (cardinality($3) is distinct from 1
                            or outcome = ($3::event_outcome[])[1])
                        and ($4::text is null or subject_id = $4)
                        and ($5::text[] is null or name is not null and folded_name(name) = any($5)
                            or $14::event_kind[] is not null and name is null and kind = any($14))
                        and ($6::boolean is null or (reasons is not null) = $6)
                        and ($7::text is null or endpoint = $7)
                        and ($8::text is null or request_id = $8)
                        -- The day is redundant: partition pruning does not understand the row
                        -- comparison.
                        and ($10::uuid is null or day >= $9 and (day, event_id) >= ($9::date, $10))
                        and ($12::uuid is null or day <= $11 and (day, event_id) < ($11::date, $12))
                    order by "# + $order + r#"
                    limit $13
                "#,
                organizations,
                kinds.as_deref() as _,
                filter.outcome.as_deref() as _,
                filter.subject_id.as_deref(),
                filter.name.as_deref(),
                filter.has_reasons,
                filter.endpoint.as_deref(),
                filter.request_id.as_deref(),
                day(first),
                first.map(|id| id.0),
                day(end),
                end.map(|id| id.0),
                walk.rows,
                named_kinds.as_deref() as _,
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward { page!("day, event_id") } else { page!("day desc, event_id desc") }
}

/// Finds an event within these organisations; `None` for all.
pub async fn find_stored(
    db: &PgPool,
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
                event_id, received_at, endpoint, kind::text, name_sent(name, kind) as name,
                nullif(organization_id(organization), '') as organization_id, subject_id,
                outcome::text as "outcome!", coalesce(reasons, '{}') as "reasons!", deliveries,
                coalesce(body_bytes, length(body)) as "body_bytes!", parser_version, request_id
            from event
            where day = $1
                and event_id = $2
                and ($3::text[] is null or organization = any(organization_numbers($3)))
        "#,
        received_at.day(),
        id.0,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// Finds the body and the outcome of an event.
pub async fn find_body_stored(
    db: &PgPool,
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
                and ($3::text[] is null or organization = any(organization_numbers($3)))
                and erased_at is null
        "#,
        received_at.day(),
        id.0,
        organizations,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok((body::decompress(row.body, row.dictionary)?, row.outcome))).transpose()
}
