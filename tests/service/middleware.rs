//! HTTP middleware of the read API: conditional requests (ETag/304), compression, CORS, HEAD,
//! 405, `Link` headers and request ids.

use std::io::Read;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{Method, Request, StatusCode};
use axum::routing::{Router, get};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use qontak_receiver::router::with_middleware;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

use super::harness::{KEY_OF_ORGANIZATION, Response, Service, TOKEN, webhook};
use super::read::service_with_fixtures;

/// Sends a request with these headers and a key with the scopes read and export.
async fn send(service: &Service, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header(AUTHORIZATION, format!("Bearer {KEY_OF_ORGANIZATION}"));
    for (name, value) in headers {
        request = request.header(HeaderName::try_from(*name).unwrap(), *value);
    }
    service.send(request.body(Body::empty()).unwrap()).await
}

fn values<'a>(response: &'a Response, name: &str) -> Vec<&'a str> {
    response.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[sqlx::test]
async fn matching_if_none_match_returns_304_without_a_body(db: PgPool) {
    let (service, routes) = service_with_fixtures(db).await;
    for route in &routes {
        let first = send(&service, Method::GET, route, &[]).await;
        assert_eq!(first.status, StatusCode::OK, "{route}");
        assert_eq!(values(&first, "cache-control"), ["private, no-cache"], "{route}");
        let tag = first.headers["etag"].to_str().unwrap();
        assert!(tag.starts_with("W/\"") && tag.len() == 36, "{tag}");
        let strong = tag.strip_prefix("W/").unwrap();
        for known in [tag, strong, "*", &format!("\"other\", {tag}")] {
            for method in [Method::GET, Method::HEAD] {
                let again = send(&service, method, route, &[("if-none-match", known)]).await;
                assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{route} {known}");
                assert!(again.bytes.is_empty(), "{route}");
                for name in ["etag", "cache-control", "vary", "link"] {
                    assert_eq!(values(&again, name), values(&first, name), "{route} {name}");
                }
                for name in ["content-type", "content-length"] {
                    assert_eq!(values(&again, name), [""; 0], "{route} {name}");
                }
            }
        }
        let other = send(&service, Method::GET, route, &[("if-none-match", "\"other\"")]).await;
        assert_eq!((other.status, &other.bytes), (StatusCode::OK, &first.bytes), "{route}");
    }
    let list = "/v1/events?limit=1";
    let before = send(&service, Method::GET, list, &[]).await;
    let tag = before.headers["etag"].to_str().unwrap();
    service.execute("update event set deliveries = deliveries + 1").await;
    let after = send(&service, Method::GET, list, &[("if-none-match", tag)]).await;
    assert_eq!(after.status, StatusCode::OK);

    for (path, status) in [("/v1/rooms/none", 404), ("/v1/rooms?limit=0", 422)] {
        let refused = send(&service, Method::GET, path, &[("if-none-match", "*")]).await;
        assert_eq!(refused.status, status);
        assert_eq!(refused.headers.get("etag"), None);
    }
    let export = send(&service, Method::GET, "/v1/rooms?format=ndjson", &[]).await;
    assert_eq!(export.headers.get("etag"), None);
}

#[sqlx::test]
async fn responses_are_compressed_according_to_accept_encoding(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    for path in ["/v1/events", "/v1/events?format=ndjson"] {
        let plain = send(&service, Method::GET, path, &[]).await;
        assert_eq!(plain.headers.get("content-encoding"), None);
        for coding in ["gzip", "zstd"] {
            let accept = [("accept-encoding", coding)];
            let response = send(&service, Method::GET, path, &accept).await;
            assert_eq!(values(&response, "content-encoding"), [coding], "{path}");
            assert!(values(&response, "vary").contains(&"accept-encoding"), "{path}");
            assert!(response.bytes.len() < plain.bytes.len() / 2, "{path}");
            let mut inflated = Vec::new();
            match coding {
                "gzip" => GzDecoder::new(&response.bytes[..]).read_to_end(&mut inflated).unwrap(),
                _ => zstd::Decoder::new(&response.bytes[..])
                    .unwrap()
                    .read_to_end(&mut inflated)
                    .unwrap(),
            };
            assert_eq!(inflated, plain.bytes, "{path}");
            assert_eq!(values(&response, "etag"), values(&plain, "etag"), "{path}");
            if let Some(tag) = response.headers.get("etag") {
                let known = [accept[0], ("if-none-match", tag.to_str().unwrap())];
                let again = send(&service, Method::GET, path, &known).await;
                assert_eq!(again.status, StatusCode::NOT_MODIFIED);
                assert_eq!(again.headers.get("content-encoding"), None);
            }
        }
    }
    let accept = [("accept-encoding", "gzip")];
    let refused = send(&service, Method::GET, "/v1/rooms?colour=red", &accept).await;
    assert_eq!(refused.headers.get("content-encoding"), None);
    let mut posted = webhook(TOKEN, "{}");
    posted.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    assert_eq!(service.send(posted).await.headers.get("content-encoding"), None);
}

