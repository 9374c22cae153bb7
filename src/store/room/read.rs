//! What the conversations are asked.

use chrono::TimeDelta;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use utoipa::{IntoParams, ToSchema};

use crate::model::{Timestamp, phone};
use crate::store::rows::column;
use crate::store::search::Query;

/// What tells a room.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct RoomKey {
    pub organization_id: String,
    pub room_id: String,
    /// Its place in the list, which moves on while the room does.
    pub activity_at: Timestamp,
}

/// Which rooms to list.
#[derive(Clone, Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only rooms with this `status`: `campaign`, `unassigned`, `assigned`, `resolved`, …
    #[param(value_type = Option<String>)]
    pub status: Option<Vec<String>>,
    /// Only rooms of this `channel`: `wa_cloud`, `ig`, `web_chat`, …
    #[param(value_type = Option<String>)]
    pub channel: Option<Vec<String>>,
    /// Only rooms of one of these types.
    #[param(ignore)]
    pub r#type: Option<Vec<String>>,
    /// Only rooms that run through this integration (number, page, …).
    pub channel_integration_id: Option<String>,
    /// Only rooms with this user among their `agent_ids`.
    #[param(value_type = Option<String>)]
    pub agent: Option<Vec<String>>,
    /// Only rooms with this tag.
    #[param(value_type = Option<String>)]
    pub tag: Option<Vec<String>>,
    /// Only rooms without a tag, or only those with one.
    #[param(ignore)]
    pub untagged: Option<bool>,
    /// Only rooms of the contact with this `account_uniq_id`; on WhatsApp its phone number, as
    /// `08…`, `62…` or `+62…`.
    pub account_uniq_id: Option<String>,
    /// Only rooms that wait for an answer, or only those that do not.
    #[param(rename = "response", value_type = Option<Response>, inline)]
    pub is_unanswered: Option<bool>,
    /// Only rooms with so much left of their session.
    #[param(inline)]
    pub session: Option<Session>,
    /// Only rooms active on this day (`2025-06-12`, in UTC) or at this time, or later.
    #[param(rename = "start_date", value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// Only rooms active until the end of this day, or before this time.
    #[param(rename = "end_date", value_type = Option<String>)]
    pub until: Option<Timestamp>,
    /// Only rooms whose name or numbers (`account_uniq_id`, `channel_uniq_id`) hold this, or
    /// resemble it but for a typing mistake. Phone numbers as `08…`, `62…` or `+62…`.
    #[param(rename = "q", value_type = Option<String>)]
    pub query: Option<Query>,
}

/// Whether a room waits for an answer, as one asks for it.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Response {
    /// The last word is the customer's.
    QueueError,
    /// It is not.
    Answered,
}

/// How much is left of a room's session: of the 24 hours after a message of the customer's in which
/// WhatsApp lets a business write what it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Session {
    /// Two hours or more.
    Open,
    /// Less than two hours; how much it is for Qontak is not documented.
    Expiring,
    /// Nothing.
    Expired,
}

impl Session {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Expiring, Self::Expired];
    const TOTAL: TimeDelta = TimeDelta::hours(24);
    const SHORT: TimeDelta = TimeDelta::hours(2);

    /// That with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|session| session.as_str() == word)
    }

    /// Qontak's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
        }
    }

    /// When it began: after the first time, and not after the second one.
    fn began(self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        let expired = Timestamp(now.0 - Self::TOTAL);
        let expiring = Timestamp(expired.0 + Self::SHORT);
        match self {
            Self::Open => (Some(expiring), None),
            Self::Expiring => (Some(expired), Some(expiring)),
            Self::Expired => (None, Some(expired)),
        }
    }
}

/// A room's place in the order of the list.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the columns of table room say it")]
pub struct Place<'a> {
    pub activity_at: Timestamp,
    pub room_id: &'a str,
    pub organization_id: &'a str,
}

