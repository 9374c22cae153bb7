//! Values that occur, for the drop-downs of dashboards.

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::envelope::{One, one};
use super::reader::{Authorized, OrganizationQuery};
use crate::http::Error;
use crate::store::facet::{self, Facet, FacetRow};

/// Maximum values of a list.
const MAX_VALUES: usize = 1000;

/// Values by which lists can be filtered, sorted. A list has at most 1,000 of them.
#[derive(Default, Serialize, ToSchema)]
struct Facets {
    /// Statuses of rooms: filter `status` of `/v1/rooms`.
    room_statuses: Values,
    /// Tags of rooms: filter `tag`.
    tags: Values,
    /// Channels of rooms and messages: filter `channel`.
    channels: Values,
    /// Channel integrations of rooms, messages and broadcasts: filter `channel_integration_id`.
    channel_integrations: ChannelIntegrations,
    /// Agents of rooms and messages, sorted by name: filter `agent` of `/v1/rooms`, `sender_id` of
    /// `/v1/messages`.
    agents: Agents,
    /// Templates of broadcasts: filter `template_id` of `/v1/broadcasts`.
    templates: Templates,
    /// Types of messages: filter `type` of `/v1/messages`.
    message_types: Values,
    /// Statuses of messages: filter `status` of `/v1/messages`.
    message_statuses: Values,
    /// Kinds of events: filter `kind` of `/v1/events`.
    event_kinds: Values,
    /// Names of events, as sent by Qontak: filter `name` of `/v1/events`.
    event_names: Values,
    /// Endpoints that received events: filter `endpoint` of `/v1/events`.
    endpoints: Values,
}

#[derive(Default, Serialize, ToSchema)]
#[schema(as = FacetValues)]
struct Values {
    values: Vec<String>,
    /// Whether there are more values than these.
    has_more: bool,
}

#[derive(Default, Serialize, ToSchema)]
#[schema(as = FacetChannelIntegrations)]
struct ChannelIntegrations {
    values: Vec<ChannelIntegration>,
    /// Whether there are more values than these.
    has_more: bool,
}

/// A channel integration (a WhatsApp number, a page, …).
#[derive(Serialize, ToSchema)]
#[schema(as = FacetChannelIntegration)]
struct ChannelIntegration {
    /// Qontak's id of the channel integration.
    id: String,
    /// Its channel; null if no room or message named both.
    channel: Option<String>,
    /// Its name; null until it was read from Qontak.
    name: Option<String>,
}

#[derive(Default, Serialize, ToSchema)]
#[schema(as = FacetAgents)]
struct Agents {
    values: Vec<Agent>,
    /// Whether there are more values than these.
    has_more: bool,
}

/// An agent.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[schema(as = FacetAgent)]
struct Agent {
    /// Qontak's id of the user.
    id: String,
    /// Name, as read from Qontak or from the agent's messages; null if neither is known.
    name: Option<String>,
}

#[derive(Default, Serialize, ToSchema)]
#[schema(as = FacetTemplates)]
struct Templates {
    values: Vec<Template>,
    /// Whether there are more values than these.
    has_more: bool,
}

/// A template of broadcasts.
#[derive(Serialize, ToSchema)]
#[schema(as = FacetTemplate)]
struct Template {
    /// Qontak's id of the template.
    id: String,
    /// Its name; null until it was read from Qontak.
    name: Option<String>,
}

impl Facets {
    /// Sorts rows, which are in order of name and value, into their lists.
    fn of(rows: Vec<FacetRow>) -> Self {
        let mut facets = Self::default();
        for FacetRow { name, value, channel, label } in rows {
            let Some(facet) = Facet::from_name(&name) else { continue };
            let list = match facet {
                Facet::Agent => {
                    let Agents { values, has_more } = &mut facets.agents;
                    push(values, has_more, Agent { id: value, name: label });
                    continue;
                }
                Facet::ChannelIntegration => {
                    let ChannelIntegrations { values, has_more } = &mut facets.channel_integrations;
                    let integration = ChannelIntegration { id: value, channel, name: label };
                    push(values, has_more, integration);
                    continue;
                }
                Facet::Template => {
                    let Templates { values, has_more } = &mut facets.templates;
                    push(values, has_more, Template { id: value, name: label });
                    continue;
                }
                Facet::Channel => &mut facets.channels,
                Facet::Endpoint => &mut facets.endpoints,
                Facet::EventKind => &mut facets.event_kinds,
                Facet::EventName => &mut facets.event_names,
                Facet::MessageStatus => &mut facets.message_statuses,
                Facet::MessageType => &mut facets.message_types,
                Facet::RoomStatus => &mut facets.room_statuses,
                Facet::Sender => continue,
                Facet::Tag => &mut facets.tags,
            };
            push(&mut list.values, &mut list.has_more, value);
        }
        facets.agents.values.sort_by(|a, b| {
            let key = |agent: &Agent| (agent.name.is_none(), agent.name.clone(), agent.id.clone());
            key(a).cmp(&key(b))
        });
        facets
    }
}

fn push<T>(values: &mut Vec<T>, has_more: &mut bool, value: T) {
    if values.len() < MAX_VALUES {
        values.push(value);
    } else {
        *has_more = true;
    }
}

/// List the values by which lists can be filtered
///
/// For drop-downs: statuses, tags, channels, agents, templates and so on that have occurred in data
/// of the organisations of the key. A value stays when the last row with it has another one.
#[utoipa::path(
    get, path = "/facets", params(OrganizationQuery), responses((status = OK, body = One<Facets>))
)]
pub async fn show(
    Authorized { reader, .. }: Authorized,
    State(db): State<PgPool>,
) -> Result<impl IntoResponse, Error> {
    // One value more than is returned tells whether there are more.
    let limit = MAX_VALUES as i64 + 1;
    let rows = facet::list(&db, reader.organizations(), limit).await?;
    Ok(one(Facets::of(rows)))
}
