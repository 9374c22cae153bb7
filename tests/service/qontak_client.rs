//! The client of Qontak's API against a fake of it: credentials, tokens, faults.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderMap, Method};
use qontak_receiver::config::Config;
use qontak_receiver::qontak::hook::Hooks;
use qontak_receiver::qontak::{Client, Error, Transport};
use qontak_receiver::simulate::{Change, Credentials, Fake};
use qontak_receiver::store;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::harness::settings;

const ENCRYPTION_KEY: &str = "an-encryption-key-of-the-database";

/// A fake of Qontak's API.
pub struct FakeQontak {
    pub url: String,
    fake: Fake,
    _serving: JoinSet<()>,
}

impl FakeQontak {
    pub async fn start() -> Self {
        Self::start_with(7).await
    }

    /// Starts one with another organisation for each seed.
    pub async fn start_with(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = Fake::new(seed);
        let mut serving = JoinSet::new();
        let served = fake.clone();
        serving.spawn(async move { served.serve(listener).await.unwrap() });
        Self { url, fake, _serving: serving }
    }

    pub fn change(&self, change: Value) {
        self.fake.change(serde_json::from_value::<Change>(change).unwrap());
    }

    pub fn show(&self) -> Value {
        self.fake.show()
    }

    pub fn credentials(&self) -> Credentials {
        self.fake.credentials()
    }

    /// Rows of a list, as a client with a token gets them.
    pub async fn rows(&self, path: &str) -> Vec<Value> {
        let request =
            reqwest::Client::new().get(format!("{}/api/open/v1/{path}?limit=100", self.url));
        let response = request.bearer_auth(self.credentials().access_token).send().await.unwrap();
        let mut page: Value = response.json().await.unwrap();
        serde_json::from_value(page["data"].take()).unwrap()
    }

    /// Settings of the organisation `shop` that authenticates by signatures.
    pub fn hmac(&self) -> BTreeMap<String, String> {
        let credentials = self.credentials();
        environment(&[
            ("BASE_URL", &self.url),
            ("CLIENT_ID", &credentials.client_id),
            ("CLIENT_SECRET", &credentials.client_secret),
        ])
    }

    /// Settings of the organisation `shop` that authenticates by tokens.
    pub fn bearer(&self) -> BTreeMap<String, String> {
        let credentials = self.credentials();
        let mut settings = self.hmac();
        settings.extend(environment(&[
            ("AUTH", "bearer"),
            ("ACCESS_TOKEN", &credentials.access_token),
            ("REFRESH_TOKEN", &credentials.refresh_token),
        ]));
        let key = ("RECEIVER__DATABASE__ENCRYPTION_KEY".to_owned(), ENCRYPTION_KEY.to_owned());
        settings.extend([key]);
        settings
    }
}

/// Settings of the organisation `shop`.
pub fn environment(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    let setting = |(name, value): &(&str, &str)| {
        (format!("RECEIVER__QONTAK__SHOP__{name}"), (*value).to_owned())
    };
    values.iter().map(setting).collect()
}

/// A client with connections of its own, as in another replica.
fn client(db: &PgPool, organization: &BTreeMap<String, String>) -> Client {
    let mut settings = settings(&db.connect_options());
    settings.extend(organization.clone());
    let config = Config::read(None, settings).unwrap();
    let pool = store::connect(&config.database).unwrap();
    Client::new("shop", &config.qontak["shop"], &config, pool)
}

async fn error(client: &Client) -> Error {
    client.check_organization().await.unwrap_err()
}

#[sqlx::test]
async fn reads_are_repeated_after_faults_of_the_server(db: PgPool) {
    let faults = ["server_error", "bad_gateway", "html", "truncated", "reset"];
    let limits = ["rate_limit", "rate_limit_reset", "rate_limit_message"];
    let mut tasks = JoinSet::new();
    for fault in faults.into_iter().chain(limits) {
        let qontak = FakeQontak::start().await;
        let client = client(&db, &qontak.hmac());
        tasks.spawn(async move {
            qontak.change(json!({ "fault": fault }));
            let found = client.check_organization().await;
            let found = found.unwrap_or_else(|error| panic!("{fault}: {error}"));
            assert_eq!(found, Some(qontak.credentials().organization_id), "{fault}");
            assert_eq!(qontak.show()["requests"]["GET integrations"], 2, "{fault}");
        });
    }
    tasks.join_all().await;
}