/// Lists rooms after `from`, latest activity first; before it if `backward`, then the nearest
/// of these first. `organizations` of `None` sees all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    filter: &Filter,
    from: Option<Place<'_>>,
    backward: bool,
    limit: i64,
) -> sqlx::Result<Vec<RoomKey>> {
    // Several organisations have no common order in an index.
    let (one, several) = match organizations {
        Some([one]) => (Some(one.as_str()), None),
        several => (None, several),
    };
    let accounts = filter.account_uniq_id.as_ref().map(|given| {
        let mut accounts = phone::spellings(given);
        accounts.push(given.clone());
        accounts
    });
    let session = filter.session.map(|session| session.began(Timestamp::now()));
    let (began_after, began_by) = session.unwrap_or_default();
    // A session begins with an activity, so the rooms before it need not be looked at.
    let since = filter.since.max(began_after);
    let (pattern, resembled) = filter.query.as_ref().map(Query::of_rooms).unzip();
    // The two branches are one list walked both ways; only one of them is run. Filters are worded
    // as the index `room_by_label` knows them, and the slot adds nothing to the order but an index.
    sqlx::query_as!(
        RoomKey,
        r#"
            select organization_id as "organization_id!", room_id as "room_id!",
                activity_at as "activity_at!"
            from (
                select organization_id, room_id, activity_at
                from room
                where not $11
                    and ($1::text is null or organization_id = $1)
                    and ($13::text[] is null or organization_id = any($13))
                    and ($2::text[] is null or array[status] && $2)
                    and ($3::text[] is null or array[channel] && $3)
                    and ($4::text[] is null or agent_ids && $4)
                    and ($5::text[] is null or tags && $5)
                    and ($6::text[] is null or account_uniq_id = any($6))
                    and ($14::text is null or channel_integration_id = $14)
                    and ($20::text[] is null or type = any($20))
                    and ($21::boolean is null or $21 = (coalesce(cardinality(tags), 0) = 0))
                    -- Few rooms are open, and only those can be unanswered.
                    and ($15::boolean is null or not $15
                        or array[status] && array['unassigned', 'assigned'])
                    and ($15::boolean is null or $15 = is_unanswered(
                        status, is_unresponded, session_at, last_message_at, unread_count))
                    -- Worded so that Postgres does not take the two times for independent: then
                    -- it expects few rooms, and sorts many.
                    and ($16::timestamptz is null or coalesce(session_at > $16, false))
                    and ($17::timestamptz is null or coalesce(session_at <= $17, false)
                        -- Those that go on are passed in the index.
                        and session_hour <= hour_of($17))
                    and ($18::timestamptz is null
                        or activity_slot >= activity_slot($18) and activity_at >= $18)
                    and ($19::timestamptz is null
                        or activity_slot <= activity_slot($19) and activity_at < $19)
                    and ($22::text is null
                        or room_words(name, account_uniq_id, channel_uniq_id) like lower($22)
                        or resembles($23, room_words(name, account_uniq_id, channel_uniq_id)))
                    and (not $7 or activity_slot <= activity_slot($8::timestamptz)
                        and (activity_at, room_id, organization_id) < ($8::timestamptz, $9, $10))
                order by activity_slot desc, activity_at desc, room_id desc, organization_id desc
                limit $12
            ) as after
            union all
            select organization_id, room_id, activity_at
            from (
                select organization_id, room_id, activity_at
                from room
                where $11
                    and ($1::text is null or organization_id = $1)
                    and ($13::text[] is null or organization_id = any($13))
                    and ($2::text[] is null or array[status] && $2)
                    and ($3::text[] is null or array[channel] && $3)
                    and ($4::text[] is null or agent_ids && $4)
                    and ($5::text[] is null or tags && $5)
                    and ($6::text[] is null or account_uniq_id = any($6))
                    and ($14::text is null or channel_integration_id = $14)
                    and ($20::text[] is null or type = any($20))
                    and ($21::boolean is null or $21 = (coalesce(cardinality(tags), 0) = 0))
                    -- Few rooms are open, and only those can be unanswered.
                    and ($15::boolean is null or not $15
                        or array[status] && array['unassigned', 'assigned'])
                    and ($15::boolean is null or $15 = is_unanswered(
                        status, is_unresponded, session_at, last_message_at, unread_count))
                    -- Worded so that Postgres does not take the two times for independent: then
                    -- it expects few rooms, and sorts many.
                    and ($16::timestamptz is null or coalesce(session_at > $16, false))
                    and ($17::timestamptz is null or coalesce(session_at <= $17, false)
                        -- Those that go on are passed in the index.
                        and session_hour <= hour_of($17))
                    and ($18::timestamptz is null
                        or activity_slot >= activity_slot($18) and activity_at >= $18)
                    and ($19::timestamptz is null
                        or activity_slot <= activity_slot($19) and activity_at < $19)
                    and ($22::text is null
                        or room_words(name, account_uniq_id, channel_uniq_id) like lower($22)
                        or resembles($23, room_words(name, account_uniq_id, channel_uniq_id)))
                    and (not $7 or activity_slot >= activity_slot($8::timestamptz)
                        and (activity_at, room_id, organization_id) > ($8::timestamptz, $9, $10))
                order by activity_slot, activity_at, room_id, organization_id
                limit $12
            ) as before
        "#,
        one,
        filter.status.as_deref(),
        filter.channel.as_deref(),
        filter.agent.as_deref(),
        filter.tag.as_deref(),
        accounts.as_deref(),
        from.is_some(),
        from.map(|place| place.activity_at) as _,
        from.map(|place| place.room_id),
        from.map(|place| place.organization_id),
        backward,
        limit,
        several,
        filter.channel_integration_id.as_deref(),
        filter.is_unanswered,
        began_after as _,
        began_by as _,
        since as _,
        filter.until as _,
        filter.r#type.as_deref(),
        filter.untagged,
        pattern,
        resembled.flatten(),
    )
    .fetch_all(db)
    .await
}