const ORIGIN: &str = "https://dashboard.example.com";

#[sqlx::test]
async fn configured_origins_get_cors_headers_on_every_response(db: PgPool) {
    let origins = format!("http://localhost:5173,{ORIGIN}");
    let service = Service::start_with(db, &[("RECEIVER__API__CORS_ORIGINS", &origins)]).await;
    let preflight = [
        ("origin", ORIGIN),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    // A browser sends the preflight request without a key.
    let mut request = Request::options("/v1/rooms");
    for (name, value) in preflight {
        request = request.header(name, value);
    }
    let allowed = service.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(values(&allowed, "access-control-allow-origin"), [ORIGIN]);
    let headers = values(&allowed, "access-control-allow-headers").join(",");
    for name in ["authorization", "if-none-match", "idempotency-key"] {
        assert!(headers.contains(name), "{headers}");
    }
    assert_eq!(values(&allowed, "access-control-allow-methods"), ["GET,HEAD,POST,DELETE"]);

    // Error responses have the CORS headers too.
    for (path, status) in [("/v1/rooms", 200), ("/v1/rooms?limit=0", 422), ("/v1/rooms/x", 404)] {
        let response = send(&service, Method::GET, path, &[("origin", ORIGIN)]).await;
        assert_eq!(response.status, status);
        assert_eq!(values(&response, "access-control-allow-origin"), [ORIGIN]);
        let exposed = values(&response, "access-control-expose-headers").join(",");
        assert_eq!(
            exposed,
            "content-disposition,etag,link,location,retry-after,x-cell-limit,x-ignored-parameters,\
             x-request-id"
        );
        assert!(values(&response, "vary").join(",").contains("origin"));
        assert_eq!(response.headers.get("access-control-allow-credentials"), None);
    }
    let foreign = [("origin", "https://elsewhere.example.com")];
    let response = send(&service, Method::GET, "/v1/rooms", &foreign).await;
    assert_eq!(response.headers.get("access-control-allow-origin"), None);
}

#[sqlx::test]
async fn without_configured_origins_there_are_no_cors_headers(db: PgPool) {
    let service = Service::start(db).await;
    let origin = [("origin", ORIGIN), ("access-control-request-method", "GET")];
    let preflight = send(&service, Method::OPTIONS, "/v1/rooms", &origin).await;
    assert_eq!(preflight.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(values(&preflight, "allow"), ["GET, HEAD"]);
    let response = send(&service, Method::GET, "/v1/rooms", &origin).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.headers.get("access-control-allow-origin"), None);
}

#[sqlx::test]
async fn head_requests_return_the_status_and_headers_of_get(db: PgPool) {
    let (service, mut routes) = service_with_fixtures(db).await;
    routes.push("/v1/rooms?format=ndjson".into());
    routes.push("/v1/rooms?limit=0".into());
    for route in &routes {
        let mut get = send(&service, Method::GET, route, &[]).await;
        let mut head = send(&service, Method::HEAD, route, &[]).await;
        assert_eq!(head.status, get.status, "{route}");
        assert!(head.bytes.is_empty(), "{route}");
        if !route.contains("ndjson") {
            let length = get.bytes.len().to_string();
            assert_eq!(values(&head, "content-length"), [length], "{route}");
        }
        for response in [&mut get, &mut head] {
            response.headers.remove("x-request-id");
        }
        assert_eq!(head.headers, get.headers, "{route}");
    }
}

#[sqlx::test]
async fn unsupported_method_returns_405_with_allow(db: PgPool) {
    let (service, routes) = service_with_fixtures(db).await;
    for route in &routes {
        for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
            let response = send(&service, method, route, &[]).await;
            assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED, "{route}");
            assert_eq!(values(&response, "allow"), ["GET, HEAD"], "{route}");
            assert_eq!(response.json()["error"]["code"], 405);
        }
    }
    let response = send(&service, Method::GET, "/v1/events/x/replay", &[]).await;
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(values(&response, "allow"), ["POST"]);
}

