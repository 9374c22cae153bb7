//! Messages, each with its sender and the times of its statuses.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;

use super::key::Reader;
use super::one;
use super::page::Micros;
use crate::http::Error;
use crate::http::extract::{Id, Parameters};
use crate::model::Timestamp;
use crate::store::message::{self, MessageKey, MessageRow};
use crate::store::room::RoomRow;

/// A message as the API shows it.
#[derive(Serialize)]
pub struct Message {
    #[serde(flatten)]
    row: MessageRow,
    sender: Sender,
    /// Of every status seen, when; the effective one is `status`.
    status_times: StatusTimes,
}

#[derive(Serialize)]
struct Sender {
    name: Option<String>,
    username: Option<String>,
    avatar: Option<Value>,
}

/// The statuses that were seen, each with its time.
pub type StatusTimes = BTreeMap<&'static str, StatusTime>;

/// Leaves out the statuses that were not seen.
pub fn status_times(times: [(&'static str, Option<StatusTime>); 6]) -> StatusTimes {
    times.into_iter().filter_map(|(status, time)| Some((status, time?))).collect()
}

/// When a status was reached, and who says so.
#[derive(Serialize)]
pub struct StatusTime {
    at: Timestamp,
    source: &'static str,
}

impl StatusTime {
    /// The best time there is: `channel` is WhatsApp's clock, `body` the time that Qontak gives,
    /// `received` the time at which we first saw the status, so an upper bound.
    pub fn best(
        channel: Option<Timestamp>,
        body: Option<Timestamp>,
        received: Option<Timestamp>,
    ) -> Option<Self> {
        // Only a status that was seen has a time.
        let received = received?;
        let (at, source) = match (channel, body) {
            (Some(at), _) => (at, "channel"),
            (None, Some(at)) => (at, "body"),
            (None, None) => (received, "received"),
        };
        Some(Self { at, source })
    }
}

impl Message {
    /// Its place in the order of a conversation.
    pub fn place(&self) -> (Micros, String) {
        (Micros(self.row.at), self.row.id.clone())
    }

    /// Whether it belongs to the room.
    pub fn is_in(&self, room: &RoomRow) -> bool {
        self.row.room_id.as_ref() == Some(&room.id)
            && self.row.organization_id == room.organization_id
    }

    fn new(mut row: MessageRow) -> Self {
        let sender = Sender {
            name: row.sender_name.take(),
            username: row.sender_username.take(),
            avatar: row.sender_avatar.take(),
        };
        let times = [
            ("created", StatusTime::best(row.channel_at, row.created_at, row.created_seen_at)),
            ("pending", StatusTime::best(row.log_pending_at, None, row.pending_seen_at)),
            ("sent", StatusTime::best(row.log_sent_at, None, row.sent_seen_at)),
            ("delivered", StatusTime::best(row.log_delivered_at, None, row.delivered_seen_at)),
            ("read", StatusTime::best(row.log_read_at, None, row.read_seen_at)),
            ("failed", StatusTime::best(row.log_failed_at, None, row.failed_seen_at)),
        ];
        Self { row, sender, status_times: status_times(times) }
    }
}

/// One message.
pub async fn show(
    reader: Reader,
    Id(id): Id,
    parameters: Parameters,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    parameters.finish()?;
    let key = message::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let message = messages(&db, &[key]).await?.pop().ok_or(Error::NotFound)?;
    Ok(one(message))
}

/// The messages of these keys, in their order.
pub async fn messages(db: &PgPool, keys: &[MessageKey]) -> sqlx::Result<Vec<Message>> {
    let rows = message::show(db, keys).await?;
    Ok(rows.into_iter().map(Message::new).collect())
}
