//! Frame of every page: heading, navigation and preferences, and the errors of a page.

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use strum::VariantNames;

use super::api::ApiError;
use super::assets;
use super::document::{document, error_title, problem_of_page};
use super::format::text::cut;
use super::icon::{Icon, icon};
use super::language::Words;
use super::parameters::link;
use super::preferences::{self, Language, Theme, ZONES};
use super::session::Visitor;
use crate::event::Kind;
use crate::http::Error;

/// A part of the console.
#[derive(Clone, Copy, PartialEq)]
pub enum Section {
    /// Health and traffic.
    Overview,
    /// Rooms and messages.
    Conversations,
    /// Broadcasts.
    Broadcasts,
    /// Failed deliveries.
    Deliveries,
    /// The journal.
    Events,
    /// Ledger and reconciliation.
    Ledger,
    /// Agents.
    Agents,
    /// Templates.
    Templates,
    /// Everything about an id.
    Trace,
}

impl Section {
    const ALL: [Self; 9] = [
        Self::Overview,
        Self::Conversations,
        Self::Broadcasts,
        Self::Deliveries,
        Self::Events,
        Self::Ledger,
        Self::Agents,
        Self::Templates,
        Self::Trace,
    ];

    /// Its path, icon and name.
    const fn parts(self, words: &'static Words) -> (&'static str, Icon, &'static str) {
        match self {
            Self::Overview => ("/console", Icon::Overview, words.overview),
            Self::Conversations => {
                ("/console/conversations", Icon::Conversations, words.conversations)
            }
            Self::Broadcasts => ("/console/broadcasts", Icon::Broadcasts, words.broadcasts),
            Self::Deliveries => ("/console/deliveries", Icon::Deliveries, words.deliveries),
            Self::Events => ("/console/events", Icon::Events, words.events),
            Self::Ledger => ("/console/ledger", Icon::Ledger, words.ledger),
            Self::Agents => ("/console/agents", Icon::Agents, words.agents),
            Self::Templates => ("/console/templates", Icon::Templates, words.templates),
            Self::Trace => ("/console/trace", Icon::Trace, words.trace),
        }
    }
}

/// What is inside the frame.
pub struct Content {
    /// Title of the page.
    pub title: String,
    /// Its heading; by default the title.
    pub heading: Option<&'static str>,
    /// Link to the list that the page belongs to; `None` for a list.
    pub parent: Option<String>,
    /// Links and buttons beside the heading.
    pub actions: Markup,
    /// The rest.
    pub body: Markup,
}

#[derive(Deserialize)]
struct Organization {
    id: String,
}

/// The page, or what went wrong.
pub async fn page(
    visitor: &Visitor,
    section: Section,
    content: Result<Content, ApiError>,
) -> Response {
    let words = visitor.words();
    let (status, content) = match content {
        Ok(content) => (StatusCode::OK, content),
        // The key was revoked since the request began.
        Err(error) if error.status == StatusCode::UNAUTHORIZED => {
            return (StatusCode::SEE_OTHER, [(LOCATION, "/console/sign-in")]).into_response();
        }
        Err(error) => (error.status, of_error(words, &error)),
    };
    let (_, _, name) = section.parts(words);
    let organizations = match visitor.sees_several {
        true => {
            let api = visitor.api.of_all_organizations();
            api.list::<Organization>("/v1/organizations", &[("limit", "100")]).await
        }
        false => return respond(status, visitor, section, name, &content, &[]),
    };
    let organizations = organizations.map_or_else(|_| Vec::new(), |list| list.data);
    respond(status, visitor, section, name, &content, &organizations)
}

fn respond(
    status: StatusCode,
    visitor: &Visitor,
    section: Section,
    name: &str,
    content: &Content,
    organizations: &[Organization],
) -> Response {
    let words = visitor.words();
    let title = if content.title == name {
        name.to_owned()
    } else {
        format!("{} · {name}", cut(&content.title, 80))
    };
    let stream = (!visitor.is_masked).then(|| visitor.link("/console/stream", &[]));
    let body = html! {
        a.skip href="#main" { (words.skip_to_content) }
        div #loading role="progressbar" aria-label=(words.loading) {}
        div.frame hx-ext="sse" sse-connect=[stream] data-kinds=(Kind::VARIANTS.join(" ")) {
            aside.side {
                a.brand href=(visitor.link("/console", &[])) {
                    img src=(assets::url("icon.svg")) alt="" width="28" height="28";
                    span { "Qontak Receiver" }
                }
                nav aria-label=(words.navigation) {
                    @for one in Section::ALL {
                        @let (path, picture, name) = one.parts(words);
                        a href=(visitor.link(path, &[])) aria-current=[(one == section).then_some("page")] {
                            (icon(picture)) span { (name) }
                        }
                    }
                }
                div.side-end {
                    @if visitor.is_masked {
                        p.live.on.polled { (words.every_minute) }
                    } @else {
                        p.live #live role="status" data-on=(words.live) data-off=(words.reconnecting) { (words.not_live) }
                    }
                    (settings(visitor))
                }
            }
            main #main tabindex="-1" {
                header.heading {
                    div.title {
                        @if let Some(back) = back(visitor, content.parent.as_deref()) {
                            a.button.back href=(back) data-back aria-label=(words.back) title=(words.back) { (icon(Icon::Back)) }
                        }
                        h1 { bdi { (content.heading.map_or_else(|| cut(&content.title, 200), str::to_owned)) } }
                    }
                    div.actions #actions {
                        @if organizations.len() > 1 { (organization_form(visitor, section, organizations)) }
                        (content.actions)
                    }
                }
                div #problem .banner.bad role="alert" hidden data-failed=(words.refresh_failed)
                    data-offline=(words.offline) {}
                (content.body)
            }
        }
    };
    document(status, &visitor.preferences, &title, &body)
}

