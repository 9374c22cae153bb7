//! `/docs`: RapiDoc, which shows the OpenAPI document and sends requests.
//!
//! It loads nothing from other hosts, so it works without internet access. The page itself needs no
//! key; requests use the key typed into it. RapiDoc, not Scalar: a quarter of the size, and it asks no
//! other host. `docs/VERSIONS` says where its file is from.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::routing::{MethodRouter, Router, get};

/// Content security policy: resources and requests of this origin only. RapiDoc sets styles of its
/// elements as attributes, which scripts of others cannot use for anything here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page with its scripts.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/docs", file("text/html; charset=utf-8", include_str!("docs/page.html")))
        .route("/docs/page.js", file("text/javascript", include_str!("docs/page.js")))
        .route("/docs/rapidoc.js", file("text/javascript", include_str!("docs/rapidoc.js")))
}

fn file<S: Clone + Send + Sync + 'static>(
    media_type: &'static str,
    text: &'static str,
) -> MethodRouter<S> {
    let headers = [(CONTENT_TYPE, media_type), (CONTENT_SECURITY_POLICY, POLICY)];
    get(async move || (headers, text))
}
