//! Trace: everything related to an id or a phone number.
//!
//! Starts from the rows with that id and follows their relations: a room has messages, a message has
//! a room and a broadcast log, a log has a message and a broadcast, and all of them have events in
//! the journal.

mod timeline;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use axum::extract::State;
use axum::response::IntoResponse;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use self::timeline::TimelineEntry;
use super::broadcast::{self, Log};
use super::envelope::{One, one};
use super::message::{self, Message};
use super::reader::{Authorized, OrganizationQuery, Reader};
use super::room::{self, Room};
use crate::http::Error;
use crate::http::extract::Id;
use crate::model::{EventId, phone};
use crate::store;
use crate::store::broadcast::BroadcastRow;
use crate::store::broadcast_log::{self, LogKey};
use crate::store::event::{self, EventRow};
use crate::store::message::{MessageKey, list_by_room};
use crate::store::room::RoomKey;
use crate::store::trace::{self, RoomEventRow, Scope, Subject};
use crate::store::walk::Walk;

/// Maximum rows of each kind: the newest.
const MAX_ROWS: usize = 50;

/// Related rows, the newest 50 of each kind.
#[derive(Serialize, ToSchema)]
struct Trace {
    broadcasts: Vec<BroadcastRow>,
    logs: Vec<Log>,
    messages: Vec<Message>,
    rooms: Vec<Room>,
    room_events: Vec<RoomEventRow>,
    events: Vec<EventRow>,
    /// Status changes, lifecycle events and webhooks of these rows, oldest first.
    timeline: Vec<TimelineEntry>,
    /// For each kind with more than 50 rows, the paths of the lists with all of them.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    more: BTreeMap<&'static str, Vec<String>>,
}

/// Trace everything known about an id or phone number
///
/// The id of a message, broadcast, broadcast log, room or event, or a message id of the channel
/// (`wamid.…`). Returns the newest 50 rows of each kind.
#[utoipa::path(
    get, path = "/trace/{id}",
    params(
        ("id" = String, Path, description = "Any id, or a phone number in any spelling."),
        OrganizationQuery
    ),
    responses((status = OK, body = One<Trace>))
)]
pub async fn show(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let event = match id.parse() {
        Ok(event_id) => event::find(&db, reader.organizations(), EventId(event_id)).await?,
        Err(_) => None,
    };
    let own = event.as_ref().and_then(|event| organizations_of(event, &reader));
    let search = Search {
        db: &mut *store::snapshot(&db).await?,
        scope: Scope {
            organizations: own.as_deref().or(reader.organizations()),
            // One row more than is returned tells whether there are more.
            limit: MAX_ROWS as i64 + 1,
        },
        contacts: phone::account_readings(&id),
    };
    let subject_id = event.as_ref().and_then(|event| event.subject_id.clone());
    let trace = search.run([id].into_iter().chain(subject_id).collect(), event).await?;
    Ok(one(trace.ok_or(Error::NotFound)?))
}

/// The organisations whose rows an event may be about; `None` for all that the reader may see. An event is
/// of one organisation, while its subject's id may be used by several.
fn organizations_of(event: &EventRow, reader: &Reader) -> Option<Vec<String>> {
    let own = event.organization_id.clone()?;
    Some(match reader.organizations() {
        None => vec![own, String::new()],
        Some(_) => vec![own],
    })
}

/// Collects the rows related to an id.
struct Search<'a> {
    db: &'a mut PgConnection,
    scope: Scope<'a>,
    /// Readings of the id if it is a phone number, else the id of a contact.
    contacts: Vec<String>,
}

