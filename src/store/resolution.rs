//! Table `resolution`: when rooms were resolved, and which of these times count.
//!
//! Triggers derive the rest of a row from the messages of its room: see
//! `migrations/0008_response.sql`.

use std::collections::BTreeSet;

use sqlx::PgExecutor;

use crate::event::{Event, Kind};
use crate::model::{Author, Room, Timestamp};

/// A resolution as one event shows it. The order of the fields is that in which rows are locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the columns of table resolution say it")]
pub struct Resolution<'a> {
    pub organization_id: &'a str,
    pub room_id: &'a str,
    pub at: Timestamp,
    pub is_reported: bool,
    pub agent_id: &'a str,
    pub channel: Option<&'a str>,
}

impl<'a> Resolution<'a> {
    /// The resolution that a snapshot shows; `None` if the room is not resolved or no time is known.
    fn of(room: &'a Room, is_from_customer: bool) -> Option<Self> {
        if room.status.as_deref() != Some("resolved") {
            return None;
        }
        // A time of receipt is not a report: it differs between copies of an event.
        let resolved_at = room.resolved_at.filter(|at| *at != Room::NOT_RESOLVED);
        let reported_at = resolved_at.filter(|at| *at != room.received_at);
        // The copy of the room in a message of the customer may be older than the message, which
        // reopens the room. So its clock does not show that the room was resolved afterwards.
        let seen_at = || resolved_at.or(room.clock).filter(|_| !is_from_customer);
        Some(Self {
            organization_id: &room.organization_id,
            room_id: &room.room_id,
            at: reported_at.or_else(seen_at)?,
            is_reported: reported_at.is_some(),
            agent_id: room.resolved_by_id.as_deref().unwrap_or_default(),
            channel: room.channel.as_deref(),
        })
    }
}

/// The resolutions that the rooms of these events show, sorted by key.
pub fn shown<'a>(events: impl Iterator<Item = &'a Event>) -> BTreeSet<Resolution<'a>> {
    let mut rows = BTreeSet::new();
    for event in events {
        let is_message = matches!(
            event.kind,
            Some(
                Kind::ReceiveMessageFromCustomer
                    | Kind::ReceiveMessageFromAgent
                    | Kind::StatusMessage
            )
        );
        let message = event.changes.messages.first();
        let is_from_customer =
            is_message && message.is_some_and(|one| one.author_by_sender == Some(Author::Customer));
        let rooms = event.changes.rooms.iter();
        rows.extend(rooms.filter_map(|room| Resolution::of(room, is_from_customer)));
    }
    rows
}

/// A resolution that counts.
#[derive(Debug)]
pub struct Resolved {
    /// Number of the room's organisation.
    pub organization: i32,
    /// The room.
    pub room_id: String,
    /// User that resolved it; empty if unknown.
    pub agent_id: String,
    /// Time of the resolution.
    pub at: Timestamp,
    /// Resolution time; `None` if unknown.
    pub seconds: Option<f64>,
}

/// Lists the resolutions from `since` until `until` (exclusive), at most the latest `limit`.
pub async fn latest(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    since: Timestamp,
    until: Timestamp,
    limit: i64,
) -> sqlx::Result<Vec<Resolved>> {
    sqlx::query_as!(
        Resolved,
        r#"
            select
                organization as "organization!", room_id as "room_id!",
                agent_id as "agent_id!", at as "at!: Timestamp",
                extract(epoch from at - begun_at)::float8 as seconds
            from (
                (
                    select organization, room_id, agent_id, at, begun_at
                    from resolution
                    where $1::text[] is null and is_counted and at >= $2 and at < $3
                    order by at desc
                    limit $4
                )
                union all
                select one.*
                from unnest(organization_numbers($1)) as own (organization)
                cross join lateral (
                    select organization, room_id, agent_id, at, begun_at
                    from resolution
                    where resolution.organization = own.organization
                        and is_counted and at >= $2 and at < $3
                    order by at desc
                    limit $4
                ) as one
                order by at desc
                limit $4
            ) as latest
        "#,
        organizations,
        since as _,
        until as _,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Number of resolutions in one interval.
#[derive(Debug)]
pub struct Counted {
    /// Index of the interval in the request, from 1.
    pub span: i32,
    /// Resolutions.
    pub count: i64,
}

/// Counts the resolutions from `since` until `until` (exclusive) in each interval. `starts` are the
/// sorted starts of the intervals.
pub async fn count(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    starts: &[Timestamp],
    since: Timestamp,
    until: Timestamp,
) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as!(
        Counted,
        r#"
            select width_bucket(at, $2::timestamptz[]) as "span!", count(*) as "count!"
            from resolution
            where ($1::text[] is null or organization = any(organization_numbers($1)))
                and is_counted and at >= $3 and at < $4
            group by 1
            order by 1
        "#,
        organizations,
        starts as _,
        since as _,
        until as _,
    )
    .fetch_all(db)
    .await
}
