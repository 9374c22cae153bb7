//! Qontak's webhook settings: which events are on, and which URLs receive them.
//!
//! An event is on or off for the whole organisation, and the URLs of a category receive all of its events
//! that are on. So nothing here ever switches an event off: another receiver may use it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::client::{Client, Route};
use super::error::Error;
use crate::config::{HookEvent, WebhookUrl};

/// Events that have no documented call: only Qontak's dashboard switches them.
pub const DASHBOARD_ONLY: [&str; 5] = [
    "agent_assigned_to_room",
    "agent_unassigned_from_room",
    "agent_handover_room",
    "custom_agent_allocation",
    "available_user_status",
];

/// Maximum depth at which settings are looked for in an answer.
const MAX_DEPTH: u32 = 4;

/// Group of events that share their URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Category {
    /// Name of the call that reads and sets them.
    pub name: &'static str,
    /// Its events.
    pub events: &'static [HookEvent],
}

/// All categories with a documented call.
pub const CATEGORIES: [Category; 3] = [
    Category {
        name: "message_interactions",
        events: &[
            HookEvent::ReceiveMessageFromCustomer,
            HookEvent::ReceiveMessageFromAgent,
            HookEvent::StatusMessage,
            HookEvent::BroadcastLogStatus,
        ],
    },
    Category {
        name: "room_interactions",
        events: &[HookEvent::RoomCreated, HookEvent::RoomResolved],
    },
    Category { name: "waba_interactions", events: &[HookEvent::StatusTemplate] },
];

/// Setting of one event.
#[derive(Clone, Default)]
pub struct Toggle {
    /// Whether it is on.
    pub is_enabled: bool,
    /// URLs that receive it; a URL that is registered twice is in it twice.
    pub urls: Vec<String>,
}

/// Settings of all events that Qontak shows.
#[derive(Clone, Default)]
pub struct Hooks(BTreeMap<HookEvent, Toggle>);

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Problem {
    /// It is switched off.
    Off,
    /// The URL is not registered in its category.
    UrlMissing,
    /// The URL is registered twice in its category, so each event arrives twice.
    UrlTwice,
}

impl Problem {
    /// Name in logs, metrics and the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An event compared with what is expected of it.
pub struct Assessment {
    /// The event.
    pub event: HookEvent,
    /// Its category.
    pub category: &'static str,
    /// Whether it is on.
    pub is_enabled: bool,
    /// Whether it should be on.
    pub is_wanted: bool,
    /// How often the expected URL is registered in the category.
    pub own_urls: usize,
    /// How many other URLs are.
    pub other_urls: usize,
    /// What is wrong.
    pub problem: Option<Problem>,
}

impl Hooks {
    /// Reads the settings. Any of the calls may return those of all categories.
    pub async fn fetch(client: &Client) -> Result<Self, Error> {
        let mut hooks = Self::default();
        for category in CATEGORIES {
            if hooks.has(category) {
                continue;
            }
            match client.call(Route::get(category.name, ""), None).await {
                Ok(answer) => hooks.add(&answer["data"], MAX_DEPTH),
                // Only the first is known to exist.
                Err(Error::NotFound { .. } | Error::Rejected { .. })
                    if category.name != CATEGORIES[0].name => {}
                Err(error) => return Err(error),
            }
            if !hooks.has(CATEGORIES[0]) {
                let problem = "no message event in it";
                return Err(Error::UnknownForm { route: category.name, problem });
            }
        }
        Ok(hooks)
    }

    /// Whether the settings of a category can be read.
    pub fn has(&self, category: Category) -> bool {
        category.events.iter().any(|event| self.0.contains_key(event))
    }

    /// Whether an event is on; `None` if Qontak does not show it.
    pub fn is_enabled(&self, event: HookEvent) -> Option<bool> {
        self.0.get(&event).map(|toggle| toggle.is_enabled)
    }

    /// How often a URL is registered in a category.
    pub fn count(&self, category: Category, url: &str) -> usize {
        let count = |event: &HookEvent| {
            let urls = self.0.get(event).map_or(&[][..], |toggle| &toggle.urls);
            urls.iter().filter(|it| is_same(it, url)).count()
        };
        category.events.iter().map(count).max().unwrap_or(0)
    }

    /// Other URLs in a category.
    pub fn others(&self, category: Category, url: &str) -> BTreeSet<&str> {
        let toggles = category.events.iter().filter_map(|event| self.0.get(event));
        let urls = toggles.flat_map(|toggle| &toggle.urls).map(String::as_str);
        urls.filter(|it| !is_same(it, url)).collect()
    }

