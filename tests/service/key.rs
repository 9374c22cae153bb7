//! API keys: the commands `key create`, `list` and `revoke`, and the rate limit per key.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::binary::{Process, run};
use super::fixtures::ALL;
use super::harness::{
    KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, ORGANIZATION, Response, Service, settings,
};
use super::spool::{Outage, wait_until};

type Settings = BTreeMap<String, String>;

/// Runs `key …`: its stdout if it succeeds, else its stderr.
async fn key(settings: &Settings, arguments: &[&str]) -> Result<String, String> {
    let output = run(settings, &[&["key"], arguments].concat()).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// Creates a key that reads all organisations, with further arguments; returns the secret.
pub async fn create(settings: &Settings, arguments: &[&str]) -> String {
    let usual = ["create", "--scope", "read", "--organization", "*"];
    let printed = key(settings, &[&usual, arguments].concat()).await.unwrap();
    let secret = printed.trim_end();
    assert_eq!((secret.len(), &secret[..3]), (67, "qr_"), "{printed}");
    secret.to_owned()
}

/// Columns of a key in `key list`.
async fn listed(settings: &Settings, name: &str) -> Vec<String> {
    let table = key(settings, &["list"]).await.unwrap();
    let line = table.lines().find(|line| line.starts_with(&format!("{name} ")));
    let cells = line.unwrap_or_else(|| panic!("no {name} in {table}")).split("  ");
    cells.map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

async fn status_of(service: &Service, key: &str) -> StatusCode {
    service.get_with(key, "/v1/rooms").await.status
}

fn message(response: &Response) -> String {
    response.json()["error"]["messages"][0].as_str().unwrap().to_owned()
}

#[sqlx::test]
async fn created_key_has_its_scopes_and_organisations_until_revoked(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    let arguments = ["create", "--name", "ours", "--scope", "read", "--organization", ORGANIZATION];
    let ours = key(&settings, &arguments).await.unwrap().trim_end().to_owned();
    let others = ["create", "--name=others", "--scope=read,replay", "--organization=a,b"];
    let others = key(&settings, &others).await.unwrap().trim_end().to_owned();
    let events = "/v1/events?limit=500";
    let expected = service.get_with(KEY_OF_ORGANIZATION, events).await;
    assert_eq!(service.get_with(&ours, events).await.json(), expected.json());
    assert_eq!(service.get_with(&others, events).await.json()["data"], json!([]));
    let id = expected.json()["data"][0]["event_id"].as_str().unwrap().to_owned();
    for (key, status) in [(&ours, StatusCode::FORBIDDEN), (&others, StatusCode::NOT_FOUND)] {
        let request = Request::post(format!("/v1/events/{id}/replay"))
            .header(AUTHORIZATION, format!("Bearer {key}"));
        assert_eq!(service.send(request.body(Body::empty()).unwrap()).await.status, status);
    }
    let stored: String =
        sqlx::query_scalar("select string_agg(to_jsonb(api_key)::text, ' ') from api_key")
            .fetch_one(&service.db)
            .await
            .unwrap();
    assert!(!stored.contains(&ours[3..20]), "{stored}");

    assert_eq!(listed(&settings, "ours").await[1..3], ["read", ORGANIZATION]);
    assert_eq!(listed(&settings, "ours").await[4..7], ["never", "never", "live"]);
    assert_eq!(listed(&settings, "others").await[1..3], ["read,replay", "a,b"]);
    assert_eq!(listed(&settings, "all").await[6], "in the settings");

    // Revoked by name and by id. A key used a moment ago is cached for some seconds.
    let id = listed(&settings, "others").await[7].clone();
    for (name, key_of_it, named) in [("ours", &ours, "ours"), ("others", &others, id.as_str())] {
        key(&settings, &["revoke", named]).await.unwrap();
        assert_eq!(listed(&settings, name).await[6], "revoked");
        wait_until(async || status_of(&service, key_of_it).await == StatusCode::UNAUTHORIZED).await;
    }
    let response = service.get_with(&ours, "/v1/rooms").await;
    assert_eq!(message(&response), "API key is unknown, expired or revoked");
    assert_eq!(response.headers["www-authenticate"], r#"Bearer error="invalid_token""#);
}

#[sqlx::test]
async fn expired_key_is_rejected_and_its_name_can_be_reused(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start(db).await;
    let first = create(&settings, &["--name", "dash board", "--expires", "90d"]).await;
    let sql = "update api_key set expires_at = now() - interval '1 s'";
    service.execute(sql).await;
    assert_eq!(status_of(&service, &first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(listed(&settings, "dash board").await[6], "expired");
    let arguments = ["--name", "dash board", "--expires", "2999-01-31"];
    let second = create(&settings, &arguments).await;
    assert_eq!(status_of(&service, &second).await, StatusCode::OK);
    assert_eq!(status_of(&service, &first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(listed(&settings, "dash board").await[4], "2999-01-31T00:00Z");
    // The list shows both keys.
    let table = key(&settings, &["list"]).await.unwrap();
    assert_eq!(table.matches("dash board").count(), 2, "{table}");
    assert!(table.contains("  expired  "), "{table}");
}

#[sqlx::test]
async fn invalid_key_commands_fail_and_name_the_allowed_values(db: PgPool) {
    let settings = settings(&db.connect_options());
    create(&settings, &["--name", "taken"]).await;
    let (long, far_year) = ("n".repeat(65), "99999y".to_owned());
    let usual = ["create", "--name", "n", "--scope", "read", "--organization", "*"];
    let change = |at: usize, value| {
        let mut arguments = usual.to_vec();
        arguments[at] = value;
        arguments
    };
    let expires = |value| [&usual[..], &["--expires", value]].concat();
    let cases = [
        (change(4, "admin"), "possible values: read, read_masked, export, replay, write"),
        (change(4, "export"), "--scope export requires --scope read"),
        (change(6, ""), "expected the id of an organisation, or * for all"),
        (change(6, "a,,b"), "expected the id of an organisation, or * for all"),
        (change(2, "taken"), "--name taken: a key with this name is live"),
        (change(2, ""), "expected 1 to 64 characters"),
        (change(2, &long), "expected 1 to 64 characters"),
        (change(2, "a\tb"), "control characters are not allowed"),
        (change(2, ORGANIZATION), "must not be a UUID"),
        (expires("2020-01-31"), "must be in the future"),
        (expires("0d"), "must be in the future"),
        (
            expires("2027-02-30"),
            "expected 2027-01-31, 2027-01-31T17:00:00Z, or a duration from now",
        ),
        (expires("soon"), "expected 2027-01-31, 2027-01-31T17:00:00Z, or a duration from now"),
        (expires(&far_year), "must be before the year 10000"),
        (usual[..5].to_vec(), "--organization <ID>"),
        (vec!["revoke", "unknown"], "unknown: no live key has this name or id; see `key list`"),
        (vec!["revoke", ORGANIZATION], "no live key has this name or id"),
        (vec!["revoke", "another"], "remove key.another there"),
    ];
    for (arguments, expected) in cases {
        let error = key(&settings, &arguments).await.expect_err(&format!("{arguments:?}"));
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let keys = "select count(*) from api_key where revoked_at is null";
    assert_eq!(sqlx::query_scalar::<_, i64>(keys).fetch_one(&db).await.unwrap(), 1);
}

#[sqlx::test]
async fn concurrent_key_creation_with_one_name_succeeds_once(db: PgPool) {
    let settings = settings(&db.connect_options());
    let usual = ["create", "--name", "n", "--scope", "read", "--organization", "*"];
    let (one, other) = tokio::join!(key(&settings, &usual), key(&settings, &usual));
    assert_eq!(one.is_ok() as u8 + other.is_ok() as u8, 1, "{one:?} {other:?}");
}

#[sqlx::test(migrations = false)]
async fn key_commands_require_the_schema_and_check_reports_the_number_of_keys(db: PgPool) {
    let mut settings = settings(&db.connect_options());
    let error = key(&settings, &["list"]).await.unwrap_err();
    assert!(error.contains("run `qontak-receiver migrate`"), "{error}");
    assert!(run(&settings, &["migrate"]).await.status.success());
    let check = async |settings: &Settings| {
        String::from_utf8(run(settings, &["check"]).await.stdout).unwrap()
    };
    create(&settings, &["--name", "n"]).await;
    let report = check(&settings).await;
    assert!(report.contains("ok    keys       4 in the settings, 1 in the database"), "{report}");
    key(&settings, &["revoke", "n"]).await.unwrap();
    settings.retain(|name, _| !name.starts_with("RECEIVER__KEY__"));
    let report = check(&settings).await;
    assert!(report.contains("warn  keys       none, so the API cannot be read"), "{report}");
}

#[sqlx::test]
async fn database_keys_get_503_while_the_database_is_unavailable(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start(db.clone()).await;
    let secret = create(&settings, &["--name", "n"]).await;
    let outage = Outage::start(&db).await;
    for key in [secret.as_str(), "qr_unknown"] {
        let response = service.get_with(key, "/v1/rooms?limit=0").await;
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers["retry-after"], "2");
        assert_eq!(message(&response), "storage unavailable, retry later");
    }
    // Keys in the settings need no database, and malformed keys are never looked up in it.
    let response = service.get_with(KEY_OF_ALL, "/v1/rooms?limit=0").await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(status_of(&service, "unknown").await, StatusCode::UNAUTHORIZED);
    outage.end().await;
    wait_until(async || status_of(&service, &secret).await == StatusCode::OK).await;
}

#[sqlx::test]
async fn concurrent_lookups_of_unknown_keys_are_batched(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = std::sync::Arc::new(Service::start(db).await);
    let secret = create(&settings, &["--name", "n"]).await;
    let mut requests = JoinSet::new();
    for i in 0..100 {
        let service = service.clone();
        requests.spawn(async move { status_of(&service, &format!("qr_{i}")).await });
    }
    let statuses = requests.join_all().await;
    assert_eq!(statuses, [StatusCode::UNAUTHORIZED; 100]);
    assert_eq!(status_of(&service, &secret).await, StatusCode::OK);
    // A session reports its statistics when it ends.
    let sessions = "from pg_stat_activity
        where datname = current_database() and application_name = 'qontak-receiver'";
    let sql = format!("select pg_terminate_backend(pid) {sessions}");
    service.execute(&sql).await;
    let count = format!("select count(*) {sessions}");
    let sessions = async || -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(count.as_str()))
            .fetch_one(&service.db)
            .await
            .unwrap()
    };
    wait_until(async || sessions().await == 0).await;
    let scans = "select seq_scan + coalesce(idx_scan, 0) from pg_stat_user_tables
        where relname = 'api_key'";
    let scans: i64 = sqlx::query_scalar(scans).fetch_one(&service.db).await.unwrap();
    assert!((1..20).contains(&scans), "{scans}");
}

#[sqlx::test]
async fn key_list_shows_when_each_key_was_last_used(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Process::start(settings.clone()).await;
    let secret = create(&settings, &["--name", "used"]).await;
    create(&settings, &["--name", "unused"]).await;
    let client = reqwest::Client::new();
    let url = format!("{}/v1/rooms", service.url);
    let response = client.get(url).bearer_auth(secret).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    wait_until(async || listed(&settings, "used").await[5].starts_with("20")).await;
    assert_eq!(listed(&settings, "unused").await[5], "never");
}

#[sqlx::test]
async fn requests_above_the_key_rate_limit_get_429_with_retry_after(db: PgPool) {
    let options = settings(&db.connect_options());
    let limit = [("RECEIVER__API__REQUESTS_PER_SECOND", "1"), ("RECEIVER__API__BURST", "3")];
    let service = Service::start_with(db, &limit).await;
    let secret = create(&options, &["--name", "n"]).await;
    for key in [KEY_OF_ALL, secret.as_str()] {
        let mut accepted = 0;
        let rejected = loop {
            let response = service.get_with(key, "/v1/rooms").await;
            if response.status != StatusCode::OK {
                break response;
            }
            accepted += 1;
            assert!(accepted < 500, "the rate limit was never applied");
        };
        assert!(accepted >= 3, "{accepted}");
        assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(rejected.headers["retry-after"], "1");
        assert_eq!(rejected.json()["error"]["code"], 429);
        assert_eq!(message(&rejected), "rate limit of this API key exceeded, retry in 1s");
    }
    // Other keys are not limited.
    assert_eq!(status_of(&service, KEY_OF_ANOTHER).await, StatusCode::OK);
    wait_until(async || status_of(&service, KEY_OF_ALL).await == StatusCode::OK).await;
}

#[sqlx::test]
async fn running_export_ends_when_its_key_is_revoked_or_expires(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start(db).await;
    let messages = "insert into message (organization, message_id, received_at, text, text_rank)
        select (number_organizations(array['1']))[1], id, now(), repeat('x', 300), gen_random_uuid()
        from generate_series(1, 10000) as id;
        call rebuild_derived_columns('message')";
    service.execute(messages).await;
    for (name, end) in [("a", "revoked_at"), ("b", "expires_at")] {
        let key = create(&settings, &["--name", name, "--scope", "export"]).await;
        let request = Request::get("/v1/messages?format=ndjson");
        let request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        let response = service.respond(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        let end = format!("update api_key set {end} = now() where name = '{name}'");
        service.execute(&end).await;
        // A slow client: all parts would take a minute.
        let rest = async {
            while let Some(part) = body.frame().await {
                if let Err(error) = part {
                    return error.to_string();
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            "complete".to_owned()
        };
        let ended = tokio::time::timeout(Duration::from_secs(30), rest).await;
        assert_eq!(ended.expect("the export went on"), "API key is no longer valid");
    }
}
