//! Keys that sign requests with Mekari's HMAC, for Qontak's own routes.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, DATE};
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::PgPool;

use super::binary::run;
use super::fixtures::{ALL, SITI_ROOM};
use super::harness::{ORGANIZATION, Response, Service, settings};
use super::spool::wait_until;

const SECRET_SETTING: &str = "RECEIVER__API__HMAC_SECRET";
const SECRET: &str = "a-secret-of-thirty-two-characters";

/// Id and secret of a client.
struct Client {
    id: String,
    secret: String,
}

/// A request that is signed, with everything that may be wrong about it.
struct Signed<'a> {
    path: &'a str,
    at: DateTime<Utc>,
    digest: Option<&'a str>,
    body: &'a str,
}

impl Client {
    /// Creates a key with `key create --hmac` for the organisation of the fixtures.
    async fn create(settings: &BTreeMap<String, String>, name: &str) -> Self {
        let arguments = ["key", "create", "--hmac", "--scope", "read", "--name", name];
        let organization = ["--organization", ORGANIZATION];
        let output = run(settings, &[&arguments[..], &organization].concat()).await;
        let printed = String::from_utf8(output.stdout).unwrap();
        let value = |line: Option<&str>, name| {
            line.and_then(|line| line.strip_prefix(name)).map(str::to_owned).unwrap()
        };
        let mut lines = printed.lines();
        Self {
            id: value(lines.next(), "MEKARI_API_CLIENT_ID="),
            secret: value(lines.next(), "MEKARI_API_CLIENT_SECRET="),
        }
    }

    fn authorization(&self, date: &str, request_line: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(format!("date: {date}\n{request_line} HTTP/1.1").as_bytes());
        let signature = BASE64.encode(mac.finalize().into_bytes());
        format!(
            r#"hmac username="{}", algorithm="hmac-sha256", headers="date request-line", signature="{signature}""#,
            self.id
        )
    }

    async fn send(&self, service: &Service, signed: Signed<'_>) -> Response {
        let date = signed.at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let authorization = self.authorization(&date, &format!("GET {}", signed.path));
        let mut request = Request::get(signed.path).header(AUTHORIZATION, authorization);
        if let Some(digest) = signed.digest {
            request = request.header("digest", digest);
        }
        let request = request.header(DATE, date).body(Body::from(signed.body.to_owned()));
        service.send(request.unwrap()).await
    }

    async fn get(&self, service: &Service, path: &str) -> Response {
        self.send(service, Signed { path, at: Utc::now(), digest: None, body: "" }).await
    }
}

/// Service with the fixtures and `api.hmac_secret`, and its settings.
async fn start(db: PgPool) -> (Service, BTreeMap<String, String>) {
    let mut settings = settings(&db.connect_options());
    settings.insert(SECRET_SETTING.to_owned(), SECRET.to_owned());
    let service = Service::start_with(db, &[(SECRET_SETTING, SECRET)]).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    (service, settings)
}

#[sqlx::test]
async fn signed_requests_get_what_the_key_may_see(db: PgPool) {
    let (service, settings) = start(db).await;
    let client = Client::create(&settings, "mekari").await;
    let expected = service.get(&format!("/api/open/v1/rooms/{SITI_ROOM}")).await.json();
    for prefix in ["/qontak/chat/v1", "/api/open/v1"] {
        let response = client.get(&service, &format!("{prefix}/rooms/{SITI_ROOM}")).await;
        assert_eq!((response.status, response.json()), (StatusCode::OK, expected.clone()));
        let response =
            client.get(&service, &format!("{prefix}/rooms?status=resolved&limit=1")).await;
        assert_eq!(response.json()["data"][0]["organization_id"], ORGANIZATION);
    }
    // As the official SDK does: the query is sent encoded and signed decoded.
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let path = "/qontak/chat/v1/rooms?tags%5B%5D=vip&query=";
    let signed = client.authorization(&date, "GET /qontak/chat/v1/rooms?tags[]=vip&query=");
    let request = Request::get(path).header(AUTHORIZATION, signed).header(DATE, date);
    let response = service.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status, StatusCode::OK);
    // The secret is also a key.
    let response = service.get_with(&client.secret, "/v1/me").await;
    assert_eq!(response.json()["data"]["name"], "mekari");
    // Signatures are for Qontak's routes only.
    let response = client.get(&service, "/v1/rooms").await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
}

