//! State of the fake, and how it is changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fault::Fault;
use super::page::{Cursors, PageQuery, Row, page};
use super::record::{Created, Records};
use crate::model::Timestamp;
use crate::simulate::expected::Expected;
use crate::simulate::world::{Ids, Subject, World};

/// Events by category, as in Qontak's settings.
pub const CATEGORIES: [(&str, &[&str]); 4] = [
    (
        "message_interactions",
        &[
            "receive_message_from_customer",
            "receive_message_from_agent",
            "status_message",
            "broadcast_log_status",
        ],
    ),
    ("room_interactions", &["room_created", "room_resolved"]),
    ("waba_interactions", &["status_template"]),
    (
        "agent_responsibility",
        &[
            "agent_assigned_to_room",
            "agent_unassigned_from_room",
            "agent_handover_room",
            "custom_agent_allocation",
            "available_user_status",
        ],
    ),
];

/// Time of the first event, in milliseconds since 1970.
const START: i64 = 1_749_690_000_000;

/// The fake; cheap to clone.
#[derive(Clone)]
pub struct Fake(Arc<Mutex<State>>);

impl Fake {
    /// A new organisation without webhooks.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State::new(seed))))
    }

    /// Everything that a client needs to log in.
    pub fn credentials(&self) -> Credentials {
        self.state().credentials()
    }

    /// Changes the state, as `PATCH /fake` does.
    pub fn change(&self, change: Change) {
        self.state().change(change);
    }

    /// The state, as `GET /fake` shows it.
    pub fn show(&self) -> Value {
        self.state().show()
    }

    /// Waits until calls are not held any more.
    pub(super) async fn wait(&self) {
        while self.state().is_held {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Locks the state.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of the lock panics")
    }
}

/// A registered URL.
#[derive(Clone, Serialize)]
pub struct Webhook {
    /// Id of the row.
    pub id: String,
    /// URL.
    pub url: String,
}

/// Credentials for both schemes.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are those of the settings")]
pub struct Credentials {
    pub organization_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub access_token: String,
    pub refresh_token: String,
}

/// A change of the state; absent fields change nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Events to switch on.
    pub on: Vec<String>,
    /// Events to switch off, as somebody in the dashboard does.
    pub off: Vec<String>,
    /// URLs to add, also if they are there, by category.
    pub add: BTreeMap<String, String>,
    /// URLs to remove, by category.
    pub remove: BTreeMap<String, String>,
    /// Fault of the next requests.
    pub fault: Option<Fault>,
    /// Number of requests with the fault.
    pub times: usize,
    /// Whether calls that create something, and answers to refreshes of tokens, wait.
    pub hold: Option<bool>,
    /// Lets the access token expire.
    pub expire: bool,
    /// Lifetime of the next access token, in seconds.
    pub expires_in: Option<i64>,
    /// Offset of the clock, in seconds.
    pub clock_offset: Option<i64>,
    /// Whether a settings call shows only its own category.
    pub is_split: Option<bool>,
    /// Whether removing a URL switches its events off.
    pub is_removal_off: Option<bool>,
    /// Whether every page of a list is its first page.
    pub is_page_stuck: Option<bool>,
    /// Maximum rows of a page.
    pub max_rows: Option<usize>,
    /// Whether the messages of a room can be listed.
    pub has_messages: Option<bool>,
    /// Titles of the incidents of the status page.
    pub incidents: Option<Vec<String>>,
    /// Status that created templates get, such as `REJECTED`. `PENDING` leaves contact lists unfinished,
    /// with `EMPTY` no contact is imported, with `GONE` nothing created is found.
    pub outcome: Option<String>,
    /// Whether these credentials may list contact lists.
    pub has_contact_lists: Option<bool>,
    /// A contact list that somebody creates in the dashboard: some of its fields.
    pub contact_list: Option<Value>,
}

/// Everything that requests read and change.
pub struct State {
    pub ids: Ids,
    /// Seconds to add to the clock.
    pub clock_offset: i64,
    /// Whether calls that create something, and answers to refreshes of tokens, wait.
    pub is_held: bool,
    /// Number of the current pair of tokens.
    pub generation: u32,
    /// Whether the current access token has expired.
    pub is_expired: bool,
    pub expires_in: i64,
    /// Times that a refresh token was used which was not the current one.
    pub reused: u32,
    pub enabled: BTreeMap<&'static str, bool>,
    pub webhooks: BTreeMap<&'static str, Vec<Webhook>>,
    pub is_split: bool,
    pub is_removal_off: bool,
    pub is_page_stuck: bool,
    pub max_rows: usize,
    pub has_messages: bool,
    /// Clock and random numbers of what happens in the organisation.
    pub world: World,
    pub records: Records,
    /// State that a receiver shows if it has every event.
    pub expected: Expected,
    pub faults: VecDeque<Fault>,
    pub incidents: Vec<String>,
    pub outcome: Option<String>,
    pub has_contact_lists: bool,
    pub templates: Vec<Created>,
    pub contact_lists: Vec<Created>,
    /// Number of requests by method and path, faults included.
    pub requests: BTreeMap<String, u32>,
    rows: u32,
}

