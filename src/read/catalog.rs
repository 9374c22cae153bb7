//! Agents, templates, channel integrations and divisions, as Qontak's API lists them.

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
use crate::model::Timestamp;
use crate::store::catalog::{self, CatalogRow, Kind, Place};
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
    /// Time of the sync.
    synced_at: Timestamp,
}

#[derive(Deserialize, Serialize, ToSchema)]
struct AgentData {
    /// E-mail address.
    email: Option<String>,
    /// Role, such as `agent` or `admin`.
    role: Option<String>,
    /// Whether the agent was online at the sync.
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
    /// Time of the sync.
    synced_at: Timestamp,
}

#[derive(Deserialize, Serialize, ToSchema)]
struct TemplateData {
    /// Language, such as `id`.
    language: Option<String>,
    /// `APPROVED`, `PENDING`, `REJECTED`, …
    status: Option<String>,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`, …
    category: Option<String>,
    /// Meta's rating.
    quality_rating: Option<String>,
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
    /// Time of the sync.
    synced_at: Timestamp,
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
    /// Time of the sync.
    synced_at: Timestamp,
}

/// Fields of a row of Qontak; those of another type than expected are null.
fn data<T: DeserializeOwned>(mut data: Value) -> T {
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

macro_rules! list {
    ($(#[$doc:meta])* $name:ident, $path:literal, $kind:ident, $type:ident, |$row:ident| $show:expr) => {
        $(#[$doc])*
        #[utoipa::path(
            get, path = $path, params(OrganizationQuery, PageQuery),
            responses((status = OK, body = List<$type>))
        )]
        pub async fn $name(
            AuthorizedList { reader, page, .. }: AuthorizedList<Place>,
            State(db): State<PgPool>,
        ) -> Result<Response, Error> {
            let fetch = async move |walk: Walk<Place>| {
                let rows = catalog::list(&db, reader.organizations(), Kind::$kind, &walk).await?;
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
    /// List agents, by id, as of the last sync with Qontak
    agents, "/agents", Agent, Agent, |row| Agent {
        id: row.id, organization_id: row.organization_id, name: row.name, data: data(row.data),
        synced_at: row.synced_at,
    }
}

list! {
    /// List WhatsApp templates, by id, as of the last sync with Qontak
    templates, "/templates", Template, Template, |row| Template {
        id: row.id, organization_id: row.organization_id, name: row.name, data: data(row.data),
        synced_at: row.synced_at,
    }
}

list! {
    /// List channel integrations, by id, as of the last sync with Qontak
    channels, "/channels", Channel, Channel, |row| Channel {
        id: row.id, organization_id: row.organization_id, name: row.name, data: data(row.data),
        synced_at: row.synced_at,
    }
}

list! {
    /// List divisions, by id, as of the last sync with Qontak
    divisions, "/divisions", Division, Division, |row| Division {
        id: row.id, organization_id: row.organization_id, name: row.name, synced_at: row.synced_at,
    }
}