/// Link to where the visitor came from: from the page of one thing to the list that led there, or else to
/// `parent`; from a part of a list to the page that has a link to it.
pub fn back(visitor: &Visitor, parent: Option<&str>) -> Option<String> {
    let path = |page: &str| page.split('?').next().unwrap_or_default().to_owned();
    let from = visitor.referrer.as_deref().filter(|page| path(page) != visitor.uri.path());
    let Some(parent) = parent else {
        let is_own = |name: &str| {
            !preferences::NAMES.contains(&name) && !["organization_id", "period"].contains(&name)
        };
        let is_part = visitor.parameters.pairs().any(|(name, _)| is_own(name));
        let below = format!("{}/", visitor.uri.path());
        let from = from.filter(|page| is_part && !page.starts_with(&below));
        return from.map(str::to_owned);
    };
    // Not to the trace, which leads back here.
    let is_list = |page: &&str| {
        let path = path(page);
        let sections = Section::ALL.into_iter().filter(|one| *one != Section::Trace);
        sections.map(|one| one.parts(visitor.words()).0).any(|one| one == path)
    };
    Some(from.filter(is_list).unwrap_or(parent).to_owned())
}

/// Choice of the organisation. It keeps the filters; from the page of one thing it leads to the list.
fn organization_form(
    visitor: &Visitor,
    section: Section,
    organizations: &[Organization],
) -> Markup {
    let words = visitor.words();
    let (path, _, _) = section.parts(words);
    let kept = visitor.parameters.pairs().filter(|(name, _)| {
        visitor.uri.path() == path && !["organization_id", "cursor"].contains(name)
    });
    let chosen = visitor.organization.as_str();
    let is_listed = organizations.iter().any(|one| one.id == chosen);
    html! {
        form.organization method="get" action=(path) {
            @for (name, value) in kept { input type="hidden" name=(name) value=(value); }
            select name="organization_id" aria-label=(words.organization) data-submit {
                option value="" { (words.all_organizations) }
                @if !chosen.is_empty() && !is_listed { option value=(chosen) selected { (cut(chosen, 60)) } }
                @for one in organizations {
                    option value=(one.id) selected[one.id == chosen] { (cut(&one.id, 60)) }
                }
            }
            button.no-script { (words.choose) }
        }
    }
}

/// Preferences and sign-out, in a menu that needs no script.
fn settings(visitor: &Visitor) -> Markup {
    let words = visitor.words();
    let preferences = &visitor.preferences;
    // Parameters take precedence over the cookie, so they would undo the choice.
    let kept = visitor.parameters.pairs().filter(|(name, _)| !preferences::NAMES.contains(name));
    let next = link(visitor.uri.path(), &kept.collect::<Vec<_>>());
    html! {
        details.menu {
            summary { (icon(Icon::Settings)) span { bdi { (cut(&visitor.key_name, 40)) } } }
            div.menu-panel {
                form method="post" action="/console/preferences" {
                    input type="hidden" name="next" value=(next);
                    label { (words.language)
                        select name="language" {
                            option value="en" selected[preferences.language == Language::En] { "English" }
                            option value="id" selected[preferences.language == Language::Id] { "Bahasa Indonesia" }
                        }
                    }
                    label { (words.time_zone)
                        select name="time_zone" {
                            @if !ZONES.contains(&preferences.zone) {
                                option selected { (preferences.zone.name()) }
                            }
                            @for zone in ZONES {
                                option selected[zone == preferences.zone] { (zone.name()) }
                            }
                        }
                    }
                    label { (words.theme)
                        select name="theme" {
                            option value="auto" selected[preferences.theme == Theme::Auto] { (words.theme_auto) }
                            option value="light" selected[preferences.theme == Theme::Light] { (words.theme_light) }
                            option value="dark" selected[preferences.theme == Theme::Dark] { (words.theme_dark) }
                        }
                    }
                    button { (words.save) }
                }
                p { a href="/docs" { (words.api_documentation) } }
                form method="post" action="/console/sign-out" { button { (words.sign_out) } }
            }
        }
    }
}

/// The content of a page that failed: never that of another one.
fn of_error(words: &'static Words, error: &ApiError) -> Content {
    Content {
        title: error_title(words, error).to_owned(),
        heading: Some(match error.status {
            StatusCode::NOT_FOUND => words.nothing_found,
            _ => words.problem,
        }),
        parent: None,
        actions: html! {},
        body: html! { section.card { (problem_of_page(words, error)) } },
    }
}

/// Any other path.
pub async fn missing(visitor: Visitor) -> Response {
    let error = ApiError::from_error(&Error::NotFound);
    page(&visitor, Section::Overview, Err(error)).await
}
