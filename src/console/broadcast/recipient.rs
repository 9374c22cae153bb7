//! Recipients of a broadcast.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde::Deserialize;

use crate::console::api::{ApiError, List, encode};
use crate::console::conversation::message::StatusTime;
use crate::console::conversation::room::tone;
use crate::console::format;
use crate::console::format::text::{name, name_or};
use crate::console::language::term::term;
use crate::console::session::Visitor;
use crate::console::table::{Column, list};
use crate::console::translated::Translated;

/// Statuses by which recipients are filtered.
const STATUSES: [&str; 6] = ["created", "pending", "sent", "delivered", "read", "failed"];

/// A recipient.
#[derive(Deserialize)]
pub struct Recipient {
    id: String,
    contact_full_name: Option<String>,
    contact_phone_number: Option<String>,
    contact_id: Option<String>,
    status: Option<String>,
    status_times: BTreeMap<String, StatusTime>,
    error_code: Option<i64>,
    error_title: Option<String>,
    error_meaning: Option<Translated>,
}

/// The list with links that filter it by status.
pub fn draw(visitor: &Visitor, id: &str, recipients: &Result<List<Recipient>, ApiError>) -> Markup {
    let (words, language) = (visitor.words(), visitor.preferences.language);
    let path = format!("/console/broadcasts/{}", encode(id));
    let chosen = visitor.parameters.get("status");
    let columns = [
        Column(words.recipient, false),
        Column(words.account, false),
        Column(words.status, false),
        Column(words.status_at, false),
        Column(words.reason, false),
    ];
    let body =
        list(visitor, recipients, &columns, (words.no_recipients, ""), |row| row.cells(visitor));
    html! {
        nav.switch.scroll aria-label=(words.status) {
            a href=(visitor.link(&path, &[])) aria-current=[chosen.is_empty().then_some("true")] { (words.all) }
            @for status in STATUSES {
                a href=(visitor.link(&path, &[("status", status)])) aria-current=[(chosen == status).then_some("true")] {
                    (term(language, status))
                }
            }
        }
        (body)
    }
}

impl Recipient {
    fn cells(&self, visitor: &Visitor) -> Vec<Markup> {
        let (words, preferences) = (visitor.words(), &visitor.preferences);
        let status = self.status.as_deref().unwrap_or_default();
        let account = self.contact_phone_number.as_deref().or(self.contact_id.as_deref());
        let trace = visitor.link("/console/trace", &[("id", &self.id)]);
        let at = self.status_times.get(status).map(|time| time.at);
        vec![
            html! { a data-row href=(trace) { (name_or(self.contact_full_name.as_deref(), words.unknown)) } },
            name_or(account, "–"),
            html! { span.chip.{ (tone(status)) } { (term(preferences.language, status)) } },
            at.map_or(html! { "–" }, |at| format::time(preferences, at)),
            html! {
                @match (&self.error_meaning, &self.error_title) {
                    (Some(text), _) => (text.of(visitor)),
                    (None, Some(title)) => (name(title)),
                    (None, None) => { @if let Some(code) = self.error_code { (code) } },
                }
            },
        ]
    }
}
