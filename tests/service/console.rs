//! The console: sign-in, what every page has in common, and hostile texts.

pub mod browser;
mod conversation;
mod export;
mod overview;
mod pages;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, LOCATION, ORIGIN, SET_COOKIE,
};
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use self::browser::{Browser, ENABLED, HOST, form, start};
use super::fixtures::{ALL, SITI_ROOM};
use super::harness::{
    KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, Service, settings,
};
use super::key;
use super::spool::wait_until;

/// Every page that is there without an id.
const PAGES: [&str; 10] = [
    "/console",
    "/console/conversations",
    "/console/broadcasts",
    "/console/deliveries",
    "/console/events",
    "/console/ledger",
    "/console/agents",
    "/console/templates",
    "/console/trace",
    "/console/trace?id=24a60fba-3bc1-4694-9f51-66c4b74d1978",
];

#[sqlx::test]
async fn console_does_not_exist_unless_enabled(db: PgPool) {
    let service = Service::start(db).await;
    for path in ["/console", "/console/sign-in", "/console/conversations"] {
        assert_eq!(service.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[sqlx::test]
async fn pages_lead_to_the_sign_in_form_and_back(db: PgPool) {
    let service = start(db).await;
    let page = "/console/conversations?q=a%20b";
    let response = service.send(Request::get(page).body(Body::empty()).unwrap()).await;
    assert_eq!(response.status, StatusCode::SEE_OTHER);
    let form_page = response.headers[LOCATION].to_str().unwrap();
    assert_eq!(form_page, "/console/sign-in?next=%2Fconsole%2Fconversations%3Fq%3Da%2520b");
    let shown = service.send(Request::get(form_page).body(Body::empty()).unwrap()).await;
    assert!(shown.text().contains("value=\"/console/conversations?q=a%20b\""));

    // A part of a page must not become the form.
    let part = Request::get(page).header("hx-request", "true").body(Body::empty()).unwrap();
    let response = service.send(part).await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers["hx-redirect"], "/console/sign-in");

    for (next, expected) in [
        (page, page),
        ("https://example.com/", "/console"),
        ("//example.com", "/console"),
        ("/console/../v1/rooms\\", "/console"),
        ("/consolex", "/console"),
    ] {
        let request = form("/console/sign-in", &[("key", KEY_OF_ALL), ("next", next)], "");
        let response = service.send(request).await;
        assert_eq!(response.status, StatusCode::SEE_OTHER);
        assert_eq!(response.headers[LOCATION], expected, "{next}");
    }
}

#[sqlx::test]
async fn sign_in_needs_a_valid_key_with_the_scope_read(db: PgPool) {
    let service = start(db).await;
    for (key, status, text) in [
        ("wrong", StatusCode::UNAUTHORIZED, "unknown, expired or revoked"),
        ("", StatusCode::UNAUTHORIZED, "unknown, expired or revoked"),
        (KEY_REPLAY_ONLY, StatusCode::FORBIDDEN, "lacks the scope"),
    ] {
        let response = service.send(form("/console/sign-in", &[("key", key)], "")).await;
        assert_eq!(response.status, status, "{key}");
        assert!(response.text().contains(text), "{key}");
        assert!(!response.headers.contains_key(SET_COOKIE), "{key}");
    }
}

#[sqlx::test]
async fn session_cookie_is_hidden_from_scripts_and_other_sites(db: PgPool) {
    let service = start(db).await;
    for (host, is_secure) in [(HOST, true), ("127.0.0.1:8080", false), ("localhost", false)] {
        let mut request = form("/console/sign-in", &[("key", KEY_OF_ALL)], "");
        request.headers_mut().insert("host", host.parse().unwrap());
        request.headers_mut().insert(ORIGIN, format!("http://{host}").parse().unwrap());
        let response = service.send(request).await;
        let cookie = response.headers[SET_COOKIE].to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Strict", "Path=/console"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert_eq!(cookie.contains("Secure"), is_secure, "{cookie}");
        assert!(!cookie.contains(KEY_OF_ALL), "{cookie}");
    }
}

#[sqlx::test]
async fn sessions_that_were_changed_or_have_ended_are_refused(db: PgPool) {
    const SECRET: &str = "a secret of at least thirty-two characters";
    let changed = [ENABLED, ("RECEIVER__CONSOLE__SESSION_KEY", SECRET)];
    let service = Service::start_with(db, &changed).await;
    let hash: [u8; 32] = Sha256::digest(KEY_OF_ALL).into();
    let session = |end: i64, secret: &str| {
        let mut bytes = [hash.as_slice(), &end.to_be_bytes()].concat();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(b"console session 1");
        mac.update(&bytes);
        bytes.extend(mac.finalize().into_bytes());
        BASE64.encode(bytes)
    };
    let now = chrono::Utc::now().timestamp();
    for (value, status) in [
        (session(now + 60, SECRET), StatusCode::OK),
        (session(now - 1, SECRET), StatusCode::SEE_OTHER),
        (session(now + 60, "another secret of thirty-two characters"), StatusCode::SEE_OTHER),
        (format!("{}x", session(now + 60, SECRET)), StatusCode::SEE_OTHER),
        (BASE64.encode(hash), StatusCode::SEE_OTHER),
    ] {
        let request =
            Request::get("/console").header(COOKIE, format!("a=b; console_session={value}"));
        let response = service.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, status, "{value}");
    }
}

#[sqlx::test]
async fn revoking_a_key_signs_its_visitors_out(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = start(db).await;
    let secret = key::create(&settings, &["--name", "temporary"]).await;
    let browser = Browser::sign_in(&service, &secret).await;
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    service.execute("update api_key set revoked_at = now()").await;
    let is_out = async || browser.get("/console").await.status == StatusCode::SEE_OTHER;
    wait_until(is_out).await;
}

#[sqlx::test]
async fn posts_of_other_sites_are_refused(db: PgPool) {
    let service = start(db).await;
    for path in ["/console/sign-in", "/console/sign-out", "/console/preferences"] {
        for origin in [Some("https://evil.example"), Some("null"), None] {
            let mut request = form(path, &[("key", KEY_OF_ALL)], "");
            request.headers_mut().remove(ORIGIN);
            if let Some(origin) = origin {
                request.headers_mut().insert(ORIGIN, origin.parse().unwrap());
            }
            let response = service.send(request).await;
            assert_eq!(response.status, StatusCode::FORBIDDEN, "{path} {origin:?}");
            assert!(!response.headers.contains_key(SET_COOKIE), "{path} {origin:?}");
        }
    }
}

#[sqlx::test]
async fn posts_of_other_sites_with_a_session_change_nothing(db: PgPool) {
    let scopes = ("RECEIVER__KEY__ALL__SCOPES", "read,replay");
    let demo = ("RECEIVER__CONSOLE__DEMO", "true");
    let service = Service::start_with(db, &[ENABLED, scopes, demo]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    for path in [
        "/console/events/replay",
        "/console/replays",
        "/console/replays/00000000-0000-0000-0000-000000000000/cancel",
        "/console/demo",
    ] {
        for origin in [Some("https://evil.example"), Some("null"), None] {
            let mut request = form(path, &[("outcome", "applied")], browser.cookie());
            request.headers_mut().remove(ORIGIN);
            if let Some(origin) = origin {
                request.headers_mut().insert(ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(
                service.send(request).await.status,
                StatusCode::FORBIDDEN,
                "{path} {origin:?}"
            );
        }
    }
    assert_eq!((service.count("event").await, service.count("replay").await), (0, 0));
}

#[sqlx::test]
async fn signing_out_removes_the_cookie(db: PgPool) {
    let service = start(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let response = browser.post("/console/sign-out", &[]).await;
    assert_eq!(response.status, StatusCode::SEE_OTHER);
    assert!(response.headers[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
}

#[sqlx::test]
async fn visitors_see_only_organisations_of_their_key(db: PgPool) {
    let service = start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    let own = Browser::sign_in(&service, KEY_OF_ORGANIZATION).await;
    let other = Browser::sign_in(&service, KEY_OF_ANOTHER).await;
    for path in [format!("/console/conversations/{SITI_ROOM}"), "/console/conversations".into()] {
        assert!(own.text(&path).await.contains("Siti Rahmawati"), "{path}");
        assert!(!other.text(&path).await.contains("Siti Rahmawati"), "{path}");
    }
    let response = other.get(&format!("/console/conversations/{SITI_ROOM}")).await;
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    assert!(response.text().contains("Nothing has this id"));
    let foreign = "/console/conversations?organization_id=another-organization";
    assert_eq!(own.get(foreign).await.status, StatusCode::OK);
    assert!(!own.text(foreign).await.contains("Siti Rahmawati"));
}

#[sqlx::test]
async fn masked_visitors_see_pages_without_texts_names_and_numbers(db: PgPool) {
    let masked = ("RECEIVER__KEY__ALL__SCOPES", "read_masked");
    let service = Service::start_with(db, &[ENABLED, masked]).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let room = format!("/console/conversations/{SITI_ROOM}");
    for path in PAGES.into_iter().chain([room.as_str()]) {
        let response = browser.get(path).await;
        assert_eq!(response.status, StatusCode::OK, "{path}: {}", response.text());
        let html = response.text();
        // Without the stream they are refreshed by time, and say so.
        assert!(html.contains("Updates every minute"), "{path}");
        assert!(!html.contains("hx-trigger=\"changed"), "{path}");
        for secret in ["Siti", "Halo Kak", "6281200010001", "Promo Gajian", "/console/stream"] {
            assert!(!html.contains(secret), "{path}: {secret}");
        }
    }
    assert!(browser.text(&room).await.contains("class=\"ticks read\""));
    assert_eq!(browser.get("/console/stream").await.status, StatusCode::FORBIDDEN);
}

#[sqlx::test]
async fn pages_have_no_inline_code_and_a_policy_that_forbids_it(db: PgPool) {
    let service = start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let room = format!("/console/conversations/{SITI_ROOM}");
    for path in PAGES.into_iter().chain([room.as_str(), "/console/sign-in"]) {
        let response = browser.get(path).await;
        assert_eq!(response.status, StatusCode::OK, "{path}: {}", response.text());
        let policy = response.headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let html = response.text();
        assert!(html.starts_with("<!DOCTYPE html>"), "{path}");
        for inline in [" style=", "<style", "<script>", " onclick=", " onload=", "javascript:"] {
            assert!(!html.contains(inline), "{path}: {inline}");
        }
    }
}

#[sqlx::test]
async fn assets_are_kept_for_ever_and_each_page_names_their_version(db: PgPool) {
    let service = start(db).await;
    let page = service.send(Request::get("/console/sign-in").body(Body::empty()).unwrap()).await;
    let html = page.text();
    let urls: Vec<&str> =
        html.split('"').filter(|part| part.starts_with("/console/assets/")).collect();
    assert!(urls.len() >= 6, "{urls:?}");
    for url in urls {
        let response = service.send(Request::get(url).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, StatusCode::OK, "{url}");
        assert!(response.headers[CACHE_CONTROL].to_str().unwrap().contains("immutable"), "{url}");
        let old = url.replacen("/assets/", "/assets/x", 1);
        let response = service.send(Request::get(&old).body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{old}");
    }
}

#[sqlx::test]
async fn language_time_zone_and_theme_are_remembered_and_links_override_them(db: PgPool) {
    let service = start(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text("/console").await;
    assert!(html.contains("lang=\"en\"") && html.contains(">Conversations<"));
    let chosen = [
        ("language", "id"),
        ("theme", "dark"),
        ("time_zone", "Asia/Makassar"),
        ("next", "/console/conversations"),
    ];
    let response = browser.post("/console/preferences", &chosen).await;
    assert_eq!(response.headers[LOCATION], "/console/conversations");
    let cookie = response.headers[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    let request = browser.request("/console");
    let cookies = format!("{}; {cookie}", request.headers()[COOKIE].to_str().unwrap());
    let with = |path: &str| {
        let mut request = browser.request(path);
        request.headers_mut().insert(COOKIE, cookies.parse().unwrap());
        request
    };
    let html = service.send(with("/console")).await.text();
    for part in
        ["lang=\"id\"", "data-theme=\"dark\"", ">Percakapan<", "data-zone=\"Asia/Makassar\""]
    {
        assert!(html.contains(part), "{part}");
    }
    let html = service.send(with("/console?language=en&time_zone=UTC")).await.text();
    assert!(html.contains("lang=\"en\"") && html.contains("data-zone=\"UTC\""));
}
