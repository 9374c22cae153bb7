//! What HTTP offers to who reads: ETags, compression, other origins, HEAD, links, request ids.

use std::io::Read;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{Method, Request, StatusCode};
use axum::routing::{Router, get};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use qontak_receiver::http::serving;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

use super::harness::{Answer, KEY_OF_ORGANIZATION, Service, TOKEN, webhook};
use super::read::told;

/// Asks with some headers, with a key that may read and export.
async fn ask(service: &Service, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header(AUTHORIZATION, format!("Bearer {KEY_OF_ORGANIZATION}"));
    for (name, value) in headers {
        request = request.header(HeaderName::try_from(*name).unwrap(), *value);
    }
    service.send(request.body(Body::empty()).unwrap()).await
}

fn values<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[sqlx::test]
async fn matching_if_none_match_returns_304_without_a_body(db: PgPool) {
    let (service, routes) = told(db).await;
    for route in &routes {
        let first = ask(&service, Method::GET, route, &[]).await;
        assert_eq!(first.status, StatusCode::OK, "{route}");
        assert_eq!(values(&first, "cache-control"), ["private, no-cache"], "{route}");
        let tag = first.headers["etag"].to_str().unwrap();
        assert!(tag.starts_with("W/\"") && tag.len() == 36, "{tag}");
        let strong = tag.strip_prefix("W/").unwrap();
        for known in [tag, strong, "*", &format!("\"other\", {tag}")] {
            for method in [Method::GET, Method::HEAD] {
                let again = ask(&service, method, route, &[("if-none-match", known)]).await;
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
        let other = ask(&service, Method::GET, route, &[("if-none-match", "\"other\"")]).await;
        assert_eq!((other.status, &other.bytes), (StatusCode::OK, &first.bytes), "{route}");
    }
    let list = "/v1/events?limit=1";
    let before = ask(&service, Method::GET, list, &[]).await;
    let tag = before.headers["etag"].to_str().unwrap();
    service.execute("update event set deliveries = deliveries + 1").await;
    let after = ask(&service, Method::GET, list, &[("if-none-match", tag)]).await;
    assert_eq!(after.status, StatusCode::OK);

    for (path, status) in [("/v1/rooms/none", 404), ("/v1/rooms?limit=0", 422)] {
        let refused = ask(&service, Method::GET, path, &[("if-none-match", "*")]).await;
        assert_eq!(refused.status, status);
        assert_eq!(refused.headers.get("etag"), None);
    }
    let export = ask(&service, Method::GET, "/v1/rooms?format=ndjson", &[]).await;
    assert_eq!(export.headers.get("etag"), None);
}

#[sqlx::test]
async fn responses_are_compressed_according_to_accept_encoding(db: PgPool) {
    let (service, _) = told(db).await;
    for path in ["/v1/events", "/v1/events?format=ndjson"] {
        let plain = ask(&service, Method::GET, path, &[]).await;
        assert_eq!(plain.headers.get("content-encoding"), None);
        for coding in ["gzip", "zstd"] {
            let accept = [("accept-encoding", coding)];
            let answer = ask(&service, Method::GET, path, &accept).await;
            assert_eq!(values(&answer, "content-encoding"), [coding], "{path}");
            assert!(values(&answer, "vary").contains(&"accept-encoding"), "{path}");
            assert!(answer.bytes.len() < plain.bytes.len() / 2, "{path}");
            let mut inflated = Vec::new();
            match coding {
                "gzip" => GzDecoder::new(&answer.bytes[..]).read_to_end(&mut inflated).unwrap(),
                _ => zstd::Decoder::new(&answer.bytes[..])
                    .unwrap()
                    .read_to_end(&mut inflated)
                    .unwrap(),
            };
            assert_eq!(inflated, plain.bytes, "{path}");
            assert_eq!(values(&answer, "etag"), values(&plain, "etag"), "{path}");
            if let Some(tag) = answer.headers.get("etag") {
                let known = [accept[0], ("if-none-match", tag.to_str().unwrap())];
                let again = ask(&service, Method::GET, path, &known).await;
                assert_eq!(again.status, StatusCode::NOT_MODIFIED);
                assert_eq!(again.headers.get("content-encoding"), None);
            }
        }
    }
    let accept = [("accept-encoding", "gzip")];
    let refused = ask(&service, Method::GET, "/v1/rooms?colour=red", &accept).await;
    assert_eq!(refused.headers.get("content-encoding"), None);
    let mut posted = webhook(TOKEN, "{}");
    posted.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    assert_eq!(service.send(posted).await.headers.get("content-encoding"), None);
}

const PAGE: &str = "https://dashboard.example.com";

#[sqlx::test]
async fn configured_origins_get_cors_headers_on_every_response(db: PgPool) {
    let origins = format!("http://localhost:5173,{PAGE}");
    let service = Service::start_with(db, &[("RECEIVER__API__CORS_ORIGINS", &origins)]).await;
    let question = [
        ("origin", PAGE),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    // A browser asks without a key.
    let mut request = Request::options("/v1/rooms");
    for (name, value) in question {
        request = request.header(name, value);
    }
    let allowed = service.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(values(&allowed, "access-control-allow-origin"), [PAGE]);
    let headers = values(&allowed, "access-control-allow-headers").join(",");
    assert!(headers.contains("authorization") && headers.contains("if-none-match"), "{headers}");
    assert_eq!(values(&allowed, "access-control-allow-methods"), ["GET,HEAD,POST"]);

    // Whatever the answer is, the page may read it.
    for (path, status) in [("/v1/rooms", 200), ("/v1/rooms?limit=0", 422), ("/v1/rooms/x", 404)] {
        let answer = ask(&service, Method::GET, path, &[("origin", PAGE)]).await;
        assert_eq!(answer.status, status);
        assert_eq!(values(&answer, "access-control-allow-origin"), [PAGE]);
        let exposed = values(&answer, "access-control-expose-headers").join(",");
        assert_eq!(exposed, "content-disposition,etag,link,retry-after,x-request-id");
        assert!(values(&answer, "vary").join(",").contains("origin"));
        assert_eq!(answer.headers.get("access-control-allow-credentials"), None);
    }
    let foreign = [("origin", "https://elsewhere.example.com")];
    let answer = ask(&service, Method::GET, "/v1/rooms", &foreign).await;
    assert_eq!(answer.headers.get("access-control-allow-origin"), None);
}

#[sqlx::test]
async fn without_configured_origins_there_are_no_cors_headers(db: PgPool) {
    let service = Service::start(db).await;
    let origin = [("origin", PAGE), ("access-control-request-method", "GET")];
    let question = ask(&service, Method::OPTIONS, "/v1/rooms", &origin).await;
    assert_eq!(question.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(values(&question, "allow"), ["GET, HEAD"]);
    let answer = ask(&service, Method::GET, "/v1/rooms", &origin).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers.get("access-control-allow-origin"), None);
}

#[sqlx::test]
async fn head_requests_return_the_status_and_headers_of_get(db: PgPool) {
    let (service, mut routes) = told(db).await;
    routes.push("/v1/rooms?format=ndjson".into());
    routes.push("/v1/rooms?limit=0".into());
    for route in &routes {
        let mut get = ask(&service, Method::GET, route, &[]).await;
        let mut head = ask(&service, Method::HEAD, route, &[]).await;
        assert_eq!(head.status, get.status, "{route}");
        assert!(head.bytes.is_empty(), "{route}");
        if !route.contains("ndjson") {
            let length = get.bytes.len().to_string();
            assert_eq!(values(&head, "content-length"), [length], "{route}");
        }
        for answer in [&mut get, &mut head] {
            answer.headers.remove("x-request-id");
        }
        assert_eq!(head.headers, get.headers, "{route}");
    }
}

#[sqlx::test]
async fn unsupported_method_returns_405_with_allow(db: PgPool) {
    let (service, routes) = told(db).await;
    for route in &routes {
        for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
            let answer = ask(&service, method, route, &[]).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{route}");
            assert_eq!(values(&answer, "allow"), ["GET, HEAD"], "{route}");
            assert_eq!(answer.json()["error"]["code"], 405);
        }
    }
    let answer = ask(&service, Method::GET, "/v1/events/x/replay", &[]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(values(&answer, "allow"), ["POST"]);
}

/// Where a header `Link` points to.
fn link(answer: &Answer, rel: &str) -> Option<String> {
    let links = values(answer, "link").join(", ");
    let mut links = links.split(", ").filter(|link| link.ends_with(&format!("; rel=\"{rel}\"")));
    let (path, _) = links.next()?.strip_prefix('<')?.split_once('>')?;
    Some(path.to_owned())
}

#[sqlx::test]
async fn list_pages_have_link_headers_to_next_and_previous(db: PgPool) {
    let (service, _) = told(db).await;
    service.execute("update room set tags = array['50% & <b>; é'], fields = fields").await;
    let query = "tag=50%25+%26+%3Cb%3E%3B+%C3%A9&limit=1";
    let mut path = format!("/v1/rooms?{query}");
    let mut pages: Vec<Answer> = Vec::new();
    loop {
        let page = ask(&service, Method::GET, &path, &[]).await;
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
            let back = ask(&service, Method::GET, &prev, &[]).await;
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
    let one = ask(&service, Method::GET, "/v1/ledger", &[]).await;
    assert_eq!(one.headers.get("link"), None);
}

fn request_id(answer: &Answer) -> &str {
    answer.headers["x-request-id"].to_str().unwrap()
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
        (Method::POST, "/webhooks/qontak/of-nobody", 404),
    ];
    for (method, path, status) in cases {
        for own in [None, Some("mine")] {
            let headers: Vec<_> = own.map(|id| ("x-request-id", id)).into_iter().collect();
            let answer = ask(&service, method.clone(), path, &headers).await;
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.json()["error"]["request_id"], request_id(&answer), "{path}");
            assert!(own.is_none_or(|own| own == request_id(&answer)), "{path}");
        }
    }
    let stranger = service.send(Request::get("/v1/rooms").body(Body::empty()).unwrap()).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.json()["error"]["request_id"], request_id(&stranger));
    let malformed = service.post("{").await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert_eq!(malformed.json()["error"]["request_id"], request_id(&malformed));
    service.execute("alter table room rename to gone").await;
    let away = ask(&service, Method::GET, "/v1/rooms", &[]).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(away.json()["error"]["request_id"], request_id(&away));
}

#[sqlx::test]
async fn panic_in_a_handler_returns_500_with_the_request_id(db: PgPool) {
    async fn panicking() -> String {
        panic!("of a secret")
    }
    let service = Service::start(db).await;
    let router = serving(Router::new().route("/", get(panicking)), service.app.clone());
    let request = Request::get("/").header("x-request-id", "mine").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    let error = json!({"code": 500, "messages": ["internal error"], "request_id": "mine"});
    assert_eq!(answer["error"], error);
}