#[sqlx::test]
async fn lasting_faults_end_in_one_clear_error(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let client = client(&db, &qontak.hmac());
    let host = qontak.url.strip_prefix("http://").unwrap();
    for (fault, attempts, expected) in [
        ("server_error", 4, "is unavailable (500 Internal Server Error); retry later"),
        ("html", 4, "answered 200 OK without JSON; check base_url"),
        ("redirect", 1, "redirects; set the address that it redirects to"),
    ] {
        qontak.change(json!({ "fault": fault, "times": attempts }));
        assert_eq!(error(&client).await.to_string(), format!("{host} {expected}"), "{fault}");
        assert_eq!(qontak.show()["faults"], 0, "{fault}");
    }
    qontak.change(json!({ "fault": "endless" }));
    let message = error(&client).await.to_string();
    assert_eq!(message, format!("response of {host} is larger than 8388608 bytes"));

    qontak.change(json!({ "fault": "drip" }));
    let transport = Transport::default().with_timeout(Duration::from_secs(2));
    let url = format!("{}/api/open/v1/rooms", qontak.url);
    let dripped = transport.send(Method::GET, &url, HeaderMap::new(), None).await.err().unwrap();
    assert_eq!(dripped.to_string(), format!("{host} did not respond within 2s"));
}

#[sqlx::test]
async fn wrong_credentials_end_in_one_clear_error_without_them(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let host = qontak.url.strip_prefix("http://").unwrap();
    let hmac = client(&db, &qontak.hmac());
    hmac.check_organization().await.unwrap();

    qontak.change(json!({ "clock_offset": 400 }));
    let message = error(&hmac).await.to_string();
    assert!(message.contains("rejected the signature: the clock differs by "), "{message}");
    assert!(message.ends_with("; synchronise it"), "{message}");
    qontak.change(json!({ "clock_offset": 200 }));
    hmac.check_organization().await.unwrap();

    let rejected = format!(
        "{host} rejected the credentials; check client_id and client_secret, or the tokens"
    );
    let with = |mut settings: BTreeMap<String, String>, values: &[(&str, &str)]| {
        settings.extend(environment(values));
        settings
    };
    let secret = "another-secret-of-the-client";
    let wrong_secret = client(&db, &with(qontak.hmac(), &[("CLIENT_SECRET", secret)]));
    assert_eq!(error(&wrong_secret).await.to_string(), rejected);

    let mut token_only = with(qontak.bearer(), &[("ACCESS_TOKEN", "another-access-token")]);
    token_only.remove("RECEIVER__QONTAK__SHOP__REFRESH_TOKEN");
    assert_eq!(error(&client(&db, &token_only)).await.to_string(), rejected);

    qontak.change(json!({ "expire": true }));
    let wrong = client(&db, &with(qontak.bearer(), &[("REFRESH_TOKEN", "another-refresh-token")]));
    let expected =
        format!("{host} rejected the refresh token; create another one and set refresh_token");
    assert_eq!(error(&wrong).await.to_string(), expected);

    let other = client(&db, &with(qontak.hmac(), &[("ORGANIZATION_ID", "another-organization")]));
    let found = qontak.credentials().organization_id;
    let expected =
        format!("the credentials belong to organisation {found}, not another-organization");
    assert_eq!(error(&other).await.to_string(), expected);
}

