//! `POST /oauth/token`, and the conventions of Qontak's own routes: ignored parameters and errors.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use chrono::Utc;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::binary::Process;
use super::fixtures::SITI_ROOM;
use super::harness::{KEY_OF_ALL, KEY_OF_ORGANIZATION, Response, Service, settings};
use super::key::create;
use super::read::service_with_fixtures;

const PREFIXES: [&str; 3] = ["", "/api/open/v1", "/qontak/chat/v1"];

async fn log_in(service: &Service, path: &str, media_type: &str, body: &str) -> Response {
    let request = Request::post(path).header(CONTENT_TYPE, media_type);
    service.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn log_in_with(service: &Service, fields: Value) -> Response {
    log_in(service, "/oauth/token", "application/json", &fields.to_string()).await
}

#[sqlx::test]
async fn login_returns_the_key_as_access_token_in_the_shape_of_qontak(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let client = json!({"client_id": "id", "username": "siti@example.com"});
    let with = |fields: Value| {
        let mut all = client.clone();
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        all
    };
    for fields in [
        json!({"grant_type": "refresh_token", "refresh_token": KEY_OF_ALL, "client_secret": "x"}),
        json!({"grant_type": "client_credentials", "client_secret": KEY_OF_ALL}),
        json!({"grant_type": "password", "password": KEY_OF_ALL, "client_secret": "as issued"}),
        json!({"password": "as before", "client_secret": format!(" {KEY_OF_ALL}\n")}),
        json!({"password": null, "refresh_token": 7, "client_secret": KEY_OF_ALL}),
    ] {
        let fields = with(fields);
        let before = Utc::now().timestamp();
        let response = log_in_with(&service, fields.clone()).await;
        assert_eq!(response.status, StatusCode::OK, "{fields}");
        let token = response.json();
        assert_eq!(token["access_token"], KEY_OF_ALL, "{fields}");
        assert_eq!(token["refresh_token"], KEY_OF_ALL);
        assert_eq!(token["token_type"], "Bearer");
        assert_eq!(token["expires_in"], 31_536_000);
        assert!((before..before + 60).contains(&token["created_at"].as_i64().unwrap()));
        assert_eq!(token.as_object().unwrap().len(), 5);
        assert_eq!(response.headers["cache-control"], "no-store");
        assert_eq!(response.headers["content-type"], "application/json");
    }
    let form = format!("grant_type=password&username=a%40b.c&password={KEY_OF_ALL}&client_id=i");
    for prefix in PREFIXES {
        let path = format!("{prefix}/oauth/token");
        for media_type in ["application/x-www-form-urlencoded", "application/json; charset=utf-8"] {
            let response = log_in(&service, &path, media_type, &form).await;
            assert_eq!(response.json()["access_token"], KEY_OF_ALL, "{path}");
        }
        let basic = format!("Basic {}", BASE64.encode(format!("id:{KEY_OF_ALL}")));
        let request = Request::post(&path).header(AUTHORIZATION, basic);
        let body = Body::from("grant_type=client_credentials");
        let response = service.send(request.body(body).unwrap()).await;
        assert_eq!(response.json()["access_token"], KEY_OF_ALL, "{path}");
    }
    let token = log_in_with(&service, json!({"client_secret": KEY_OF_ORGANIZATION})).await.json();
    let token = token["access_token"].as_str().unwrap();
    let room = service.get_with(token, &format!("/api/open/v1/rooms/{SITI_ROOM}")).await;
    assert_eq!(room.status, StatusCode::OK);
}

#[sqlx::test]
async fn login_without_a_valid_key_is_401_in_words_of_qontak(db: PgPool) {
    let service = Service::start(db).await;
    for body in [
        json!({"grant_type": "password", "password": "wrong", "client_secret": "qr_unknown"}),
        json!({"client_id": KEY_OF_ALL, "username": KEY_OF_ALL}),
        json!({"client_secret": ""}),
        json!([KEY_OF_ALL]),
        json!(null),
    ] {
        for prefix in PREFIXES {
            let path = format!("{prefix}/oauth/token");
            let response = log_in(&service, &path, "application/json", &body.to_string()).await;
            assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{path} {body}");
            let error = response.json();
            if prefix == "/qontak/chat/v1" {
                assert_eq!(error, json!({"message": "Unauthorized"}));
            } else {
                let expected = (&json!(401), &json!(["Invalid token"]));
                assert_eq!((&error["error"]["code"], &error["error"]["messages"]), expected);
                assert_eq!(error["status"], "error");
            }
        }
    }
    for (body, status) in
        [("", StatusCode::UNAUTHORIZED), (&*"a".repeat(20_000), StatusCode::PAYLOAD_TOO_LARGE)]
    {
        let response = log_in(&service, "/oauth/token", "application/json", body).await;
        assert_eq!(response.status, status);
    }
    let response = service.get("/oauth/token").await;
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers["allow"], "POST");
}

