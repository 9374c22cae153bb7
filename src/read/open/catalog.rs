//! Channel integrations, templates, divisions and contact lists in the format of Qontak's API: as the last
//! sync found them there, and as far as webhooks show them.

use std::collections::BTreeMap;

use axum::Json;
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
use crate::read::catalog::{ContactListData, data};
use crate::read::reader::{Authorized, OrganizationQuery, Reader};
use crate::store::broadcast::{self, TemplateRow};
use crate::store::catalog::{self, CatalogRow, Filter, Kind};
use crate::store::room;
use crate::store::walk::Walk;

/// Rooms that are searched for integrations, and rows of a sync that are added to what webhooks show.
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
    /// Whether it is active; true if only webhooks mention it.
    is_active: bool,
    /// Always null: it is not stored.
    created_at: Option<Timestamp>,
}

/// Settings of an integration. Qontak's secrets are never stored.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenIntegrationSettings)]
struct Settings {
    /// Name of the business account.
    account_name: Option<String>,
    /// Business number; null if neither a sync nor a room event contained it.
    phone_number: Option<String>,
}

/// A WhatsApp template. Fields are null that neither a sync, a broadcast nor an event about it contained.
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
/// These are the integrations of the last sync with Qontak, and those of the 1,000 rooms last active.
#[utoipa::path(
    get, path = "/integrations", params(PageQuery, IntegrationQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Integration>))
)]
pub async fn list_integrations(
    Authorized { reader, query: (page, query) }: Authorized<(Page, IntegrationQuery)>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let channel: Option<Vec<String>> = query.target_channel.map(|channels| {
        channels.0.into_iter().map(|channel| channel.0.trim().to_ascii_lowercase()).collect()
    });
    let filter = room::Filter { channel: channel.clone(), ..room::Filter::default() };
    let keys = room::list(&db, reader.organizations(), &filter, &Walk::first(LATEST)).await?;
    let mut integrations: BTreeMap<Key, Integration> = BTreeMap::new();
    for room in room::show(&db, &keys).await? {
        let Some(id) = room.channel_integration_id else { continue };
        let key = (id, room.organization_id);
        let integration = integrations.entry(key).or_insert_with_key(Integration::new);
        let Integration { target_channel, settings, .. } = integration;
        let phone = room.channel_uniq_id.filter(|number| number.starts_with('+'));
        *target_channel = target_channel.take().or(room.channel);
        settings.account_name = settings.account_name.take().or(room.channel_account);
        settings.phone_number = settings.phone_number.take().or(phone);
    }
    for row in synced(&db, &reader, Kind::Channel).await? {
        let text = |name: &str| row.data[name].as_str().map(str::to_owned);
        let target_channel = text("target_channel");
        let is_wanted = channel.as_ref().is_none_or(|wanted| {
            target_channel.as_ref().is_some_and(|it| wanted.contains(&it.to_ascii_lowercase()))
        });
        if !is_wanted {
            continue;
        }
        let integration = integrations.entry(key(&row)).or_insert_with_key(Integration::new);
        let settings = &mut integration.settings;
        settings.account_name = row.name.clone().or_else(|| settings.account_name.take());
        settings.phone_number = text("phone_number").or_else(|| settings.phone_number.take());
        integration.target_channel = target_channel.or_else(|| integration.target_channel.take());
        integration.is_active = row.data["is_active"].as_bool().unwrap_or(true);
    }
    let rows: Vec<Integration> = integrations.into_values().collect();
    let place = |row: &Integration| place(&row.id, row.organization_id.as_deref());
    let total = page.count().map(|_| rows.len() as i64);
    let rows = page.select(rows, place);
    Ok(page.respond(rows, total, place, |row| row))
}

/// List WhatsApp templates in the format of Qontak's API, by id
///
/// These are the templates of the last sync with Qontak and of events about them, and those of the latest
/// 1,000 broadcasts.
#[utoipa::path(
    get, path = "/templates/whatsapp", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Template>))
)]
pub async fn list_templates(
    Authorized { reader, query: page }: Authorized<Page>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let used = broadcast::list_templates(&db, reader.organizations()).await?;
    let mut templates: BTreeMap<Key, (Value, Value)> = BTreeMap::new();
    for TemplateRow { id, organization_id, messages } in used {
        templates.entry((id, organization_id)).or_default().0 = messages.unwrap_or_default();
    }
    for row in synced(&db, &reader, Kind::Template).await? {
        let known = templates.entry(key(&row)).or_default();
        known.1 = row.data;
        if let Some(name) = row.name {
            known.1["name"] = name.into();
        }
    }
    let total = page.count().map(|_| templates.len() as i64);
    let place = |(key, _): &(Key, _)| place(&key.0, key.1.as_deref());
    let rows = page.select(templates.into_iter().collect(), place);
    Ok(page.respond(rows, total, place, Template::new))
}

