//! Broadcasts in the format of Qontak's API.

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::page::{OpenList, Page, PageQuery, Place};
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::{DayOrTime, Integer, period};
use crate::model::Timestamp;
use crate::query;
use crate::read::envelope::{One, one};
use crate::read::reader::{Authorized, OrganizationQuery};
use crate::store::broadcast::{self, BroadcastRow};
use crate::store::broadcast_log::count::{self, Counted};
use crate::store::walk::Walk;

/// A broadcast with its recipients by status. No webhook contains a field that is always null.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenBroadcast)]
struct Broadcast {
    id: String,
    /// Name of the broadcast; null until a message of it was received.
    name: Option<String>,
    organization_id: Option<String>,
    channel_integration_id: Option<String>,
    /// Always null.
    contact_list_id: Option<String>,
    /// Always null.
    target_channel: Option<String>,
    /// Always null.
    send_at: Option<Timestamp>,
    /// Always null.
    execute_status: Option<String>,
    /// Always null.
    execute_type: Option<String>,
    /// Time the first recipient log was created.
    created_at: Option<Timestamp>,
    message_status_count: MessageStatusCount,
    message_template: MessageTemplate,
    /// Always `n/a`: errors are those of recipients.
    message_broadcast_error: &'static str,
}

/// Recipients by effective status. Each counts once.
#[derive(Default, Serialize, ToSchema)]
struct MessageStatusCount {
    failed: i64,
    delivered: i64,
    read: i64,
    /// Also recipients that are only created.
    pending: i64,
    sent: i64,
}

/// Template of a broadcast.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenBroadcastTemplate)]
struct MessageTemplate {
    id: Option<String>,
}

query! {
    /// Filters of the list of broadcasts.
    pub struct BroadcastQuery {
        /// Created on this day or at this time, or later.
        start_date: DayOrTime,
        /// Created until the end of this day, or before this time.
        end_date: DayOrTime,
        /// UTC offset of the days of `start_date` and `end_date` in hours: 7 in Jakarta.
        time_offset: Integer<-12, 14>,
    }
}

/// List broadcasts in the format of Qontak's API, newest first
#[utoipa::path(
    get, path = "/broadcasts/whatsapp", params(PageQuery, BroadcastQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Broadcast>))
)]
pub async fn list_broadcasts(
    Authorized { reader, query: (page, query) }: Authorized<(Page, BroadcastQuery)>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let (since, until) =
        period(query.start_date, query.end_date, &super::time_zone(query.time_offset))?;
    let filter = broadcast::Filter { since, until, ..broadcast::Filter::default() };
    let list = async |walk: Walk<Place>| {
        let walk = walk.map(|place| broadcast::Place {
            at: place.0,
            broadcast_id: place.id(0),
            organization_id: place.id(1),
        });
        broadcast::list(&db, reader.organizations(), &filter, &walk).await
    };
    let total = match page.count() {
        Some(all) => Some(list(all).await?.len() as i64),
        None => None,
    };
    let rows = page.cut(list(page.walk()).await?);
    let counts = MessageStatusCount::of_each(rows.len(), &count::list(&db, &rows).await?);
    let rows = rows.into_iter().zip(counts).collect();
    let place = |(row, _): &(BroadcastRow, _)| {
        Place(row.at, vec![row.id.clone(), row.organization_id.clone().unwrap_or_default()])
    };
    Ok(page.respond(rows, total, place, Broadcast::new))
}

/// Get a broadcast in the format of Qontak's API
#[utoipa::path(
    get, path = "/broadcasts/{id}/whatsapp", params(OrganizationQuery),
    responses((status = OK, body = One<Broadcast>))
)]
pub async fn show_broadcast(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let row = broadcast::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let counted = count::list(&db, std::slice::from_ref(&row)).await?;
    let counts = MessageStatusCount::of_each(1, &counted).pop().unwrap_or_default();
    Ok(one(Broadcast::new((row, counts))))
}

impl Broadcast {
    fn new((row, message_status_count): (BroadcastRow, MessageStatusCount)) -> Self {
        Self {
            id: row.id,
            name: row.name,
            organization_id: row.organization_id,
            channel_integration_id: row.channel_integration_id,
            contact_list_id: None,
            target_channel: None,
            send_at: None,
            execute_status: None,
            execute_type: None,
            created_at: row.created_at,
            message_status_count,
            message_template: MessageTemplate { id: row.template_id },
            message_broadcast_error: "n/a",
        }
    }
}

impl MessageStatusCount {
    /// Counts of each of `broadcasts` broadcasts, in their order.
    fn of_each(broadcasts: usize, counted: &[Counted]) -> Vec<Self> {
        let mut counts: Vec<Self> = Vec::new();
        counts.resize_with(broadcasts, Self::default);
        for row in counted {
            let one = usize::try_from(row.place - 1).ok().and_then(|place| counts.get_mut(place));
            let Some(one) = one else { continue };
            *match row.status() {
                Some("failed") => &mut one.failed,
                Some("delivered") => &mut one.delivered,
                Some("read") => &mut one.read,
                Some("sent") => &mut one.sent,
                _ => &mut one.pending,
            } += row.count;
        }
        counts
    }
}
