//! Deliveries to customers, of conversations and broadcasts; at first those that failed.

use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::api::encode;
use super::conversation::message::message_link;
use super::conversation::room::tone;
use super::filter::{Field, form};
use super::format;
use super::format::text::{name, name_or};
use super::language::term::term;
use super::layout::{Content, Section, page};
use super::session::Visitor;
use super::table::{Column, list};
use super::translated::Translated;

const FILTERS: &[&str] = &["phone", "error", "broadcast_id", "channel", "start_date", "end_date"];
const STATUSES: [&str; 6] = ["created", "pending", "sent", "delivered", "read", "failed"];

#[derive(Deserialize)]
struct Delivery {
    message_id: Option<String>,
    log_id: Option<String>,
    messages_broadcast_id: Option<String>,
    room_id: Option<String>,
    channel: Option<String>,
    contact_phone_number: Option<String>,
    contact_id: Option<String>,
    contact_full_name: Option<String>,
    is_campaign: bool,
    status: Option<String>,
    error_code: Option<i64>,
    error_title: Option<String>,
    error_details: Option<String>,
    error_meaning: Option<Translated>,
    error_advice: Option<Translated>,
    created_at: Option<DateTime<Utc>>,
}

/// `GET /console/deliveries`.
pub async fn show(visitor: Visitor) -> Response {
    let words = visitor.words();
    let mut query = visitor.parameters.only(FILTERS);
    let status = match visitor.parameters.get("status") {
        "" => "failed",
        "any" => "",
        status => status,
    };
    query.push(("status", status));
    let export = visitor.link("/console/exports/delivery-statuses", &query);
    query.push(("cursor", visitor.parameters.get("cursor")));
    let rows = visitor.api.list::<Delivery>("/v1/delivery-statuses", &query).await;
    let language = visitor.preferences.language;
    let names: Vec<(&str, String)> =
        STATUSES.iter().map(|status| (*status, term(language, status).into_owned())).collect();
    let names = names.iter().map(|(status, name)| (*status, name.as_str()));
    let statuses = [("any", words.all)].into_iter().chain(names);
    let fields = [
        Field::search("phone", words.search_phone),
        Field::choice("status", words.status, statuses).or_else(&term(language, "failed")),
        Field::text("error", words.error_code),
        Field::text("broadcast_id", words.broadcast_id),
        Field::date("start_date", words.from),
        Field::date("end_date", words.until),
    ];
    let columns = [
        Column(words.recipient, false),
        Column(words.sent_at, false),
        Column(words.status, false),
        Column(words.reason, false),
        Column(words.source, false),
    ];
    let nothing = (words.no_deliveries, words.no_deliveries_hint);
    let body = list(&visitor, &rows, &columns, nothing, |row| row.cells(&visitor));
    let content = Content {
        title: words.deliveries.to_owned(),
        heading: None,
        parent: None,
        actions: html! { @if visitor.can_export { a.button href=(export) download { (words.export_csv) } } },
        body: html! {
            (form(&visitor, "#list", &fields, &[]))
            section.card #list hx-get="" hx-select="#list > *" hx-trigger=(visitor.list_trigger()) { (body) }
        },
    };
    page(&visitor, Section::Deliveries, Ok(content)).await
}

impl Delivery {
    fn cells(&self, visitor: &Visitor) -> Vec<Markup> {
        let (words, preferences) = (visitor.words(), &visitor.preferences);
        let status = self.status.as_deref().unwrap_or_default();
        let account = self.contact_phone_number.as_deref().or(self.contact_id.as_deref());
        let id = self.message_id.as_deref().or(self.log_id.as_deref()).unwrap_or_default();
        let trace = visitor.link("/console/trace", &[("id", id)]);
        vec![
            html! {
                div {
                    a data-row href=(trace) { (name_or(self.contact_full_name.as_deref().or(account), words.unknown)) }
                    @if self.contact_full_name.is_some() { div.muted.small { (name_or(account, "")) } }
                }
            },
            self.created_at.map_or(html! { "–" }, |at| format::time(preferences, at)),
            html! { span.chip.{ (tone(status)) } { (term(preferences.language, status)) } },
            html! {
                div {
                    @match (&self.error_meaning, &self.error_title) {
                        (Some(text), _) => (text.of(visitor)),
                        (None, title) => (name_or(title.as_deref(), "–")),
                    }
                    @if let Some(code) = self.error_code { " (" (code) ")" }
                    @if let Some(advice) = &self.error_advice { div.muted.small { (advice.of(visitor)) } }
                    @if let Some(details) = &self.error_details { div.muted.small { (name(details)) } }
                }
            },
            html! {
                div {
                    @match (&self.messages_broadcast_id, &self.room_id) {
                        (Some(id), _) if self.is_campaign => a href=(visitor.link(&format!("/console/broadcasts/{}", encode(id)), &[])) { (words.broadcast) },
                        (_, Some(room)) => a href=(message_link(visitor, room, id, &[])) { (words.conversation) },
                        _ => { "–" }
                    }
                    @if let Some(channel) = &self.channel { div.muted.small { (term(preferences.language, channel)) } }
                }
            },
        ]
    }
}
