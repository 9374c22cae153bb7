//! Scripts and style sheets. `assets/VERSIONS` lists those of others.
//!
//! The URL contains a hash of all files, so browsers keep them for ever and never use an old one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::event::BodyHash;
use crate::http::Error;

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

static FILES: [(&str, &str, &str); 7] = [
    ("console.css", CSS, include_str!("assets/console.css")),
    ("console.js", SCRIPT, include_str!("assets/console.js")),
    ("icon.svg", SVG, include_str!("assets/icon.svg")),
    ("htmx.js", SCRIPT, include_str!("assets/htmx.js")),
    ("htmx-sse.js", SCRIPT, include_str!("assets/htmx-sse.js")),
    ("uplot.css", CSS, include_str!("assets/uplot.css")),
    ("uplot.js", SCRIPT, include_str!("assets/uplot.js")),
];

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: String = FILES.iter().map(|(_, _, text)| *text).collect();
    BodyHash::of(all.as_bytes()).to_hex()[..12].to_owned()
});

/// URL of a file.
pub fn url(file: &str) -> String {
    format!("/console/assets/{}/{file}", *VERSION)
}

/// `/console/assets/{version}/{file}`. Needs no session: the sign-in page uses them too.
pub async fn file(Path((version, file)): Path<(String, String)>) -> Response {
    let found = FILES.iter().find(|(name, _, _)| *name == file && version == *VERSION);
    let Some((_, media_type, text)) = found else { return Error::NotFound.into_response() };
    let immutable = "public, max-age=31536000, immutable";
    ([(CONTENT_TYPE, *media_type), (CACHE_CONTROL, immutable)], *text).into_response()
}
