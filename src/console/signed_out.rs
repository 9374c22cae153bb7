//! Pages without a session: the sign-in form, and errors before authentication.

use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::api::ApiError;
use super::assets;
use super::document::{document, problem};
use super::preferences::Preferences;

/// The sign-in form, with what was wrong with the last attempt.
pub fn sign_in(
    preferences: &Preferences,
    next: &str,
    wrong: Option<&str>,
    status: StatusCode,
) -> Response {
    let words = preferences.words();
    let body = html! {
        main.sign-in #main {
            form.card method="post" action="/console/sign-in" {
                img src=(assets::url("icon.svg")) alt="" width="44" height="44";
                h1 { (words.sign_in) }
                p.muted { (words.sign_in_hint) }
                input type="hidden" name="next" value=(next);
                label { (words.api_key)
                    input type="password" name="key" required autofocus autocomplete="current-password"
                        spellcheck="false" aria-describedby=[wrong.map(|_| "wrong")];
                }
                @if let Some(text) = wrong { p.wrong #wrong role="alert" { (text) } }
                button.primary { (words.sign_in) }
                p.muted.small { (words.key_hint) " " code { "qontak-receiver key create" } }
            }
        }
    };
    document(status, preferences, words.sign_in, &body)
}

/// An error before the visitor is known.
pub fn error(preferences: &Preferences, error: &ApiError) -> Response {
    let words = preferences.words();
    let body = html! { main.sign-in #main { div.card { (problem(words, error)) } } };
    document(error.status, preferences, words.failed_to_load, &body)
}
