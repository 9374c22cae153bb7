//! Agents, templates, channel integrations and divisions, as Qontak's API lists them, with the states that
//! webhooks report.

use axum::extract::State;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::page::{List, PageQuery};
use super::reader::{AuthorizedList, OrganizationQuery};
use crate::http::Error;
use crate::http::extract::Id;
use crate::http::query::value::{AnyOf, Flag, Word};
use crate::model::Timestamp;
use crate::query;
use crate::store::catalog::{self, CatalogRow, Filter, Kind, Place};
use crate::store::catalog_state::{self, AvailabilityRow, TemplateStateRow};
use crate::store::walk::Walk;

/// An agent.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogAgent)]
pub struct Agent {
    /// Qontak's id of the user.
    id: String,
    /// Organisation.
    organization_id: String,
    /// Name.
    name: Option<String>,
    #[serde(flatten)]
    data: AgentData,
    /// Time of the newest report of its state, by a webhook or a sync; null without any.
    state_at: Option<Timestamp>,
    /// Time of the last sync that listed it; null if only a webhook mentioned it.
    synced_at: Option<Timestamp>,
}

#[derive(Deserialize, Serialize, ToSchema)]
struct AgentData {
    /// E-mail address.
    email: Option<String>,
    /// Role, such as `agent` or `admin`.
    role: Option<String>,
    /// Whether the agent is online, as of `state_at`.
    is_online: Option<bool>,
}

/// A WhatsApp template.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogTemplate)]
pub struct Template {
    /// Qontak's id of the template.
    id: String,
    /// Organisation.
    organization_id: String,
    /// Name.
    name: Option<String>,
    #[serde(flatten)]
    data: TemplateData,
    /// Time of the newest report of its state, by a webhook or a sync; null without any.
    state_at: Option<Timestamp>,
    /// Time of the last sync that listed it; null if only a webhook mentioned it.
    synced_at: Option<Timestamp>,
}

