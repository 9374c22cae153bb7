//! Channel integrations and templates in the format of Qontak's API, as far as webhooks show them.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::page::{OpenList, Page, PageQuery, Place};
use crate::http::Error;
use crate::http::query::value::{Several, Text};
use crate::model::Timestamp;
use crate::query;
use crate::read::reader::{Authorized, OrganizationQuery};
use crate::store::broadcast::{self, TemplateRow};
use crate::store::event::subject::{self, Subject};
use crate::store::room;
use crate::store::walk::Walk;

/// Rooms that are searched for integrations.
const LATEST: i64 = 1000;

/// A channel integration: a WhatsApp number, a page, …
#[derive(Serialize, ToSchema)]
#[schema(as = OpenIntegration)]
struct Integration {
    id: String,
    organization_id: Option<String>,
    /// `wa_cloud`, `ig`, `web_chat`, …
    target_channel: Option<String>,
    settings: Settings,
    /// Always true: rooms of it were active.
    is_active: bool,
    /// Always null: no webhook contains it.
    created_at: Option<Timestamp>,
}

/// Settings of an integration. Qontak's secrets are not known here.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenIntegrationSettings)]
struct Settings {
    /// Name of the business account.
    account_name: Option<String>,
    /// Business number; null if no room event contained it.
    phone_number: Option<String>,
}

/// A WhatsApp template. Fields are null that neither a broadcast nor an event about it contained.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenTemplate)]
struct Template {
    id: String,
    organization_id: Option<String>,
    name: Option<Value>,
    language: Option<Value>,
    /// `{format, example}`.
    header: Option<Value>,
    /// Text with parameters `{{1}}`, …
    body: Option<Value>,
    footer: Option<Value>,
    /// `[{type, text}]`.
    buttons: Option<Value>,
    /// `APPROVED`, `REJECTED`, …
    status: Option<Value>,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`, …
    category: Option<Value>,
    quality_rating: Option<Value>,
    quality_rating_text: Option<Value>,
}

query! {
    /// Filter of the list of integrations.
    pub struct IntegrationQuery {
        /// Filter by channels: `wa_cloud`, `ig`, `web_chat`, …
        target_channel: Several<Text>,
    }
}

/// List channel integrations in the format of Qontak's API, by id
///
/// These are the integrations of the 1,000 rooms last active.
#[utoipa::path(
    get, path = "/integrations", params(PageQuery, IntegrationQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Integration>))
)]
pub async fn list_integrations(
    Authorized { reader, query: (page, query) }: Authorized<(Page, IntegrationQuery)>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let channel = query.target_channel.map(|channels| {
        channels.0.into_iter().map(|channel| channel.0.trim().to_ascii_lowercase()).collect()
    });
    let filter = room::Filter { channel, ..room::Filter::default() };
    let keys = room::list(&db, reader.organizations(), &filter, &Walk::first(LATEST)).await?;
    let mut integrations: BTreeMap<(String, Option<String>), Integration> = BTreeMap::new();
    for room in room::show(&db, &keys).await? {
        let Some(id) = room.channel_integration_id else { continue };
        let key = (id.clone(), room.organization_id.clone());
        let integration = integrations.entry(key).or_insert_with(|| Integration {
            id,
            organization_id: room.organization_id,
            target_channel: None,
            settings: Settings { account_name: None, phone_number: None },
            is_active: true,
            created_at: None,
        });
        let Integration { target_channel, settings, .. } = integration;
        let phone = room.channel_uniq_id.filter(|number| number.starts_with('+'));
        *target_channel = target_channel.take().or(room.channel);
        settings.account_name = settings.account_name.take().or(room.channel_account);
        settings.phone_number = settings.phone_number.take().or(phone);
    }
    let rows: Vec<Integration> = integrations.into_values().collect();
    let place = |row: &Integration| place(&row.id, row.organization_id.as_deref());
    let total = page.count().map(|_| rows.len() as i64);
    let rows = page.select(rows, place);
    Ok(page.respond(rows, total, place, |row| row))
}

/// List WhatsApp templates in the format of Qontak's API, by id
///
/// These are the templates of the latest 1,000 broadcasts. Name, language, status and category come
/// from the newest event about the template in the journal.
#[utoipa::path(
    get, path = "/templates/whatsapp", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Template>))
)]
pub async fn list_templates(
    Authorized { reader, query: page }: Authorized<Page>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let rows = broadcast::list_templates(&db, reader.organizations()).await?;
    let total = page.count().map(|_| rows.len() as i64);
    let place = |row: &TemplateRow| place(&row.id, row.organization_id.as_deref());
    let rows = page.select(rows, place);
    let events = newest_events(&db, &rows).await?;
    let rows = rows.into_iter().zip(events).collect();
    Ok(page.respond(rows, total, |(row, _)| place(row), Template::new))
}

fn place(id: &str, organization_id: Option<&str>) -> Place {
    Place::by_ids(vec![id.to_owned(), organization_id.unwrap_or_default().to_owned()])
}

/// The newest event about each template; null if the journal has none.
async fn newest_events(db: &PgPool, templates: &[TemplateRow]) -> sqlx::Result<Vec<Value>> {
    let subject = |row: &TemplateRow| Subject {
        organization_id: row.organization_id.clone().unwrap_or_default(),
        id: row.id.clone(),
        since: Timestamp::default(),
    };
    let subjects: Vec<Subject> = templates.iter().map(subject).collect();
    let newest = |bodies: Vec<Vec<u8>>| serde_json::from_slice(bodies.first()?).ok();
    let bodies = subject::bodies(db, &subjects).await?;
    Ok(bodies.into_iter().map(|bodies| newest(bodies).unwrap_or_default()).collect())
}

impl Template {
    fn new((row, event): (TemplateRow, Value)) -> Self {
        let of_event = |name: &str| event.get(name).filter(|value| !value.is_null()).cloned();
        let messages = row.messages.unwrap_or_default();
        let of_broadcast = |name: &str| {
            let template = messages.get(name)?.get("template")?;
            let is_blank =
                template.is_null() || template.as_object().is_some_and(|it| it.is_empty());
            (!is_blank).then(|| template.clone())
        };
        let either = |name| of_event(name).or_else(|| of_broadcast(name));
        Self {
            id: row.id,
            organization_id: row.organization_id,
            name: of_event("name"),
            language: of_event("language"),
            header: either("header"),
            body: either("body"),
            footer: of_event("footer"),
            buttons: either("buttons"),
            status: of_event("status"),
            category: of_event("category"),
            quality_rating: of_event("quality_rating"),
            quality_rating_text: of_event("quality_rating_text"),
        }
    }
}