#[sqlx::test]
async fn token_rotates_once_while_three_replicas_ask(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let initial = qontak.bearer();
    let old = qontak.credentials();
    client(&db, &initial).check_organization().await.unwrap();
    assert_eq!(qontak.show()["refreshes"], 0, "the given access token is still valid");

    qontak.change(json!({ "expire": true }));
    let mut replicas = JoinSet::new();
    for _ in 0..3 {
        let replica = client(&db, &initial);
        replicas.spawn(async move {
            let (a, b) = tokio::join!(replica.check_organization(), Hooks::fetch(&replica));
            (a.map(drop), b.map(drop))
        });
    }
    for results in replicas.join_all().await {
        assert!(matches!(results, (Ok(()), Ok(()))), "{results:?}");
    }
    let state = qontak.show();
    assert_eq!((&state["refreshes"], &state["reused"]), (&json!(1), &json!(0)));

    // A restart with the settings of the beginning.
    client(&db, &initial).check_organization().await.unwrap();
    assert_eq!(qontak.show()["refreshes"], 1);

    let sealed: Vec<u8> =
        sqlx::query_scalar("select sealed from qontak_token").fetch_one(&db).await.unwrap();
    let new = qontak.credentials();
    for token in [old.access_token, old.refresh_token, new.access_token, new.refresh_token] {
        assert!(!sealed.windows(token.len()).any(|part| part == token.as_bytes()));
    }
}

#[sqlx::test]
async fn refreshed_tokens_are_stored_though_the_caller_has_gone(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let client = client(&db, &qontak.bearer());
    qontak.change(json!({ "expire": true, "hold": true }));
    {
        let mut call = std::pin::pin!(client.check_organization());
        let is_replaced = async || qontak.show()["refreshes"] == 1;
        tokio::select! {
            found = &mut call => panic!("{found:?}"),
            () = super::spool::wait_until(is_replaced) => {}
        }
    }
    qontak.change(json!({ "hold": false }));
    client.finish().await;
    client.check_organization().await.unwrap();
    let state = qontak.show();
    assert_eq!((&state["refreshes"], &state["reused"]), (&json!(1), &json!(0)));
}

#[sqlx::test]
async fn token_is_refreshed_before_it_expires(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let client = client(&db, &qontak.bearer());
    // More than 80 % of such a lifetime is always over.
    qontak.change(json!({ "expire": true, "expires_in": 1 }));
    for refreshes in 1..4 {
        client.check_organization().await.unwrap();
        assert_eq!(qontak.show()["refreshes"], refreshes);
    }
    qontak.change(json!({ "expires_in": 3600 }));
    for _ in 0..2 {
        client.check_organization().await.unwrap();
        assert_eq!(qontak.show()["refreshes"], 4);
    }
    assert_eq!(qontak.show()["reused"], 0);
}

#[sqlx::test]
async fn another_refresh_token_in_the_settings_takes_precedence_over_the_stored_one(db: PgPool) {
    let qontak = FakeQontak::start().await;
    qontak.change(json!({ "expire": true }));
    client(&db, &qontak.bearer()).check_organization().await.unwrap();
    // Somebody else uses the stored one, and an operator creates another.
    let used = qontak.credentials();
    let body = json!({
        "grant_type": "refresh_token", "refresh_token": used.refresh_token,
        "client_id": used.client_id, "client_secret": used.client_secret,
    });
    let url = format!("{}/oauth/token", qontak.url);
    reqwest::Client::new().post(url).json(&body).send().await.unwrap().error_for_status().unwrap();
    qontak.change(json!({ "expire": true }));
    client(&db, &qontak.bearer()).check_organization().await.unwrap();
    assert_eq!(qontak.show()["reused"], 0);
}

#[sqlx::test]
async fn another_encryption_key_is_reported(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let mut settings = qontak.bearer();
    qontak.change(json!({ "expire": true }));
    client(&db, &settings).check_organization().await.unwrap();
    settings.insert("RECEIVER__DATABASE__ENCRYPTION_KEY".into(), "another key".repeat(4));
    let message = error(&client(&db, &settings)).await.to_string();
    assert_eq!(message, "stored tokens cannot be decrypted; check database.encryption_key");
}