#[derive(Deserialize, Serialize, ToSchema)]
struct TemplateData {
    /// Language, such as `id`.
    language: Option<String>,
    /// `APPROVED`, `PENDING`, `REJECTED`, `PAUSED`, …
    status: Option<String>,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`, …
    category: Option<String>,
    /// Meta's rating.
    quality_rating: Option<String>,
    /// Meta's rating in words.
    quality_rating_text: Option<String>,
    /// Why it was rejected or paused.
    reason: Option<String>,
    /// Text with parameters `{{1}}`, …
    body: Option<String>,
    /// Header, as Qontak shows it.
    header: Option<Value>,
    /// Footer, as Qontak shows it.
    footer: Option<Value>,
    /// Buttons, as Qontak shows them.
    buttons: Option<Value>,
}

/// A channel integration: a WhatsApp number, a page, …
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogChannel)]
pub struct Channel {
    /// Qontak's id of the channel integration.
    id: String,
    /// Organisation.
    organization_id: String,
    /// Name of the account.
    name: Option<String>,
    #[serde(flatten)]
    data: ChannelData,
    /// Time of the last sync that listed it; null if only a webhook mentioned it.
    synced_at: Option<Timestamp>,
}

#[derive(Deserialize, Serialize, ToSchema)]
struct ChannelData {
    /// Channel: `wa_cloud`, `ig`, `web_chat`, …
    target_channel: Option<String>,
    /// Business number of WhatsApp.
    phone_number: Option<String>,
    /// Whether it is active.
    is_active: Option<bool>,
}

/// A division.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogDivision)]
pub struct Division {
    /// Qontak's id of the division.
    id: String,
    /// Organisation.
    organization_id: String,
    /// Name.
    name: Option<String>,
    /// Time of the last sync that listed it; null if only a webhook mentioned it.
    synced_at: Option<Timestamp>,
}

/// A contact list.
#[derive(Serialize, ToSchema)]
#[schema(as = CatalogContactList)]
pub struct ContactList {
    /// Qontak's id of the contact list.
    id: String,
    /// Organisation.
    organization_id: String,
    /// Name.
    name: Option<String>,
    #[serde(flatten)]
    data: ContactListData,
    /// Time of the last sync that listed it.
    synced_at: Option<Timestamp>,
}

/// What is stored of a contact list.
#[derive(Deserialize, Serialize, ToSchema)]
pub struct ContactListData {
    /// Where its contacts come from: `spreadsheet`, `crm_dynamic`, …
    source_type: Option<String>,
    /// Qontak's id of the source; null for a spreadsheet.
    source_id: Option<String>,
    /// Number of contacts.
    contacts_count: Option<i64>,
    /// Number of contacts that were imported.
    contacts_count_success: Option<i64>,
    /// Number of contacts that failed to import.
    contacts_count_failed: Option<i64>,
    /// Names of its columns.
    contact_variables: Option<Vec<String>>,
    /// State of the import, such as `success`.
    progress: Option<String>,
    /// When Qontak created it.
    created_at: Option<String>,
    /// When Qontak changed it.
    updated_at: Option<String>,
    /// End of the import; null while it runs.
    finished_at: Option<String>,
}

/// Fields of a row of Qontak; those of another type than expected are null.
pub fn data<T: DeserializeOwned>(mut data: Value) -> T {
    if let Ok(data) = T::deserialize(&data) {
        return data;
    }
    let names: Vec<String> =
        data.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    for name in names {
        let value = data[&name].take();
        let mut one = Value::Object(serde_json::Map::new());
        one[&name] = value.clone();
        if T::deserialize(&one).is_ok() {
            data[&name] = value;
        }
    }
    T::deserialize(&data).expect("each field is of its type or null")
}

query! {
    /// Filter of the list of agents.
    pub struct AgentQuery {
        /// Whether the agent is online.
        is_online: Flag,
    }
}

query! {
    /// Filter of the list of templates.
    pub struct TemplateQuery {
        /// Filter by status, whatever its case: `APPROVED`, `PAUSED`, …; templates with any of several.
        status: AnyOf<Word>,
    }
}

macro_rules! list {
    (@query) => { () };
    (@query $query:ty) => { $query };
    (
        $(#[$doc:meta])* $name:ident($($query:ty)?), $path:literal, $kind:ident, $type:ident,
        |$filter:ident| $make:expr, |$row:ident| $show:expr
    ) => {
        $(#[$doc])*
        #[utoipa::path(
            get, path = $path, params($($query,)? OrganizationQuery, PageQuery),
            responses((status = OK, body = List<$type>))
        )]
        pub async fn $name(
            AuthorizedList { reader, page, query: $filter }: AuthorizedList<Place, list!(@query $($query)?)>,
            State(db): State<PgPool>,
        ) -> Result<Response, Error> {
            let filter: Filter = $make;
            let fetch = async move |walk: Walk<Place>| {
                let organizations = reader.organizations();
                let rows = catalog::list(&db, organizations, Kind::$kind, &filter, &walk).await?;
                Ok(rows.into_iter().map(|$row: CatalogRow| $show).collect())
            };
            let place = |row: &$type| {
                Place { id: row.id.clone(), organization_id: row.organization_id.clone() }
            };
            page.respond(fetch, place).await
        }
    };
}

list! {
    /// List agents, by id, with their availability
    ///
    /// As of the last sync with Qontak, and of webhooks since then.
    agents(AgentQuery), "/agents", Agent, Agent,
    |query| Filter {
        is_online: query.is_online.map(|flag| flag.0), ..Filter::default()
    },
    |row| Agent {
        id: row.id, organization_id: row.organization_id, name: row.name, data: data(row.data),
        state_at: row.state_at, synced_at: row.synced_at,
    }
}

list! {
    /// List WhatsApp templates, by id, with their states
    ///
    /// As of the last sync with Qontak, and of webhooks since then.
    templates(TemplateQuery), "/templates", Template, Template,
    |query| Filter { status: query.status.map(AnyOf::words), ..Filter::default() },
    |row| Template {
        id: row.id, organization_id: row.organization_id, name: row.name, data: data(row.data),
        state_at: row.state_at, synced_at: row.synced_at,
    }
}

list! {
    /// List channel integrations, by id, as of the last sync with Qontak
    channels(), "/channels", Channel, Channel, |_query| Filter::default(), |row| Channel {
        id: row.id, organization_id: row.organization_id, name: row.name, data: data(row.data),
        synced_at: row.synced_at,
    }
}

list! {
    /// List divisions, by id, as of the last sync with Qontak
    divisions(), "/divisions", Division, Division, |_query| Filter::default(), |row| Division {
        id: row.id, organization_id: row.organization_id, name: row.name, synced_at: row.synced_at,
    }
}

list! {
    /// List contact lists, by id, as of the last sync with Qontak
    contact_lists(), "/contact-lists", ContactList, ContactList, |_query| Filter::default(),
    |row| ContactList {
        id: row.id, organization_id: row.organization_id, name: row.name, data: data(row.data),
        synced_at: row.synced_at,
    }
}

/// List when an agent was online and when not, newest first
#[utoipa::path(
    get, path = "/agents/{id}/availability", params(OrganizationQuery, PageQuery),
    responses((status = OK, body = List<AvailabilityRow>))
)]
pub async fn availability(
    AuthorizedList { reader, page, .. }: AuthorizedList<catalog_state::Place>,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let found = catalog::find(&db, reader.organizations(), Kind::Agent, &id).await?;
    let organization_id = found.ok_or(Error::NotFound)?;
    let fetch = async move |walk: Walk<catalog_state::Place>| {
        catalog_state::list_availability(&db, &organization_id, &id, &walk).await
    };
    page.respond(fetch, AvailabilityRow::place).await
}

/// List the changes of a template's state, newest first
///
/// Status, category, quality, and the reason of a rejection.
#[utoipa::path(
    get, path = "/templates/{id}/history", params(OrganizationQuery, PageQuery),
    responses((status = OK, body = List<TemplateStateRow>))
)]
pub async fn history(
    AuthorizedList { reader, page, .. }: AuthorizedList<catalog_state::Place>,
    Id(id): Id,
    State(db): State<PgPool>,
) -> Result<Response, Error> {
    let found = catalog::find(&db, reader.organizations(), Kind::Template, &id).await?;
    let organization_id = found.ok_or(Error::NotFound)?;
    let fetch = async move |walk: Walk<catalog_state::Place>| {
        catalog_state::list_template(&db, &organization_id, &id, &walk).await
    };
    page.respond(fetch, TemplateStateRow::place).await
}