impl State {
    pub fn new(seed: u64) -> Self {
        let events = CATEGORIES.iter().flat_map(|(_, events)| *events);
        Self {
            ids: Ids::new(seed),
            clock_offset: 0,
            is_held: false,
            generation: 0,
            is_expired: false,
            expires_in: 29_823_918,
            reused: 0,
            enabled: events.map(|event| (*event, false)).collect(),
            webhooks: BTreeMap::new(),
            is_split: false,
            is_removal_off: false,
            is_page_stuck: false,
            max_rows: 100,
            has_messages: true,
            world: World::new(seed, START),
            records: Records::default(),
            expected: Expected::new(Ids::new(seed)),
            faults: VecDeque::new(),
            incidents: Vec::new(),
            outcome: None,
            has_contact_lists: true,
            templates: Vec::new(),
            contact_lists: Vec::new(),
            requests: BTreeMap::new(),
            rows: 0,
        }
    }

    /// The fake's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp(Timestamp::now().0 + chrono::TimeDelta::seconds(self.clock_offset))
    }

    pub fn organization_id(&self) -> String {
        self.ids.of(Subject::Organization, 0).to_string()
    }

    pub fn credentials(&self) -> Credentials {
        Credentials {
            organization_id: self.organization_id(),
            client_id: self.secret("client-id", 0),
            client_secret: self.secret("client-secret", 0),
            access_token: self.secret("access", self.generation),
            refresh_token: self.secret("refresh", self.generation),
        }
    }

    pub fn secret(&self, kind: &str, number: u32) -> String {
        let place = number * 8 + kind.len() as u32 % 8;
        format!("fake-{kind}-{}", self.ids.of(Subject::Other, place).simple())
    }

    pub fn change(&mut self, change: Change) {
        for (events, is_on) in [(&change.on, true), (&change.off, false)] {
            for event in events {
                self.switch(event, is_on);
            }
        }
        for (category, url) in &change.add {
            self.add(category, url);
        }
        for (category, url) in &change.remove {
            self.remove(category, url);
        }
        if let Some(fault) = change.fault {
            self.faults.extend(std::iter::repeat_n(fault, change.times.max(1)));
        }
        self.is_held = change.hold.unwrap_or(self.is_held);
        self.is_expired |= change.expire;
        self.expires_in = change.expires_in.unwrap_or(self.expires_in);
        self.clock_offset = change.clock_offset.unwrap_or(self.clock_offset);
        self.is_split = change.is_split.unwrap_or(self.is_split);
        self.is_removal_off = change.is_removal_off.unwrap_or(self.is_removal_off);
        self.is_page_stuck = change.is_page_stuck.unwrap_or(self.is_page_stuck);
        self.max_rows = change.max_rows.unwrap_or(self.max_rows).max(1);
        self.has_contact_lists = change.has_contact_lists.unwrap_or(self.has_contact_lists);
        self.has_messages = change.has_messages.unwrap_or(self.has_messages);
        if let Some(list) = &change.contact_list {
            self.create_contact_list(list);
        }
        self.outcome = change.outcome.or_else(|| self.outcome.take());
        self.incidents = change.incidents.unwrap_or_else(|| self.incidents.clone());
    }

    /// Switches an event on or off; returns whether there is such an event.
    pub fn switch(&mut self, event: &str, is_on: bool) -> bool {
        self.enabled.get_mut(event).map(|enabled| *enabled = is_on).is_some()
    }

    /// Adds a URL to a category.
    pub fn add(&mut self, category: &str, url: &str) {
        let known = CATEGORIES.iter().find(|(name, _)| *name == category);
        if let Some((category, _)) = known {
            self.rows += 1;
            let row = Webhook { id: format!("hook-{}", self.rows), url: url.to_owned() };
            self.webhooks.entry(category).or_default().push(row);
        }
    }

    /// Removes a URL from a category.
    pub fn remove(&mut self, category: &str, url: &str) {
        if let Some(rows) = self.webhooks.get_mut(category) {
            rows.retain(|row| row.url != url);
        }
    }

    /// The requested page of these rows.
    pub fn page(&self, rows: Vec<Row>, query: &PageQuery, cursors: Cursors) -> Json<Value> {
        page(rows, query, cursors, self.max_rows, self.is_page_stuck)
    }

    /// What a person or a test wants to see.
    pub fn show(&self) -> Value {
        json!({
            "credentials": self.credentials(),
            "refreshes": self.generation,
            "reused": self.reused,
            "enabled": self.enabled,
            "webhooks": self.webhooks,
            "requests": self.requests,
            "faults": self.faults.len(),
            "created": self.templates.len() + self.contact_lists.len(),
        })
    }
}
