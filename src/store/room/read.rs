//! Queries of table `room`.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgExecutor;
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use crate::model::qontak_object::{Avatar, CcRecipient, Extra, Note};
use crate::model::{Timestamp, phone};
use crate::store::rows::column;
use crate::store::search::Query;
use crate::store::walk::Walk;

/// Key of a room.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct RoomKey {
    pub organization_id: String,
    pub room_id: String,
    /// Time in the list when the key was read; later activity moves the room.
    pub activity_at: Timestamp,
}

/// Filters of the list; `None` means any.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these `room.status`.
    pub status: Option<Vec<String>>,
    /// Any of these `room.channel`.
    pub channel: Option<Vec<String>>,
    /// Any of these `room.type`.
    pub r#type: Option<Vec<String>>,
    /// `room.channel_integration_id`.
    pub channel_integration_id: Option<String>,
    /// Any of these users in `room.agent_ids`.
    pub agent: Option<Vec<String>>,
    /// Also rooms without an agent; only these if `agent` is `None`.
    pub or_without_agent: bool,
    /// Any of these in `room.tags`.
    pub tag: Option<Vec<String>>,
    /// Whether the room has no tags.
    pub untagged: Option<bool>,
    /// Whether the room has unread messages.
    pub is_unread: Option<bool>,
    /// Whether the contact is blocked.
    pub is_blocked: Option<bool>,
    /// `room.account_uniq_id`; a phone number in any spelling.
    pub account_uniq_id: Option<String>,
    /// Whether the room is open and the last word in it is the customer's.
    pub is_unanswered: Option<bool>,
    /// State of the session.
    pub session: Option<Session>,
    /// Last active at this time or later.
    pub since: Option<Timestamp>,
    /// Last active before this time.
    pub until: Option<Timestamp>,
    /// Name or numbers that contain this text or one similar to it.
    pub query: Option<Query>,
}

/// State of a room's session: WhatsApp's 24-hour customer service window, which starts with each
/// message of the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames, ToSchema)]
#[strum(serialize_all = "snake_case")]
#[schema(rename_all = "snake_case")]
pub enum Session {
    /// Two hours or more are left.
    Open,
    /// Less than two hours are left. Qontak does not document its threshold.
    Expiring,
    /// The window has ended.
    Expired,
}

impl Session {
    const DURATION: TimeDelta = TimeDelta::hours(24);
    const EXPIRING: TimeDelta = TimeDelta::hours(2);

    /// Bounds of `session_at`: after the first time, and up to the second one.
    fn bounds(self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        let expired = Timestamp(now.0 - Self::DURATION);
        let expiring = Timestamp(expired.0 + Self::EXPIRING);
        match self {
            Self::Open => (Some(expiring), None),
            Self::Expiring => (Some(expired), Some(expiring)),
            Self::Expired => (None, Some(expired)),
        }
    }
}

/// Place of a room in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// `room.activity_at`.
    #[serde(with = "crate::model::micros")]
    pub activity_at: Timestamp,
    /// Tie-breaker for equal times.
    pub room_id: String,
    /// Tie-breaker for equal ids; empty if unknown.
    pub organization_id: String,
}