/// A division.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenDivision)]
struct Division {
    id: String,
    organization_id: Option<String>,
    name: Option<String>,
}

/// A contact list.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenContactList)]
struct ContactList {
    id: String,
    organization_id: Option<String>,
    name: Option<String>,
    #[serde(flatten)]
    data: ContactListData,
    /// Always empty: Qontak quotes contacts in it, so it is not stored.
    error_messages: [String; 0],
}

/// List divisions in the format of Qontak's API, by id, as of the last sync with Qontak
#[utoipa::path(
    get, path = "/divisions", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<Division>))
)]
pub async fn list_divisions(
    Authorized { reader, query: page }: Authorized<Page>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let show =
        |row: CatalogRow| Division { organization_id: key(&row).1, id: row.id, name: row.name };
    list(&db, &reader, page, Kind::Division, show).await
}

/// List contact lists in the format of Qontak's API, by id, as of the last sync with Qontak
#[utoipa::path(
    get, path = "/contacts/contact_lists", params(PageQuery, OrganizationQuery),
    responses((status = OK, body = OpenList<ContactList>))
)]
pub async fn list_contact_lists(
    Authorized { reader, query: page }: Authorized<Page>,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    let show = |row: CatalogRow| ContactList {
        organization_id: key(&row).1,
        id: row.id,
        name: row.name,
        data: data(row.data),
        error_messages: [],
    };
    list(&db, &reader, page, Kind::ContactList, show).await
}

/// Id, and organisation if it is known.
type Key = (String, Option<String>);

fn key(row: &CatalogRow) -> Key {
    let organization_id = Some(row.organization_id.clone()).filter(|id| !id.is_empty());
    (row.id.clone(), organization_id)
}

/// Place in a list of any rows that are ordered by these.
pub(super) fn place(id: &str, organization_id: Option<&str>) -> Place {
    Place::by_ids(vec![id.to_owned(), organization_id.unwrap_or_default().to_owned()])
}

/// A page of what syncs have found.
async fn list<T: Serialize>(
    db: &PgPool,
    reader: &Reader,
    page: Page,
    kind: Kind,
    show: impl Fn(CatalogRow) -> T,
) -> Result<Json<OpenList<T>>, Error> {
    let fetch = async |walk: Walk<Place>| {
        let walk =
            walk.map(|place| catalog::Place { id: place.id(0), organization_id: place.id(1) });
        catalog::list(db, reader.organizations(), kind, &Filter::default(), &walk).await
    };
    let total = match page.count() {
        Some(all) => Some(fetch(all).await?.len() as i64),
        None => None,
    };
    let rows = page.cut(fetch(page.walk()).await?);
    let place = |row: &CatalogRow| place(&row.id, Some(&row.organization_id));
    Ok(page.respond(rows, total, place, show))
}

/// All rows of a kind, up to [`LATEST`].
async fn synced(db: &PgPool, reader: &Reader, kind: Kind) -> sqlx::Result<Vec<CatalogRow>> {
    let (organizations, walk) = (reader.organizations(), Walk::first(LATEST));
    catalog::list(db, organizations, kind, &Filter::default(), &walk).await
}

impl Integration {
    fn new((id, organization_id): &Key) -> Self {
        Self {
            id: id.clone(),
            organization_id: organization_id.clone(),
            target_channel: None,
            settings: Settings { account_name: None, phone_number: None },
            is_active: true,
            created_at: None,
        }
    }
}

impl Template {
    /// `messages` is what a broadcast of it has sent, `data` what Qontak's list and events have.
    fn new(((id, organization_id), (messages, data)): (Key, (Value, Value))) -> Self {
        let listed = |name: &str| data.get(name).filter(|value| !value.is_null()).cloned();
        let sent = |name: &str| {
            let template = messages.get(name)?.get("template")?;
            let is_blank =
                template.is_null() || template.as_object().is_some_and(|it| it.is_empty());
            (!is_blank).then(|| template.clone())
        };
        let either = |name| listed(name).or_else(|| sent(name));
        Self {
            id,
            organization_id,
            name: listed("name"),
            language: listed("language"),
            header: either("header"),
            body: either("body"),
            footer: listed("footer"),
            buttons: either("buttons"),
            status: listed("status"),
            category: listed("category"),
            quality_rating: listed("quality_rating"),
            quality_rating_text: listed("quality_rating_text"),
        }
    }
}
