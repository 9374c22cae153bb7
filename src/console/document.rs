//! The HTML document around a page, its security headers, and what a part shows instead of data.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::api::ApiError;
use super::assets;
use super::format::text::cut;
use super::icon::{Icon, icon};
use super::language::Words;
use super::preferences::Preferences;

/// Content security policy: nothing inline, and nothing of another origin.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Settings of htmx: no style element, no `eval`, no copies of pages in the browser's storage. Errors
/// are shown where the page would have been. A request without an answer, as on a connection that was lost
/// with the network, is given up and tried again.
const HTMX: &str = r#"{"timeout":15000,"includeIndicatorStyles":false,"allowEval":false,"historyCacheSize":0,
    "refreshOnHistoryMiss":true,"selfRequestsOnly":true,"responseHandling":[
    {"code":"204","swap":false},{"code":"[23]..","swap":true},
    {"code":"[45]..","swap":false,"error":true}]}"#;

/// The whole document.
pub fn document(
    status: StatusCode,
    preferences: &Preferences,
    title: &str,
    body: &Markup,
) -> Response {
    let (language, theme): (&str, &str) = (preferences.language.into(), preferences.theme.into());
    let page = html! {
        (DOCTYPE)
        html lang=(language) data-theme=(theme) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX);
                title { (title) }
                link rel="icon" href=(assets::url("icon.svg"));
                link rel="stylesheet" href=(assets::url("uplot.css"));
                link rel="stylesheet" href=(assets::url("console.css"));
                @for script in ["htmx.js", "htmx-sse.js", "uplot.js", "console.js"] {
                    script defer src=(assets::url(script)) {}
                }
            }
            body { (body) }
        }
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
    ];
    (status, headers, page.into_string()).into_response()
}

/// What went wrong in a part of a page.
pub fn problem(words: &Words, error: &ApiError) -> Markup {
    problem_with(words, error, words.query_cut_hint)
}

/// What went wrong with all that a page shows.
pub fn problem_of_page(words: &Words, error: &ApiError) -> Markup {
    problem_with(words, error, words.query_cut_page_hint)
}

fn problem_with(words: &Words, error: &ApiError, cut_hint: &str) -> Markup {
    html! {
        div.empty role="alert" {
            (icon(Icon::Warning))
            p { strong { (error_title(words, error)) } }
            @if error.is_cut() { p.muted { (cut_hint) } }
            @else if error.status != StatusCode::NOT_FOUND {
                @for message in &error.messages { p.muted { (cut(message, 500)) } }
            }
            @if let Some(id) = &error.request_id { p.muted { (words.request_id) " " code { (id) } } }
        }
    }
}

/// What went wrong, in the visitor's language.
pub fn error_title(words: &Words, error: &ApiError) -> &'static str {
    match error.status {
        _ if error.is_cut() => words.query_cut,
        StatusCode::NOT_FOUND => words.not_found,
        StatusCode::FORBIDDEN => words.forbidden,
        StatusCode::UNPROCESSABLE_ENTITY => words.invalid_filter,
        StatusCode::TOO_MANY_REQUESTS => words.too_many_requests,
        StatusCode::SERVICE_UNAVAILABLE => words.unavailable,
        _ => words.failed_to_load,
    }
}

/// What a part shows that has nothing to show.
pub fn empty(title: &str, hint: &str) -> Markup {
    html! {
        div.empty {
            (icon(Icon::Empty))
            p { strong { (title) } }
            p.muted { (hint) }
        }
    }
}
