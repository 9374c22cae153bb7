//! Broadcasts: their funnel and their recipients.

mod funnel;
mod times;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use self::funnel::{Counts, Funnel};
use super::envelope::{One, one};
use super::names::{Mention, Names};
use super::page::{List, PageQuery};
use super::reader::{Authorized, AuthorizedList, OrganizationQuery};
use super::status::{Explained, Progress, StatusTime};
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::{AnyOf, DayOrTime, Text, period};
use crate::model::Status;
use crate::store::broadcast::{self, BroadcastRow, Filter, Place};
use crate::store::broadcast_log::{
    self, LogKey, LogRow, Place as LogPlace, count, funnel as recipients,
};
use crate::store::catalog::Kind;
use crate::store::walk::Walk;
use crate::{query, store};

/// A broadcast with its delivery funnel.
#[derive(Serialize, ToSchema)]
#[schema(as = Broadcast_Funnel)]
struct Broadcast {
    #[serde(flatten)]
    row: BroadcastRow,
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    recipients: Funnel,
}

/// Names of what a broadcast mentions by id.
#[derive(Serialize, ToSchema)]
#[schema(as = Broadcast_Names)]
struct Named {
    /// Name of the template; null until it was read from Qontak.
    template_name: Option<String>,
    /// Name of the channel integration; null until it was read from Qontak.
    channel_name: Option<String>,
}

impl Named {
    fn of(row: &BroadcastRow, names: &Names) -> Self {
        let [template, channel] = mentions(row);
        Self { template_name: names.get(template), channel_name: names.get(channel) }
    }
}

/// What a broadcast mentions by id.
fn mentions(row: &BroadcastRow) -> [Mention<'_>; 2] {
    let organization = row.organization_id.as_deref();
    [
        (organization, Kind::Template, row.template_id.as_deref()),
        (organization, Kind::Channel, row.channel_integration_id.as_deref()),
    ]
}

/// A broadcast with its recipients by status. Not one generic type with [`Broadcast`], because
/// utoipa does not expand a flattened type parameter, and CSV needs its columns.
#[derive(Serialize, ToSchema)]
#[schema(as = Broadcast_Counts)]
struct Listed {
    #[serde(flatten)]
    row: BroadcastRow,
    #[serde(flatten)]
    named: Named,
    #[serde(flatten)]
    recipients: Counts,
}

impl Listed {
    /// Its place in the list.
    fn place(&self) -> Place {
        self.row.place()
    }
}

/// A recipient of a broadcast.
#[derive(Serialize, ToSchema)]
pub struct Log {
    #[serde(flatten)]
    pub row: LogRow,
    #[serde(flatten)]
    explained: Explained,
    #[serde(flatten)]
    pub progress: Progress,
    /// Name of the template; null until it was read from Qontak.
    template_name: Option<String>,
}

query! {
    /// Filters of the list of broadcasts.
    pub struct BroadcastQuery {
        /// Filter by a part of the name; case does not matter.
        name: Text,
        /// Filter by channel integration (a WhatsApp number).
        channel_integration_id: Text,
        /// Filter by template.
        template_id: Text,
        /// Created on this day (`2025-06-12`, UTC) or at this time, or later.
        start_date: DayOrTime,
        /// Created until the end of this day (UTC), or before this time.
        end_date: DayOrTime,
    }
}

/// List broadcasts, newest first, each with its recipients by status and by statuses reached
#[utoipa::path(
    get, path = "/broadcasts", params(BroadcastQuery, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<Listed>))
)]
pub async fn list(
    AuthorizedList { reader, query, page }: AuthorizedList<Place, BroadcastQuery>,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let (since, until) = period(query.start_date, query.end_date, &Utc)?;
    let filter = Filter {
        name: query.name.map(|text| text.0),
        channel_integration_id: query.channel_integration_id.map(|text| text.0),
        template_id: query.template_id.map(|text| text.0),
        since,
        until,
    };
    let fetch = async move |walk: Walk<Place>| {
        let rows = broadcast::list(&db, reader.organizations(), &filter, &walk).await?;
        let mut db = store::begin_key_reads(&db).await?;
        let counts = Counts::of_each(rows.len(), &count::list(&mut *db, &rows).await?);
        let names = Names::find(&mut *db, rows.iter().flat_map(mentions)).await?;
        let broadcasts = rows.into_iter().zip(counts).map(|(row, recipients)| {
            let named = Named::of(&row, &names);
            Listed { row, named, recipients }
        });
        Ok(broadcasts.collect())
    };
    page.respond(fetch, Listed::place).await
}

