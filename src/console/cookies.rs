//! Cookies, and the checks of requests that change something.

use axum::http::header::{COOKIE, HOST, HeaderMap, ORIGIN};
use axum::http::uri::Authority;
use cookie::Cookie;

/// The value of a cookie.
pub fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let headers = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    let mut cookies = headers.flat_map(|text| Cookie::split_parse(text.to_owned()).flatten());
    cookies.find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
}

/// Whether a request comes from one of our own pages. Browsers send `Origin` with every POST; the
/// session cookie is `SameSite=Strict` besides.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, host)| text(HOST).is_some_and(|own| own.eq_ignore_ascii_case(host)))
}

/// Whether the browser sent the request to this machine itself, not to a proxy in front of it.
pub fn is_loopback_host(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host.host()))
}

/// The page to go on with: only one of the console.
pub fn own_page(next: &str) -> &str {
    let is_own =
        next == "/console" || next.starts_with("/console/") || next.starts_with("/console?");
    if is_own && next.is_ascii() && !next.contains(['\\', '\r', '\n']) { next } else { "/console" }
}
