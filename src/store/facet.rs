//! Table `facet`: values that occur in fields by which lists are filtered.
//!
//! A value is inserted when it is first written, and stays. Each writer remembers which values it has
//! committed, so an event without a new one costs no statement. A value that another writer has
//! inserted is inserted once more, without effect.

use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasher;

use chrono::NaiveDate;
use foldhash::quality::RandomState;
use sqlx::PgExecutor;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::rows::column;
use crate::event::{Changes, Event, Kind};
use crate::model::{Author, PackedList};

/// A field with values to choose from.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "described by `facet.name`")]
pub enum Facet {
    Agent,
    Channel,
    ChannelIntegration,
    Endpoint,
    EventKind,
    EventName,
    MessageStatus,
    MessageType,
    RoomStatus,
    Sender,
    Tag,
    Template,
}

impl Facet {
    /// The facet with this `facet.name`.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// Maximum length of a value in bytes. A longer one is no word to choose from, and no index holds it.
const MAX_BYTES: usize = 512;

/// Values that a writer remembers, of 8 bytes each. It forgets all of them at this number: more would
/// be noise, such as a tag per room.
const MAX_KNOWN: usize = 100_000;

/// A value of an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the columns of table facet say it")]
pub struct Entry<'a> {
    pub organization_id: &'a str,
    pub facet: Facet,
    pub value: &'a str,
    /// Channel of a channel integration.
    pub channel: Option<&'a str>,
    /// Day of a message, of its sender.
    pub day: Option<NaiveDate>,
}

/// Values that the table is known to have, as hashes with a random key. Each event has a dozen values, and
/// the hasher of the standard library took 3 % of the time of an event.
#[derive(Debug, Default)]
pub struct Known {
    hasher: RandomState,
    hashes: HashSet<u64, RandomState>,
}

impl Known {
    /// Values of these events that the table may lack, sorted so that writers do not deadlock.
    pub fn missing<'a>(&self, events: &'a [Event]) -> BTreeSet<Entry<'a>> {
        let mut missing = BTreeSet::new();
        for event in events {
            each_entry(event, |entry| {
                let is_usable = (1..=MAX_BYTES).contains(&entry.value.len());
                if is_usable && !self.hashes.contains(&self.hasher.hash_one(entry)) {
                    missing.insert(entry);
                }
            });
        }
        missing
    }

    /// Remembers values that were committed.
    pub fn add(&mut self, committed: &BTreeSet<Entry<'_>>) {
        if self.hashes.len() + committed.len() > MAX_KNOWN {
            self.hashes.clear();
        }
        self.hashes.extend(committed.iter().map(|entry| self.hasher.hash_one(entry)));
    }
}

/// Calls `add` with each value of an event.
fn each_entry<'a>(event: &'a Event, mut add: impl FnMut(Entry<'a>)) {
    let mut put = |organization_id: &'a String, facet, value: Option<&'a str>| {
        if let Some(value) = value {
            add(Entry { organization_id, facet, value, channel: None, day: None });
        }
    };
    let organization_id = &event.organization_id;
    put(organization_id, Facet::Endpoint, Some(&event.webhook.endpoint));
    put(organization_id, Facet::EventKind, event.kind.map(Kind::as_str));
    put(organization_id, Facet::EventName, event.name.as_deref());
    let Changes { messages, rooms, broadcasts, .. } = &event.changes;
    for row in rooms {
        put(&row.organization_id, Facet::RoomStatus, row.status.as_deref());
        put(&row.organization_id, Facet::Channel, row.channel.as_deref());
        for tag in row.tags.iter().flat_map(PackedList::iter) {
            put(&row.organization_id, Facet::Tag, Some(tag));
        }
        for agent in row.agent_ids.iter().flat_map(PackedList::iter) {
            put(&row.organization_id, Facet::Agent, Some(agent));
        }
    }
    for row in messages {
        put(&row.organization_id, Facet::MessageType, row.r#type.as_deref());
        put(&row.organization_id, Facet::Channel, row.channel.as_deref());
        for status in row.statuses.known() {
            put(&row.organization_id, Facet::MessageStatus, Some(status.as_str()));
        }
        if row.author_by_sender == Some(Author::Agent) {
            put(&row.organization_id, Facet::Agent, row.sender_id.as_deref());
        }
    }
    for row in broadcasts {
        put(&row.organization_id, Facet::Template, row.template_id.as_deref());
    }
    let of_rooms = rooms
        .iter()
        .map(|row| (&row.organization_id, &row.channel_integration_id, row.channel.as_deref()));
    let of_messages = messages
        .iter()
        .map(|row| (&row.organization_id, &row.channel_integration_id, row.channel.as_deref()));
    let of_broadcasts =
        broadcasts.iter().map(|row| (&row.organization_id, &row.channel_integration_id, None));
    for (organization_id, value, channel) in of_rooms.chain(of_messages).chain(of_broadcasts) {
        if let Some(value) = value {
            let facet = Facet::ChannelIntegration;
            add(Entry { organization_id, facet, value, channel, day: None });
        }
    }
    for row in messages.iter().filter(|row| row.participant_type.as_deref() != Some("customer")) {
        if let Some(value) = row.sender_id.as_deref() {
            // As column `message.at`, which is one of these times of all events of the message.
            let at = row.created_at.or(row.channel_at).unwrap_or(row.received_at);
            let (organization_id, day) = (row.organization_id.as_str(), Some(at.day()));
            add(Entry { organization_id, facet: Facet::Sender, value, channel: None, day });
        }
    }
}

/// Folds entries of one value, sorted by key. A channel integration has one channel: should two be
/// reported, the greater one stays, whatever the order.
pub fn folded<'a>(entries: &BTreeSet<Entry<'a>>) -> Vec<Entry<'a>> {
    let mut rows: Vec<Entry<'a>> = Vec::with_capacity(entries.len());
    let key = |entry: &Entry<'a>| (entry.organization_id, <&str>::from(entry.facet), entry.value);
    let mut sorted: Vec<&Entry<'a>> = entries.iter().collect();
    sorted.sort_by_key(|entry| key(entry));
    for entry in sorted {
        match rows.last_mut() {
            Some(last) if key(last) == key(entry) => {
                last.channel = last.channel.max(entry.channel);
                last.day = last.day.max(entry.day);
            }
            _ => rows.push(*entry),
        }
    }
    rows
}