/// The room with this id, if it may be seen.
pub async fn find(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    room_id: &str,
) -> sqlx::Result<Option<RoomKey>> {
    sqlx::query_as!(
        RoomKey,
        r#"
            select organization_id, room_id, activity_at as "activity_at!"
            from room
            where room_id = $1 and ($2::text[] is null or organization_id = any($2))
            -- One without an organisation is but a guess beside one that has it.
            order by organization_id desc
            limit 1
        "#,
        room_id,
        organizations,
    )
    .fetch_optional(db)
    .await
}

/// A room as the API shows it, but for its last message.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomRow {
    /// Qontak's id of the room; opaque text.
    pub id: String,
    /// Organisation it belongs to; null when no body and no endpoint named one.
    pub organization_id: Option<String>,
    /// Display name of the contact.
    pub name: Option<String>,
    /// Free text, mostly empty.
    pub description: Option<String>,
    /// `campaign`, `unassigned`, `assigned`, `resolved`, `deleted`; open list.
    pub status: Option<String>,
    /// `Models::CustomerServiceRoom` and others.
    pub r#type: Option<String>,
    /// Tags of the conversation.
    pub tags: Option<Vec<String>>,
    /// `wa`, `wa_cloud`, `ig`, `web_chat`, …; open list.
    pub channel: Option<String>,
    /// Name of the business account, as sent; may start with a space.
    pub channel_account: Option<String>,
    /// The business number (+62…) or a token; only in room events.
    pub channel_uniq_id: Option<String>,
    /// The contact at the channel: a phone number on WhatsApp, something like an e-mail in web
    /// chat. Never assume a phone.
    pub account_uniq_id: Option<String>,
    /// The integration (number, page, …) it runs through.
    pub channel_integration_id: Option<String>,
    /// `open`, `expiring`, `expired`; sent in 2021 only.
    pub session: Option<String>,
    /// Last message of the customer: start of the 24-hour window.
    pub session_at: Option<Timestamp>,
    /// Messages that no agent has read.
    pub unread_count: Option<i64>,
    /// Creation, by Qontak's clock.
    pub created_at: Option<Timestamp>,
    /// Qontak's `updated_at`; stays near `created_at` in some answers.
    pub updated_at: Option<Timestamp>,
    /// Time of the last message, by Qontak's clock.
    pub last_message_at: Option<Timestamp>,
    /// Last activity, by Qontak's clock.
    pub last_activity_at: Option<Timestamp>,
    /// Picture of the contact: `{url, large, medium, small, …}`, or a URL.
    pub avatar: Option<Value>,
    /// When it was resolved; null unless `status` is `resolved`.
    pub resolved_at: Option<Timestamp>,
    /// Who resolved it; null unless `status` is `resolved`.
    pub resolved_by_id: Option<String>,
    /// Kind of `resolved_by_id`.
    pub resolved_by_type: Option<String>,
    /// Id at the channel, if any.
    pub external_id: Option<String>,
    /// Division of the organisation.
    pub division_id: Option<String>,
    /// User ids of the agents; absent in message events.
    pub agent_ids: Option<Vec<String>>,
    /// Note of the agents: `{text}`.
    pub note: Option<Value>,
    /// Object of the channel: `{is_participant_online}`.
    pub extra: Option<Value>,
    /// Copies of an e-mail conversation.
    pub email_cc: Option<Value>,
    /// Whether it is kept from being resolved by time.
    pub is_dont_auto_resolve: Option<bool>,
    /// Whether the contact is blocked.
    pub is_blocked: Option<bool>,
    /// Whether the last word is the customer's.
    pub is_unresponded: Option<bool>,
    /// Whether the survey is sent by hand.
    pub is_manual_survey: Option<bool>,
    /// What lists are sorted by: the latest known sign of life.
    #[serde(skip)]
    pub activity_at: Timestamp,
}

/// The rooms of these keys, in their order.
pub async fn show(db: impl PgExecutor<'_>, keys: &[RoomKey]) -> sqlx::Result<Vec<RoomRow>> {
    sqlx::query_as!(
        RoomRow,
        r#"
            select
                room.room_id as id, nullif(room.organization_id, '') as organization_id,
                name, description, status, type, tags, channel, channel_account,
                channel_uniq_id, account_uniq_id, channel_integration_id, session, session_at,
                unread_count, created_at, updated_at, last_message_at, last_activity_at, avatar,
                -- A room that goes on after it was resolved keeps these, but they mean nothing.
                case when status = 'resolved' then resolved_at end as resolved_at,
                case when status = 'resolved' then resolved_by_id end as resolved_by_id,
                case when status = 'resolved' then resolved_by_type end as resolved_by_type,
                external_id, division_id, agent_ids, note, extra, email_cc, is_dont_auto_resolve,
                is_blocked, is_unresponded, is_manual_survey, key.activity_at as "activity_at!"
            from unnest($1::text[], $2::text[], $3::timestamptz[]) with ordinality
                as key (room_id, organization_id, activity_at, place)
            join room using (room_id, organization_id)
            order by key.place
        "#,
        &column(keys, |key| key.room_id.as_str()) as _,
        &column(keys, |key| key.organization_id.as_str()) as _,
        &column(keys, |key| key.activity_at) as _,
    )
    .fetch_all(db)
    .await
}