#[sqlx::test]
async fn login_with_a_key_of_the_database_ends_with_the_key_and_is_never_logged(db: PgPool) {
    let settings = settings(&db.connect_options());
    let key = create(&settings, &["--name", "n", "--expires", "1h"]).await;
    let service = Process::start(settings).await;
    let client = reqwest::Client::new();
    let url = format!("{}/oauth/token", service.url);
    let body = json!({"client_secret": key, "password": "a password of somebody"});
    let token: Value = client.post(&url).json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(token["access_token"], *key);
    let expires_in = token["expires_in"].as_i64().unwrap();
    assert!((3500..=3600).contains(&expires_in), "{expires_in}");
    let wrong = client.post(&url).body("client_secret=qr_wrong-key").send();
    assert_eq!(wrong.await.unwrap().status(), StatusCode::UNAUTHORIZED);
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    assert!(log.iter().any(|line| line.contains("/oauth/token")), "{log:#?}");
    for secret in [&key[..], "somebody", "wrong-key"] {
        assert!(!log.iter().any(|line| line.contains(secret)), "{log:#?}");
    }
}

#[sqlx::test]
async fn logins_count_towards_the_rate_limit_of_the_key(db: PgPool) {
    let limit = [("RECEIVER__API__REQUESTS_PER_SECOND", "1"), ("RECEIVER__API__BURST", "2")];
    let service = Service::start_with(db, &limit).await;
    let log_in = || log_in_with(&service, json!({"password": KEY_OF_ALL}));
    for _ in 0..500 {
        if log_in().await.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    let response = service.get("/api/open/v1/rooms").await;
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers["retry-after"], "1");
    let messages = json!(["Too many requests", "rate_limit_reset: 1"]);
    assert_eq!(response.json()["error"]["messages"], messages);
    assert_eq!(response.json()["error"]["code"], 429);
}

#[sqlx::test]
async fn unknown_parameters_of_qontak_routes_are_ignored_and_named(db: PgPool) {
    let (service, _) = service_with_fixtures(db).await;
    let all = service.data("/api/open/v1/rooms?limit=500").await;
    for (query, ignored) in [
        ("page=2", Some("page")),
        ("tags[x]=a&limit[]=1", Some("limit[], tags[x]")),
        (
            "order_by=created_at&order_direction=desc&a%20b%22=c",
            Some("ab, order_by, order_direction"),
        ),
        ("status=&query=&start_date=&tags[]=", None),
        ("%C3%A9=1", None),
    ] {
        for prefix in ["/api/open/v1", "/qontak/chat/v1"] {
            let path = format!("{prefix}/rooms?limit=500&{query}");
            let response = service.get(&path).await;
            assert_eq!(response.status, StatusCode::OK, "{path}");
            let header = response.headers.get("x-ignored-parameters");
            assert_eq!(header.map(|value| value.to_str().unwrap()), ignored, "{path}");
            assert_eq!(response.json()["data"], all, "{path}");
        }
    }
    // Values are still checked, and other routes still reject unknown parameters.
    let response = service.get("/api/open/v1/rooms?page=2&limit=0").await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
    let messages = json!(["limit: must be between 1 and 500"]);
    assert_eq!(response.json()["error"]["messages"], messages);
    assert_eq!(response.headers["x-ignored-parameters"], "page");
    let response = service.get("/v1/rooms?page=2").await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[sqlx::test]
async fn errors_of_qontak_routes_have_words_of_qontak(db: PgPool) {
    let service = Service::start(db).await;
    for prefix in ["/api/open/v1", "/qontak/chat/v1"] {
        for path in
            ["/rooms/none", "/rooms/%00", "/rooms/none/histories", "/no/such/path", "/rooms/"]
        {
            let path = format!("{prefix}{path}");
            let response = service.get(&path).await;
            assert_eq!(response.status, StatusCode::NOT_FOUND, "{path}");
            let error = response.json()["error"].take();
            let expected = (&json!(404), &json!(["Resource not found."]));
            assert_eq!((&error["code"], &error["messages"]), expected, "{path}");
            assert_eq!(error["request_id"], *response.headers["x-request-id"].to_str().unwrap());
        }
    }
    let head = Request::head("/api/open/v1/rooms/none")
        .header(AUTHORIZATION, format!("Bearer {KEY_OF_ALL}"));
    let response = service.send(head.body(Body::empty()).unwrap()).await;
    assert_eq!((response.status, response.bytes), (StatusCode::NOT_FOUND, Vec::new()));

    let response = service.get_with("wrong", "/api/open/v1/rooms").await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(response.json()["error"]["messages"], json!(["Invalid token"]));
    assert_eq!(response.headers["www-authenticate"], r#"Bearer error="invalid_token""#);
    let response = service.get_with("wrong", "/qontak/chat/v1/rooms").await;
    assert_eq!(response.json(), json!({"message": "Unauthorized"}));
    // Our own routes keep their words.
    let response = service.get("/v1/rooms/none").await;
    assert_eq!(response.json()["error"]["messages"], json!(["not found"]));
}

#[sqlx::test]
async fn health_of_qontak_needs_no_key(db: PgPool) {
    let service = Service::start(db).await;
    for path in ["/v1/health", "/api/open/v1/health", "/qontak/chat/v1/health"] {
        let response = service.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((response.status, response.json()), (StatusCode::OK, json!({"status": "ok"})));
    }
}