/// Get a broadcast with its delivery funnel
#[utoipa::path(
    get, path = "/broadcasts/{id}", params(OrganizationQuery),
    responses((status = OK, body = One<Broadcast>))
)]
pub async fn show(
    Authorized { reader, .. }: Authorized,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    // One snapshot, so that the counts of all statements agree.
    let mut db = store::snapshot(&db).await?;
    let found = broadcast::find(&mut *db, reader.organizations(), &id).await?;
    let row = found.ok_or(Error::NotFound)?;
    let organization_id = row.organization_id.as_deref().unwrap_or_default();
    let counted = count::list(&mut *db, std::slice::from_ref(&row)).await?;
    let groups = recipients::groups(&mut *db, organization_id, &id).await?;
    let mut funnel = Funnel::of(&counted, groups);
    let codes = funnel.error_codes();
    funnel.set_examples(&recipients::examples(&mut *db, organization_id, &id, &codes).await?);
    let names = Names::find(&mut *db, mentions(&row).into_iter()).await?;
    let named = Named::of(&row, &names);
    Ok(one(Broadcast { row, named, recipients: funnel }))
}

query! {
    /// Filters of the list of recipients.
    pub struct LogQuery {
        /// Filter by effective status; recipients with any of several, `sent,delivered`.
        status: AnyOf<Status>,
    }
}

/// List the recipients of a broadcast, newest first
#[utoipa::path(
    get, path = "/broadcasts/{id}/logs", params(LogQuery, OrganizationQuery, PageQuery),
    responses((status = OK, body = List<Log>))
)]
pub async fn logs(
    AuthorizedList { reader, query, page }: AuthorizedList<LogPlace, LogQuery>,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let row = broadcast::find(&db, reader.organizations(), &id).await?.ok_or(Error::NotFound)?;
    let organization_id = row.organization_id.unwrap_or_default();
    let status = query.status.map(AnyOf::names);
    let fetch = async move |walk: Walk<LogPlace>| {
        let broadcast = (organization_id.as_str(), id.as_str());
        let keys = broadcast_log::list(&db, broadcast, status.as_deref(), &walk).await?;
        find_logs(&mut *store::begin_key_reads(&db).await?, &keys).await
    };
    page.respond(fetch, Log::place).await
}

/// Recipients in the order of the keys. `db` should have generic plans: [`store::begin_key_reads`].
pub async fn find_logs(db: &mut PgConnection, keys: &[LogKey]) -> sqlx::Result<Vec<Log>> {
    let rows = broadcast_log::show(&mut *db, keys).await?;
    let names = Names::find(db, rows.iter().map(template_of)).await?;
    Ok(rows.into_iter().map(|row| Log::new(row, &names)).collect())
}

/// The template of a recipient's message.
fn template_of(row: &LogRow) -> Mention<'_> {
    let id = row.messages_broadcast_template_id.as_deref();
    (row.organization_id.as_deref(), Kind::Template, id)
}

impl Log {
    /// Its place in the list of its broadcast.
    fn place(&self) -> LogPlace {
        self.row.place()
    }

    /// Whether it belongs to the broadcast.
    pub fn is_of(&self, broadcast: &BroadcastRow) -> bool {
        self.row.messages_broadcast_id.as_ref() == Some(&broadcast.id)
            && self.row.organization_id == broadcast.organization_id
    }

    fn new(row: LogRow, names: &Names) -> Self {
        let times = [
            ("created", StatusTime::best(None, row.created_at, row.created_seen_at)),
            ("pending", StatusTime::best(row.pending_at, None, row.pending_seen_at)),
            ("sent", StatusTime::best(row.sent_at, None, row.sent_seen_at)),
            ("delivered", StatusTime::best(row.delivered_at, None, row.delivered_seen_at)),
            ("read", StatusTime::best(row.read_at, None, row.read_seen_at)),
            ("failed", StatusTime::best(row.failed_at, None, row.failed_seen_at)),
        ];
        let explained = Explained::of(row.error_code);
        let template_name = names.get(template_of(&row));
        Self { row, explained, progress: Progress::outgoing(times), template_name }
    }
}
