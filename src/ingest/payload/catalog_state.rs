//! Parser of states of templates and agents.
//!
//! Qontak has published no body of these events. They are read as rows of its lists, at every place where
//! other events have their object, and under the names of Meta's webhooks about templates.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{EventContext, Fields};
use crate::event::Kind;
use crate::model::{CatalogState, Timestamp};

/// A template, as one event shows it.
#[derive(Serialize)]
struct Template {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality_rating: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality_rating_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buttons: Option<Box<RawValue>>,
}

/// An agent, as one event shows it.
#[derive(Serialize)]
struct Agent {
    is_online: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
}

/// What [`catalog_state`] needs, for the reason of an event without it.
pub const fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::StatusTemplate => {
            "id and status, category or quality_rating, in the body, data or template"
        }
        _ => "id and is_online, in the body, data, user or agent",
    }
}

/// The state that an event reports; `None` if its shape is not known.
pub fn catalog_state<'a>(
    body: &Fields<'a>,
    kind: Kind,
    context: &EventContext<'_>,
) -> Option<CatalogState> {
    let (kind, names, read): (_, &[&str], Read) = match kind {
        Kind::StatusTemplate => ("template", &["template", "whatsapp_template"], template),
        _ => ("agent", &["user", "agent"], agent),
    };
    let mut places: Vec<Fields<'a>> = Vec::new();
    for place in [Some(body.clone()), body.object_if_any("data")].into_iter().flatten() {
        let inner = names.iter().filter_map(|name| place.object_if_any(name));
        let inner: Vec<Fields<'a>> = inner.collect();
        places.push(place);
        places.extend(inner);
    }
    let (fields, (id, data)) = places.iter().find_map(|place| Some((place, read(place)?)))?;
    let clock =
        |fields: &Fields<'_>| fields.time("updated_at").or_else(|| fields.time("timestamp"));
    let clock: Option<Timestamp> = clock(fields).or_else(|| clock(body));
    Some(CatalogState {
        organization_id: context.organization_id.to_owned(),
        kind,
        id,
        event_id: context.event_id,
        at: context.latest([clock]).unwrap_or(context.received_at),
        data,
    })
}

type Read = fn(&Fields<'_>) -> Option<(String, Box<RawValue>)>;

/// The first of these fields that has a word.
fn word(fields: &Fields<'_>, names: &[&str]) -> Option<String> {
    let words =
        names.iter().filter(|name| fields.has(name)).filter_map(|name| fields.non_blank(name));
    words.map(|word| word.trim().to_owned()).find(|word| !word.eq_ignore_ascii_case("n/a"))
}

fn id(fields: &Fields<'_>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| fields.id(name))
}

fn template(fields: &Fields<'_>) -> Option<(String, Box<RawValue>)> {
    let id = id(fields, &["id", "template_id", "message_template_id"])?;
    let upper = |names| word(fields, names).map(|word| word.to_ascii_uppercase());
    // Meta names the status `event`; elsewhere that is the name of the event.
    let of_meta = || fields.has("message_template_id").then(|| upper(&["event"])).flatten();
    let template = Template {
        name: word(fields, &["name", "template_name", "message_template_name"]),
        language: word(fields, &["language", "message_template_language"]),
        status: upper(&["status", "template_status", "new_status"]).or_else(of_meta),
        category: upper(&["category", "new_category"]),
        quality_rating: upper(&["quality_rating", "new_quality_score", "quality_score"]),
        quality_rating_text: word(fields, &["quality_rating_text"]),
        reason: word(fields, &["reason", "rejected_reason", "rejection_reason"]),
        header: fields.raw("header"),
        body: fields.text("body"),
        footer: fields.raw("footer"),
        buttons: fields.raw("buttons"),
    };
    let is_state = template.status.is_some()
        || template.category.is_some()
        || template.quality_rating.is_some();
    is_state.then_some((id, to_raw_value(&template).ok()?))
}

fn agent(fields: &Fields<'_>) -> Option<(String, Box<RawValue>)> {
    let id = id(fields, &["id", "user_id", "agent_id"])?;
    let flags = ["is_online", "online", "is_available", "available"];
    let flag = flags.iter().filter(|name| fields.has(name)).find_map(|name| fields.boolean(name));
    let by_word = || {
        let word = word(fields, &["status", "availability", "availability_status"])?;
        match word.to_ascii_lowercase().as_str() {
            "online" | "available" | "active" => Some(true),
            "offline" | "unavailable" | "away" | "busy" | "inactive" => Some(false),
            _ => None,
        }
    };
    let agent = Agent {
        is_online: flag.or_else(by_word)?,
        name: word(fields, &["full_name", "name"]),
        email: word(fields, &["email"]),
        role: word(fields, &["role"]),
    };
    Some((id, to_raw_value(&agent).ok()?))
}