/// A value that occurs.
#[derive(Debug)]
pub struct FacetRow {
    /// `facet.name`.
    pub name: String,
    /// The value.
    pub value: String,
    /// Channel of a channel integration.
    pub channel: Option<String>,
    /// Name of an agent, channel integration or template.
    pub label: Option<String>,
}

/// Lists the values of each facet but [`Facet::Sender`], sorted, at most `limit` of each facet and organisation.
/// `organizations` of `None` means all.
pub async fn list(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    limit: i64,
) -> sqlx::Result<Vec<FacetRow>> {
    let is_listed = |name: &&&str| **name != <&str>::from(Facet::Sender);
    let listed: Vec<String> =
        Facet::VARIANTS.iter().filter(is_listed).map(|&name| name.to_owned()).collect();
    sqlx::query_as!(
        FacetRow,
        r#"
            -- All organisations in the index, each found from the one before it.
            with recursive next as (
                (
                    select organization_id as id
                    from facet
                    where $1::text[] is null
                    order by organization_id
                    limit 1
                )
                union all
                select (
                    select organization_id
                    from facet
                    where organization_id > next.id
                    order by organization_id
                    limit 1
                )
                from next
                where next.id is not null
            ), own as materialized (
                select id, organization_number(id) as organization
                from (
                    select id from next where id is not null
                    union
                    select id collate "C" from unnest($1) as id
                ) as own
            )
            select
                one.name as "name!", one.value as "value!", max(one.channel) as channel,
                coalesce(max(catalog.name), max(sender.name)) as label
            from own
            cross join unnest($2::text[]) as facet_name
            cross join lateral (
                select name, value, channel
                from facet
                where organization_id = own.id and name = facet_name
                order by value
                limit $3
            ) as one
            left join lateral (
                select sender.name
                from sender
                where one.name = 'agent'
                    and sender.sender_id = one.value
                    and coalesce(sender.organization = own.organization, false)
                -- Otherwise the planner would join all senders.
                limit 1
            ) as sender on true
            left join catalog
                on catalog.kind = case one.name
                    when 'agent' then 'agent'
                    when 'channel_integration' then 'channel'
                    when 'template' then 'template'
                end
                and catalog.id = one.value
                and catalog.organization_id = own.id
            group by one.name, one.value
            order by one.name, one.value
        "#,
        organizations,
        &listed,
        limit,
    )
    .fetch_all(db)
    .await
}

/// An organisation in which a value occurs.
#[derive(Debug)]
pub struct Occurrence {
    /// Hash of its id, as in the indexes of messages.
    pub organization: i32,
    /// Day of the latest message of a sender.
    pub last_on: Option<NaiveDate>,
}

/// Finds the organisations in which any of these values occurs.
pub async fn occurrences(
    db: impl PgExecutor<'_>,
    organizations: Option<&[String]>,
    facet: Facet,
    values: &[String],
) -> sqlx::Result<Vec<Occurrence>> {
    sqlx::query_as!(
        Occurrence,
        r#"
            select organization_number(organization_id) as "organization!", max(last_on) as last_on
            from facet
            where name = $2
                and value = any($3)
                and ($1::text[] is null or organization_id = any($1))
            group by 1
        "#,
        organizations,
        <&str>::from(facet),
        values,
    )
    .fetch_all(db)
    .await
}

/// Channel of a channel integration.
#[derive(Debug)]
#[expect(missing_docs, reason = "the columns of table facet say it")]
pub struct Integration {
    pub organization_id: String,
    pub channel_integration_id: String,
    pub channel: String,
}

/// Finds the channels of these channel integrations (organisation, id); unknown ones are omitted.
pub async fn channels(
    db: impl PgExecutor<'_>,
    integrations: &BTreeSet<(String, String)>,
) -> sqlx::Result<Vec<Integration>> {
    let integrations: Vec<_> = integrations.iter().collect();
    sqlx::query_as!(
        Integration,
        r#"
            select
                facet.organization_id, facet.value as channel_integration_id,
                facet.channel as "channel!"
            from unnest($1::text[], $2::text[]) as key (organization_id, value)
            join facet
                on facet.organization_id = key.organization_id
                and facet.name = 'channel_integration'
                and facet.value = key.value
            where facet.channel is not null
        "#,
        &column(&integrations, |key| key.0.as_str()) as _,
        &column(&integrations, |key| key.1.as_str()) as _,
    )
    .fetch_all(db)
    .await
}