/// Lists rooms, latest activity first. `organizations` of `None` means all.
///
/// Uses index `room_by_organization` for one organisation and `room_by_activity` for several, which
/// have no common order in the former. Both are ordered by slot, the minute of the activity, and a
/// minute's rooms are sorted. They also tell which rooms are unread, untagged, blocked or without an
/// agent. Selective filters use `room_by_label`, `room_by_account` or
/// `room_by_word`.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter,
    walk: &Walk<Place>,
) -> sqlx::Result<Vec<RoomKey>> {
    let (one, several) = match organizations {
        Some([one]) => (Some(one.as_str()), None),
        several => (None, several),
    };
    let accounts = filter.account_uniq_id.as_deref().map(phone::account_readings);
    let session = filter.session.map(|session| session.bounds(Timestamp::now()));
    let (session_after, session_until) = session.unwrap_or_default();
    // A session starts with an activity, so rooms last active before it cannot match.
    let since = filter.since.max(session_after);
    let patterns = filter.query.as_ref().map(Query::room_patterns);
    let from = walk.from.as_ref();
    macro_rules! page {
        ($cmp:tt, $order:tt) => {
            sqlx::query_as!(
                RoomKey,
                r#"
                    select
                        (
                            select organization_id from organization where number = room.organization
                        ) as "organization_id!",
                        room_id, activity_at
                    from room
                    where ($1::text is null or organization = organization_number($1))
                        and ($2::text[] is null or organization = any(organization_numbers($2)))
                        -- These four are written as index `room_by_label` has them.
                        and ($3::text[] is null or array[status] && $3)
                        and ($4::text[] is null or array[channel] && $4)
                        and ($5::text[] is null or agent_ids && $5 or $22 and is_without_agent)
                        and ($5 is not null or not $22 or is_without_agent)
                        and ($6::text[] is null or tags && $6)
                        and ($7::text[] is null or account_normalized = any($7))
                        and ($8::text is null or channel_integration_id = $8)
                        and ($9::text[] is null or type = any($9))
                        and ($10::boolean is null or is_untagged = $10)
                        and ($23::boolean is null or coalesce(unread_count > 0, false) = $23)
                        and ($24::boolean is distinct from true or is_blocked = true)
                        and ($24::boolean is distinct from false or is_blocked is not true)
                        -- Redundant: only these rooms can be unanswered, and they are few.
                        and ($11::boolean is null or not $11
                            or array[status] && array['unassigned', 'assigned']
                            or status is null)
                        and ($11::boolean is null or $11 = coalesce(
                            (
                                select is_unanswered(
                                    status, customer_at, answer_at, other_at, is_unresponded,
                                    session_at, last_message_at, unread_count
                                )
                                from room_word
                                where room_word.room_id = room.room_id
                                    and room_word.organization = room.organization
                            ),
                            is_unanswered(
                                status, null, null, null, is_unresponded, session_at,
                                last_message_at, unread_count
                            )
                        ))
                        -- `coalesce` hides the selectivity from the planner. It assumes that the two
                        -- bounds are independent, expects few rooms and would sort many.
                        and ($12::timestamptz is null or coalesce(session_at > $12, false))
                        and ($13::timestamptz is null or coalesce(session_at <= $13, false)
                            -- Redundant: rooms of later sessions are skipped in the index.
                            and session_hour <= hour_of($13))
                        and ($14::timestamptz is null
                            or activity_slot >= activity_slot($14) and activity_at >= $14)
                        and ($15::timestamptz is null
                            or activity_slot <= activity_slot($15) and activity_at < $15)
                        and ($16::text is null
                            or room_words(name, account_normalized, channel_uniq_id) like search_ascii($16)
                            or room_words(name, account_normalized, channel_uniq_id) like search_ascii($25)
                            or resembles($17, room_words(name, account_normalized, channel_uniq_id)))
                        -- The slot is redundant but for the index, here and in the order.
                        and ($18::timestamptz is null
                            or activity_slot "# + $cmp + r#"= activity_slot($18)
                            and (activity_at, room_id, organization) "# + $cmp + r#"
                                ($18, $19, organization_number($20)))
                    order by "# + $order + r#"
                    limit $21
                "#,
                one,
                several,
                filter.status.as_deref(),
                filter.channel.as_deref(),
                filter.agent.as_deref(),
                filter.tag.as_deref(),
                accounts.as_deref(),
                filter.channel_integration_id.as_deref(),
                filter.r#type.as_deref(),
                filter.untagged,
                filter.is_unanswered,
                session_after as _,
                session_until as _,
                since as _,
                filter.until as _,
                patterns.as_ref().map(|it| it.pattern.as_str()),
                patterns.as_ref().and_then(|it| it.resembled.as_deref()),
                from.map(|place| place.activity_at) as _,
                from.map(|place| place.room_id.as_str()),
                from.map(|place| place.organization_id.as_str()),
                walk.rows,
                filter.or_without_agent,
                filter.is_unread,
                filter.is_blocked,
                patterns.as_ref().and_then(|it| it.as_written.as_deref()),
            )
            .fetch_all(db)
            .await
        };
    }
    if walk.backward {
        page!(">", "activity_slot, activity_at, room_id, organization")
    } else {
        page!("<", "activity_slot desc, activity_at desc, room_id desc, organization desc")
    }
}

