//! Rows as composite values: the row types of the tables, without those that only the
//! database writes.
//!
//! The order of the values is that of the columns in `migrations`; folded columns come last.

use std::borrow::Cow;

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::PgRecordEncoder;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

use crate::event::{Kind, PARSER_VERSION};
use crate::model::{
    Attribute, Broadcast, BroadcastLog, CatalogState, Message, Room, RoomEvent, Sender, Statuses,
};
use crate::store::event::{JournalRow, Repeat, stored_name};
use crate::store::facet;
use crate::store::ledger::LedgerChange;
use crate::store::resolution::Resolution;

/// A row that is sent to the database.
#[derive(Debug)]
pub struct Row<'a, T: Clone> {
    /// The row.
    pub row: Cow<'a, T>,
    /// Place of the organisation among those of the batch, from 1; 0 in types that have its id.
    pub organization: i32,
}

macro_rules! encode {
    ($record:ident: $($value:expr),* $(,)?) => {
        $($value.append($record)?;)*
    };
}

/// Implements the encoding of a row type.
macro_rules! row_type {
    ($type:ty, $name:literal, |$row:ident, $record:ident| $body:block) => {
        row_type!($type, $name, |$row, _organization, $record| $body);
    };
    ($type:ty, $name:literal, |$row:ident, $organization:ident, $record:ident| $body:block) => {
        impl Type<Postgres> for Row<'_, $type> {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($name)
            }
        }

        impl PgHasArrayType for Row<'_, $type> {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::array_of($name)
            }
        }

        impl Encode<'_, Postgres> for Row<'_, $type> {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let ($row, $organization): (&$type, i32) = (&self.row, self.organization);
                let $record = &mut PgRecordEncoder::new(buffer);
                $body
                $record.finish();
                Ok(IsNull::No)
            }
        }
    };
}

row_type!(Room, "room_1", |room, organization, record| {
    encode!(record: organization, room.room_id, room.received_at, room.clock);
    room.append_folded(record)?;
});

row_type!(Message, "message_1", |message, organization, record| {
    encode!(
        record: organization, message.message_id, message.received_at,
        message.created_at, message.channel_at, message.direction_by_name, message.text,
        message.text_key, message.is_edited
    );
    encode_statuses(&message.statuses, record)?;
    encode!(
        record: message.failed_at, message.error_code, message.error_title, message.error_details
    );
    message.append_folded(record)?;
});

row_type!(Sender, "sender_1", |sender, organization, record| {
    encode!(record: organization, sender.sender_id);
    sender.append_folded(record)?;
});

row_type!(Broadcast, "broadcast_1", |broadcast, organization, record| {
    encode!(
        record: organization, broadcast.broadcast_id, broadcast.received_at,
        broadcast.created_at
    );
    broadcast.append_folded(record)?;
});

row_type!(BroadcastLog, "broadcast_log_1", |log, organization, record| {
    let error = log.last_error.as_ref();
    encode!(
        record: organization, log.log_id, log.received_at, log.created_at, log.pending_at, log.sent_at, log.delivered_at, log.read_at, log.failed_at
    );
    encode_statuses(&log.statuses, record)?;
    encode!(
        record: error.map(|error| error.key),
        error.and_then(|error| error.message_id.as_deref()),
        error.and_then(|error| error.code),
        error.and_then(|error| error.title.as_deref()),
        error.and_then(|error| error.details.as_deref()),
        error.and_then(|error| error.message.as_deref())
    );
    log.append_folded(record)?;
});

fn encode_statuses(
    statuses: &Statuses,
    record: &mut PgRecordEncoder<'_>,
) -> Result<(), BoxDynError> {
    let Statuses { created, pending, sent, delivered, read, failed, other } = statuses;
    encode!(record: created, pending, sent, delivered, read, failed);
    record.encode((!other.is_empty()).then_some(other))?;
    Ok(())
}

row_type!(RoomEvent, "room_event_1", |event, organization, record| {
    encode!(
        record: organization, event.room_id, *event.r#type, event.discriminator, event.at,
        event.actor_id, event.actor_name, event.event_id.0, event.received_at
    );
});

row_type!(CatalogState, "catalog_state_1", |state, record| {
    encode!(
        record: state.organization_id, *state.kind, state.id, state.event_id.0, state.at, state.data
    );
});

row_type!(JournalRow<'_>, "event_1", |row, organization, record| {
    let JournalRow { event, deliveries, body } = row;
    encode!(
        record: event.received_at().day(), organization, event.id().0, event.received_at(),
        *event.webhook.endpoint, event.kind.map(Kind::as_str), stored_name(event),
        event.subject_id, *event.outcome.as_str()
    );
    record.encode((!event.reasons.is_empty()).then_some(&event.reasons))?;
    encode!(
        record: event.dedup_key.0[..], deliveries, body.bytes[..], body.dictionary, body.length,
        PARSER_VERSION, event.webhook.request_id
    );
});

row_type!(Repeat, "repeat_1", |repeat, record| {
    encode!(record: repeat.day, repeat.event_id, repeat.deliveries);
});

row_type!(Resolution<'_>, "resolution_1", |row, organization, record| {
    encode!(
        record: organization, *row.room_id, row.at, row.is_reported, *row.agent_id,
        row.channel
    );
});

row_type!(facet::Entry<'_>, "facet_1", |entry, record| {
    encode!(
        record: *entry.organization_id, *<&str>::from(entry.facet), *entry.value, entry.channel,
        entry.day
    );
});

row_type!(LedgerChange, "ledger_1", |row, record| {
    let LedgerChange { hour, organization_id, writer_id, counts } = row;
    encode!(
        record: hour, organization_id, writer_id, counts.received, counts.applied,
        counts.recorded, counts.quarantined, counts.malformed, counts.duplicate,
        counts.last_event_at
    );
});