impl Search<'_> {
    /// Rows with these ids, and all that are related to them. `None` if nothing has the ids.
    async fn run(
        mut self,
        ids: Vec<String>,
        event: Option<EventRow>,
    ) -> sqlx::Result<Option<Trace>> {
        let scope = self.scope;
        // Rows with the id itself, the logs of such broadcasts and the messages of such rooms.
        let mut rooms = trace::rooms(&mut *self.db, scope, &ids, &self.contacts).await?;
        let mut broadcasts = trace::broadcasts(&mut *self.db, scope, &ids).await?;
        let mut logs = self.logs(&broadcasts, &ids).await?;
        let messages = self.messages(&rooms, &logs, &ids).await?;

        // Rows related to those.
        self.add_logs_of(&messages, &mut logs).await?;
        self.add_broadcasts_of(&logs, &mut broadcasts).await?;
        self.add_rooms_of(&messages, &mut rooms).await?;
        let room_events = trace::room_events(&mut *self.db, &rooms, scope.limit).await?;
        store::use_generic_plans(self.db).await?;
        let rooms = room::rooms(self.db, &rooms).await?;
        store::use_custom_plans(self.db).await?;

        let related = |id: &String, organization_id: &Option<String>| Subject {
            id: id.clone(),
            organization_id: Some(organization_id.clone().unwrap_or_default()),
        };
        let of_logs = logs.iter().map(|log| related(&log.row.id, &log.row.organization_id));
        let of_messages = messages.iter().map(|one| related(&one.row.id, &one.row.organization_id));
        let of_rooms = rooms.iter().map(|room| related(&room.room.id, &room.room.organization_id));
        let related: BTreeSet<Subject> = of_logs.chain(of_messages).chain(of_rooms).collect();
        let is_new = |subject: &Subject| !ids.contains(&subject.id);
        let mut subjects: Vec<Subject> =
            ids.iter().map(|id| Subject { id: id.clone(), organization_id: None }).collect();
        subjects.extend(related.into_iter().filter(is_new));
        let mut events = trace::events(&mut *self.db, scope, &subjects).await?;
        if let Some(event) = event
            && events.iter().all(|other| other.event_id != event.event_id)
        {
            events.insert(0, event);
        }
        let (timeline, more) = (Vec::new(), BTreeMap::new());
        let mut trace =
            Trace { broadcasts, logs, messages, rooms, room_events, events, timeline, more };
        trace.truncate_all(&subjects);
        trace.timeline = timeline::of(&trace);
        Ok((!trace.is_empty()).then_some(trace))
    }

    async fn show_logs(&mut self, keys: &[LogKey]) -> sqlx::Result<Vec<Log>> {
        store::use_generic_plans(self.db).await?;
        let logs = broadcast::find_logs(self.db, keys).await?;
        store::use_custom_plans(self.db).await?;
        Ok(logs)
    }

    async fn logs(
        &mut self,
        broadcasts: &[BroadcastRow],
        ids: &[String],
    ) -> sqlx::Result<Vec<Log>> {
        let Self { db, scope, contacts } = self;
        let mut keys = trace::logs(&mut **db, *scope, ids, ids, contacts).await?;
        for row in broadcasts {
            let key = (row.organization_id.as_deref().unwrap_or_default(), row.id.as_str());
            keys.extend(
                broadcast_log::list(&mut **db, key, None, &Walk::first(scope.limit)).await?,
            );
        }
        self.show_logs(&keys).await
    }

    async fn messages(
        &mut self,
        rooms: &[RoomKey],
        logs: &[Log],
        ids: &[String],
    ) -> sqlx::Result<Vec<Message>> {
        let Self { db, scope, .. } = self;
        let of_logs = logs.iter().filter_map(|log| log.row.whatsapp_message_id.clone());
        let external_ids: Vec<String> = ids.iter().cloned().chain(of_logs).collect();
        let mut keys = trace::messages(&mut **db, *scope, ids, &external_ids).await?;
        for room in rooms {
            if keys.len() > MAX_ROWS {
                break;
            }
            let of_room = list_by_room(&mut **db, room, &Walk::first(scope.limit)).await?;
            let is_new = |key: &MessageKey| {
                keys.iter().all(|known: &MessageKey| {
                    (&known.message_id, &known.organization_id)
                        != (&key.message_id, &key.organization_id)
                })
            };
            let of_room: Vec<MessageKey> = of_room.into_iter().filter(is_new).collect();
            keys.extend(of_room);
        }
        store::use_generic_plans(db).await?;
        let mut messages = message::messages(db, &keys).await?;
        store::use_custom_plans(db).await?;
        // Another organisation may use the id at the channel of a related log.
        let is_id = |id: &String| ids.contains(id);
        messages.retain(|message| {
            let Message { row, .. } = message;
            let is_related = rooms.iter().any(|room| message.is_of(room))
                || logs.iter().any(|log| is_twin(log, message));
            is_related || is_id(&row.id) || row.external_id.as_ref().is_some_and(is_id)
        });
        Ok(messages)
    }

    async fn add_logs_of(&mut self, messages: &[Message], logs: &mut Vec<Log>) -> sqlx::Result<()> {
        let Self { db, scope, .. } = self;
        let external_ids = messages.iter().filter_map(|message| message.row.external_id.clone());
        let external_ids: Vec<String> = external_ids.collect();
        let mut keys = trace::logs(&mut **db, *scope, &[], &external_ids, &[]).await?;
        let is_known = |key: &LogKey, log: &Log| {
            log.row.id == key.log_id
                && log.row.organization_id.as_deref().unwrap_or_default() == key.organization_id
        };
        keys.retain(|key| logs.iter().all(|log| !is_known(key, log)));
        let mut found = self.show_logs(&keys).await?;
        found.retain(|log| messages.iter().any(|message| is_twin(log, message)));
        logs.extend(found);
        Ok(())
    }

    async fn add_broadcasts_of(
        &mut self,
        logs: &[Log],
        broadcasts: &mut Vec<BroadcastRow>,
    ) -> sqlx::Result<()> {
        let ids = logs.iter().filter_map(|log| log.row.messages_broadcast_id.clone());
        let ids: Vec<String> = ids.collect();
        for row in trace::broadcasts(&mut *self.db, self.scope, &ids).await? {
            let is_new = broadcasts.iter().all(|known| known.place() != row.place());
            // Another organisation may use the same id.
            if is_new && logs.iter().any(|log| log.is_of(&row)) {
                broadcasts.push(row);
            }
        }
        Ok(())
    }

    async fn add_rooms_of(
        &mut self,
        messages: &[Message],
        rooms: &mut Vec<RoomKey>,
    ) -> sqlx::Result<()> {
        let ids = messages.iter().filter_map(|message| message.row.room_id.clone());
        let ids: Vec<String> = ids.collect();
        for key in trace::rooms(&mut *self.db, self.scope, &ids, &[]).await? {
            let is_new = rooms.iter().all(|known| {
                (&known.room_id, &known.organization_id) != (&key.room_id, &key.organization_id)
            });
            if is_new && messages.iter().any(|message| message.is_of(&key)) {
                rooms.push(key);
            }
        }
        Ok(())
    }
}