    /// Compares the settings with what is expected. Events that Qontak does not show are left out.
    pub fn assess(&self, url: &WebhookUrl, wanted: &[HookEvent]) -> Vec<Assessment> {
        let mut assessments = Vec::new();
        for category in CATEGORIES {
            let own_urls = self.count(category, url.expose());
            let other_urls = self.others(category, url.expose()).len();
            for event in category.events {
                let Some(is_enabled) = self.is_enabled(*event) else { continue };
                let is_wanted = wanted.contains(event);
                let problem = match own_urls {
                    _ if !is_wanted => None,
                    _ if !is_enabled => Some(Problem::Off),
                    0 => Some(Problem::UrlMissing),
                    1 => None,
                    _ => Some(Problem::UrlTwice),
                };
                assessments.push(Assessment {
                    event: *event,
                    category: category.name,
                    is_enabled,
                    is_wanted,
                    own_urls,
                    other_urls,
                    problem,
                });
            }
        }
        assessments
    }

    fn add(&mut self, settings: &Value, depth: u32) {
        let Some(fields) = settings.as_object().filter(|_| depth > 0) else { return };
        for (name, value) in fields {
            let toggle = value.as_object().and_then(toggle);
            match (name.parse(), toggle) {
                (Ok(event), Some(toggle)) => _ = self.0.insert(event, toggle),
                _ => self.add(value, depth - 1),
            }
        }
    }
}

fn toggle(fields: &Map<String, Value>) -> Option<Toggle> {
    let is_enabled = match fields.get("enabled")? {
        Value::Bool(is_enabled) => *is_enabled,
        Value::String(text) => text == "true",
        _ => false,
    };
    let rows = fields.get("webhooks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut ids = BTreeSet::new();
    let mut urls = Vec::new();
    for row in rows {
        let id = row["id"].to_string();
        let url = row["url"].as_str().map(str::trim).filter(|url| !url.is_empty());
        if let Some(url) = url
            && (row["id"].is_null() || ids.insert(id))
        {
            urls.push(url.to_owned());
        }
    }
    Some(Toggle { is_enabled, urls })
}

/// A slash at the end makes no difference to this service.
fn is_same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

/// A URL without its secrets: scheme, host and path, with the last part of the path cut.
pub fn masked(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host_and_path = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    match host_and_path.trim_end_matches('/').rsplit_once('/') {
        Some((start, last)) => {
            let shown: String = last.chars().take(4).collect();
            format!("{scheme}://{start}/{shown}…")
        }
        None => format!("{scheme}://{host_and_path}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hooks(settings: &Value) -> Hooks {
        let mut hooks = Hooks::default();
        hooks.add(settings, MAX_DEPTH);
        hooks
    }

    #[test]
    fn settings_are_found_at_any_place_and_rows_are_counted_by_id() {
        let row = |id: Value, url: &str| json!({"id": id, "event": "message", "url": url});
        let urls = [
            row(json!("1"), "https://a.example/in/t"),
            row(json!("1"), "https://a.example/in/t"),
            row(json!("2"), "https://a.example/in/t/"),
            row(json!("3"), ""),
            row(Value::Null, " https://b.example "),
        ];
        let toggle = json!({"enabled": "true", "webhooks": urls});
        for settings in [
            json!({"name": "Toko Maju", "status_message": toggle, "room_created": 1}),
            json!({"message_interaction": {"status_message": toggle}}),
            json!({"webhooks": {"message": {"status_message": toggle}}}),
        ] {
            let hooks = hooks(&settings);
            assert_eq!(hooks.is_enabled(HookEvent::StatusMessage), Some(true), "{settings}");
            assert_eq!(hooks.is_enabled(HookEvent::RoomCreated), None);
            assert_eq!(hooks.count(CATEGORIES[0], "https://a.example/in/t"), 2);
            let others = hooks.others(CATEGORIES[0], "https://a.example/in/t");
            assert_eq!(others, ["https://b.example"].into());
        }
    }

    #[test]
    fn masked_urls_contain_no_token() {
        for (url, expected) in [
            (
                "https://a.example/webhooks/qontak/secret-token",
                "https://a.example/webhooks/qontak/secr…",
            ),
            ("https://a.example/in/secret-token/?key=secret", "https://a.example/in/secr…"),
            ("https://user:secret@a.example", "https://a.example"),
        ] {
            assert_eq!(masked(url), expected);
        }
    }
}