/// Finds a room within these organisations; `None` for all.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    room_id: &str,
) -> sqlx::Result<Option<RoomKey>> {
    sqlx::query_as!(
        RoomKey,
        r#"
            select
                organization_id(organization) as "organization_id!", room_id,
                activity_at as "activity_at!"
            from room
            where room_id = $1 and ($2::text[] is null or organization = any(organization_numbers($2)))
            -- Prefer a row with a known organisation.
            order by organization desc
            limit 1
        "#,
        room_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// A room without its last message.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomRow {
    /// Qontak's id of the room; an opaque string.
    pub id: String,
    /// Organisation of the room; null when unknown.
    pub organization_id: Option<String>,
    /// Display name of the contact.
    pub name: Option<String>,
    /// Free text, usually empty.
    pub description: Option<String>,
    /// `campaign`, `unassigned`, `assigned`, `resolved` or `deleted`; new values are possible.
    pub status: Option<String>,
    /// Type at Qontak: `Models::CustomerServiceRoom`, …
    pub r#type: Option<String>,
    /// Tags of the conversation.
    pub tags: Option<Vec<String>>,
    /// `wa`, `wa_cloud`, `ig`, `web_chat`, …; new values are possible.
    pub channel: Option<String>,
    /// Name of the business account as sent by Qontak; may start with a space.
    pub channel_account: Option<String>,
    /// Business number (`+62…`) or a token; sent in room events only.
    pub channel_uniq_id: Option<String>,
    /// Id of the contact at the channel: a phone number on WhatsApp, similar to an e-mail address in
    /// web chat.
    pub account_uniq_id: Option<String>,
    /// Qontak's id of the channel integration (number, page, …).
    pub channel_integration_id: Option<String>,
    /// `open`, `expiring` or `expired`; Qontak sent it in 2021 only.
    pub session: Option<String>,
    /// Time of the customer's last message, which starts the 24-hour customer service window.
    pub session_at: Option<Timestamp>,
    /// Number of messages that no agent has read.
    pub unread_count: Option<i64>,
    /// Time the room was created, as reported by Qontak.
    pub created_at: Option<Timestamp>,
    /// `updated_at` as reported by Qontak; stays near `created_at` in some events.
    pub updated_at: Option<Timestamp>,
    /// Time of the last message, as reported by Qontak.
    pub last_message_at: Option<Timestamp>,
    /// Time of the last activity, as reported by Qontak.
    pub last_activity_at: Option<Timestamp>,
    /// Avatar of the contact.
    #[schema(value_type = Option<Avatar>)]
    pub avatar: Option<Value>,
    /// Time the room was resolved; null unless `status` is `resolved`.
    pub resolved_at: Option<Timestamp>,
    /// Id of the user that resolved the room; null unless `status` is `resolved`.
    pub resolved_by_id: Option<String>,
    /// Type of `resolved_by_id`; null unless `status` is `resolved`.
    pub resolved_by_type: Option<String>,
    /// Id of the room at the channel.
    pub external_id: Option<String>,
    /// Qontak's id of the division.
    pub division_id: Option<String>,
    /// User ids of the agents; sent in room events only.
    pub agent_ids: Option<Vec<String>>,
    /// Note of the agents.
    #[schema(value_type = Option<Note>)]
    pub note: Option<Value>,
    /// Details of the channel.
    #[schema(value_type = Option<Extra>)]
    pub extra: Option<Value>,
    /// CC recipients of an e-mail conversation.
    #[schema(value_type = Option<Vec<CcRecipient>>)]
    pub email_cc: Option<Value>,
    /// Whether the room is excluded from automatic resolution.
    pub is_dont_auto_resolve: Option<bool>,
    /// Whether the contact is blocked.
    pub is_blocked: Option<bool>,
    /// Whether the last message is the customer's.
    pub is_unresponded: Option<bool>,
    /// Whether the survey is sent manually.
    pub is_manual_survey: Option<bool>,
    /// Time of the latest known activity, by which lists are sorted: the latest of the times of the
    /// room and of its messages.
    pub activity_at: Timestamp,
}

impl RoomRow {
    /// Place in the list.
    pub fn place(&self) -> Place {
        Place {
            activity_at: self.activity_at,
            room_id: self.id.clone(),
            organization_id: self.organization_id.clone().unwrap_or_default(),
        }
    }
}

/// Fetches the rooms with these keys, in the order of the keys.
pub async fn show(db: impl PgExecutor<'_>, keys: &[RoomKey]) -> sqlx::Result<Vec<RoomRow>> {
    sqlx::query_as!(
        RoomRow,
        r#"
            select
                room.room_id as id,
                nullif(key.organization_id, '') as organization_id,
                name, description, status, type, tags, channel, channel_account,
                channel_uniq_id, account_uniq_id, channel_integration_id, session, session_at,
                unread_count, created_at, updated_at, last_message_at, last_activity_at, avatar,
                -- A reopened room keeps these, but they no longer apply.
                case when resolution.is_of_time then nullif(resolved_at, 'epoch') end as resolved_at,
                case when resolution.is_of_resolver then nullif(resolved_by_id, '') end as resolved_by_id,
                case when resolution.is_of_resolver then nullif(resolved_by_type, '') end
                    as resolved_by_type,
                external_id, division_id, agent_ids, note, extra, email_cc, is_dont_auto_resolve,
                is_blocked, is_unresponded, is_manual_survey, key.activity_at as "activity_at!"
            from unnest($1::text[], organization_numbers($2), $2::text[], $3::timestamptz[])
                with ordinality
                as key (room_id, organization, organization_id, activity_at, place)
            join room using (room_id, organization)
            cross join lateral (
                select
                    status = 'resolved' and coalesce(resolved_at_by in ('', resolved_by_id), true)
                        as is_of_time,
                    status = 'resolved' and coalesce(
                        -- Some bodies have whole seconds.
                        resolved_at - resolved_by_at between interval '-1 s' and interval '1 s'
                            or 'epoch' in (resolved_at, resolved_by_at),
                        true
                    ) as is_of_resolver
            ) as resolution
            order by key.place
        "#,
        &column(keys, |key| key.room_id.as_str()) as _,
        &column(keys, |key| key.organization_id.as_str()) as _,
        &column(keys, |key| key.activity_at) as _,
    )
    .fetch_all(db)
    .await
}