impl Trace {
    const fn is_empty(&self) -> bool {
        let Self { broadcasts, logs, messages, rooms, events, .. } = self;
        broadcasts.is_empty()
            && logs.is_empty()
            && messages.is_empty()
            && rooms.is_empty()
            && events.is_empty()
    }

    /// Organisations of its rows.
    fn organizations(&self) -> BTreeSet<&String> {
        let Self { broadcasts, logs, messages, rooms, events, .. } = self;
        let of_rows = broadcasts.iter().map(|row| &row.organization_id);
        let of_rows = of_rows.chain(logs.iter().map(|log| &log.row.organization_id));
        let of_rows = of_rows.chain(messages.iter().map(|message| &message.row.organization_id));
        let of_rows = of_rows.chain(rooms.iter().map(|room| &room.room.organization_id));
        of_rows.chain(events.iter().map(|event| &event.organization_id)).flatten().collect()
    }

    /// Removes all but the newest rows of each kind, and fills `more`.
    fn truncate_all(&mut self, subjects: &[Subject]) {
        let has_several = self.organizations().len() > 1;
        let Self { broadcasts, logs, messages, rooms, room_events, events, .. } = self;
        // The ids alone do not tell the rows of several organisations apart.
        let link = |list: String, organization_id: &Option<String>| match organization_id {
            Some(id) if has_several && !id.is_empty() => {
                let sign = if list.contains('?') { '&' } else { '?' };
                format!("{list}{sign}organization_id={}", path(id))
            }
            _ => list,
        };
        let room_path = |room: &Room, list| {
            let list = format!("/v1/rooms/{}/{list}", path(&room.room.id));
            link(list, &room.room.organization_id)
        };
        let mut more = BTreeMap::new();
        if truncate(broadcasts) {
            more.insert("broadcasts", vec!["/v1/broadcasts".to_owned()]);
        }
        if truncate(logs) {
            let lists = broadcasts.iter().map(|row| {
                link(format!("/v1/broadcasts/{}/logs", path(&row.id)), &row.organization_id)
            });
            more.insert("logs", lists.collect());
        }
        if truncate(rooms) {
            let accounts = rooms.iter().filter_map(|room| room.room.account_uniq_id.as_ref());
            let mut lists: Vec<String> = accounts
                .map(|account| format!("/v1/rooms?account_uniq_id={}", path(account)))
                .collect();
            lists.sort();
            lists.dedup();
            more.insert("rooms", lists);
        }
        if truncate(messages) {
            let lists = rooms.iter().map(|room| room_path(room, "messages"));
            more.insert("messages", lists.collect());
        }
        if truncate(room_events) {
            more.insert(
                "room_events",
                rooms.iter().map(|room| room_path(room, "events")).collect(),
            );
        }
        if truncate(events) {
            let lists = subjects.iter().take(MAX_ROWS);
            let lists = lists.map(|subject| {
                let list = format!("/v1/events?subject_id={}", path(&subject.id));
                link(list, &subject.organization_id)
            });
            more.insert("events", lists.collect());
        }
        self.more = more;
    }
}

/// Whether a log and a message are about the same message to the same recipient.
fn is_twin(log: &Log, message: &Message) -> bool {
    let (log, message) = (&log.row, &message.row);
    log.whatsapp_message_id.is_some()
        && log.whatsapp_message_id == message.external_id
        && log.organization_id == message.organization_id
}

/// Removes all but the newest rows; returns whether there were more.
fn truncate<T>(rows: &mut Vec<T>) -> bool {
    let is_cut = rows.len() > MAX_ROWS;
    rows.truncate(MAX_ROWS);
    is_cut
}

/// Percent-encodes an id.
fn path(id: &str) -> impl Display {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    utf8_percent_encode(id, ESCAPED)
}