/// Target of the `Link` header with this relation.
fn link(response: &Response, rel: &str) -> Option<String> {
    let links = values(response, "link").join(", ");
    let mut links = links.split(", ").filter(|link| link.ends_with(&format!("; rel=\"{rel}\"")));
    let (path, _) = links.next()?.strip_prefix('<')?.split_once('>')?;
    Some(path.to_owned())
}

#[sqlx::test]
async fn list_pages_have_link_headers_to_next_and_previous(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    service.execute("update room set tags = array['50% & <b>; é'], is_untagged = false").await;
    let query = "tag=50%25+%26+%3Cb%3E%3B+%C3%A9&limit=1";
    let mut path = format!("/v1/rooms?{query}");
    let mut pages: Vec<Response> = Vec::new();
    loop {
        let page = send(&service, Method::GET, &path, &[]).await;
        let cursors = &page.json()["meta"]["pagination"]["cursor"];
        for rel in ["next", "prev"] {
            let link = link(&page, rel);
            let cursor = link.as_ref().and_then(|link| Some(link.split_once("cursor=")?.1));
            assert_eq!(cursor, cursors[rel].as_str(), "{path}");
            assert!(
                link.is_none_or(|link| link.starts_with("/v1/rooms?") && link.contains("limit=1"))
            );
        }
        if let Some(prev) = link(&page, "prev") {
            let back = send(&service, Method::GET, &prev, &[]).await;
            assert_eq!(back.json()["data"], pages.last().unwrap().json()["data"]);
        }
        let next = link(&page, "next");
        pages.push(page);
        match next {
            Some(next) => path = next,
            None => break,
        }
    }
    assert!(pages.len() > 3, "{}", pages.len());
    let one = send(&service, Method::GET, "/v1/ledger", &[]).await;
    assert_eq!(one.headers.get("link"), None);
}

fn request_id(response: &Response) -> &str {
    response.headers["x-request-id"].to_str().unwrap()
}

#[sqlx::test]
async fn every_error_response_contains_the_request_id(db: PgPool) {
    let service = Service::start(db).await;
    let cases = [
        (Method::GET, "/v1/rooms?limit=0", 422),
        (Method::GET, "/v1/rooms/none", 404),
        (Method::GET, "/v1/nothing", 404),
        (Method::GET, "/", 404),
        (Method::PUT, "/v1/rooms", 405),
        (Method::POST, "/v1/events/none/replay", 403),
        (Method::POST, "/webhooks/qontak/unknown-token", 404),
    ];
    for (method, path, status) in cases {
        for own in [None, Some("mine")] {
            let headers: Vec<_> = own.map(|id| ("x-request-id", id)).into_iter().collect();
            let response = send(&service, method.clone(), path, &headers).await;
            assert_eq!(response.status, status, "{path}");
            assert_eq!(response.json()["error"]["request_id"], request_id(&response), "{path}");
            assert!(own.is_none_or(|own| own == request_id(&response)), "{path}");
        }
    }
    let unauthorized = service.send(Request::get("/v1/rooms").body(Body::empty()).unwrap()).await;
    assert_eq!(unauthorized.status, StatusCode::UNAUTHORIZED);
    assert_eq!(unauthorized.json()["error"]["request_id"], request_id(&unauthorized));
    let malformed = service.post("{").await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert_eq!(malformed.json()["error"]["request_id"], request_id(&malformed));
    service.execute("alter table room rename to gone").await;
    let failed = send(&service, Method::GET, "/v1/rooms", &[]).await;
    assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(failed.json()["error"]["request_id"], request_id(&failed));
}

#[sqlx::test]
async fn panic_in_a_handler_returns_500_with_the_request_id(_db: PgPool) {
    async fn panicking() -> String {
        panic!("with a secret")
    }
    let router = with_middleware(Router::new().route("/", get(panicking)));
    let request = Request::get("/").header("x-request-id", "mine").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    let error = json!({"code": 500, "messages": ["internal error"], "request_id": "mine"});
    assert_eq!(body["error"], error);
}