#[sqlx::test]
async fn wrong_signatures_dates_and_digests_are_401_in_words_of_the_gateway(db: PgPool) {
    let (service, settings) = start(db).await;
    let client = Client::create(&settings, "mekari").await;
    let path = "/qontak/chat/v1/rooms";
    let after = |seconds| Utc::now() + TimeDelta::seconds(seconds);
    let digest = |body: &str| format!("SHA-256={}", BASE64.encode(Sha256::digest(body)));
    let (of_nothing, of_text) = (digest(""), digest("text"));
    for (at, digest, body, is_accepted) in [
        (after(-290), None, "", true),
        (after(290), None, "", true),
        (after(-310), None, "", false),
        (after(310), None, "", false),
        (after(0), Some(of_nothing.as_str()), "", true),
        (after(0), Some(of_text.as_str()), "text", true),
        (after(0), Some(of_text.as_str()), "", false),
        (after(0), Some(of_nothing.as_str()), "text", false),
        (after(0), Some("SHA-512=AA=="), "", false),
    ] {
        let response = client.send(&service, Signed { path, at, digest, body }).await;
        if is_accepted {
            assert_eq!(response.status, StatusCode::OK, "{at} {digest:?} {body}");
        } else {
            assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{at} {digest:?} {body}");
            assert_eq!(response.json(), json!({"message": "Unauthorized"}));
        }
    }
    let another = Client::create(&settings, "another").await;
    for impostor in [
        Client { id: client.id.clone(), secret: another.secret.clone() },
        Client { id: "01a20465-df75-70c0-b9ae-ce4895d45b66".into(), secret: client.secret.clone() },
        Client { id: "somebody".into(), secret: client.secret.clone() },
    ] {
        let response = impostor.get(&service, path).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{}", impostor.id);
    }
    // A signature of another path, and none at all.
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let signed = client.authorization(&date, "GET /qontak/chat/v1/users");
    for authorization in [&signed[..], "hmac", "hmac ", "hmac username=“id”"] {
        let request = Request::get(path).header(AUTHORIZATION, authorization).header(DATE, &date);
        let response = service.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{authorization}");
    }
}

#[sqlx::test]
async fn hmac_secret_is_stored_nowhere_and_revocation_ends_it(db: PgPool) {
    let (service, settings) = start(db.clone()).await;
    let client = Client::create(&settings, "mekari").await;
    let path = "/qontak/chat/v1/rooms";
    assert_eq!(client.get(&service, path).await.status, StatusCode::OK);

    let stored: String =
        sqlx::query_scalar("select string_agg(to_jsonb(api_key)::text, ' ') from api_key")
            .fetch_one(&db)
            .await
            .unwrap();
    assert!(!stored.contains(&client.secret[3..20]), "{stored}");
    let list = String::from_utf8(run(&settings, &["key", "list"]).await.stdout).unwrap();
    let line = list.lines().find(|line| line.contains("mekari")).unwrap();
    assert!(line.contains("live, hmac") && line.contains(&client.id), "{line}");

    // A service with another secret accepts the key, but not its signatures.
    let another = [(SECRET_SETTING, "another secret of thirty-two characters")];
    for changed in [&another[..], &[]] {
        let other = Service::start_with(db.clone(), changed).await;
        assert_eq!(client.get(&other, path).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(other.get_with(&client.secret, path).await.status, StatusCode::OK);
    }
    let output = run(&settings, &["key", "revoke", &client.id]).await;
    assert!(output.status.success());
    wait_until(async || client.get(&service, path).await.status == StatusCode::UNAUTHORIZED).await;
}

#[sqlx::test]
async fn hmac_key_needs_the_setting_and_other_keys_do_not_sign(db: PgPool) {
    let mut settings = settings(&db.connect_options());
    let create = ["key", "create", "--name", "n", "--scope", "read", "--organization", "*"];
    let output = run(&settings, &[&create[..], &["--hmac"]].concat()).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("--hmac: api.hmac_secret is not set; set RECEIVER__API__HMAC_SECRET"),
        "{error}"
    );

    settings.insert(SECRET_SETTING.to_owned(), SECRET.to_owned());
    let output = run(&settings, &create).await;
    let secret = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let id: String =
        sqlx::query_scalar("select api_key_id::text from api_key").fetch_one(&db).await.unwrap();
    let service = Service::start_with(db, &[(SECRET_SETTING, SECRET)]).await;
    let response = Client { id, secret }.get(&service, "/qontak/chat/v1/rooms").await;
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
}
