//! Templates and contact lists created over the API, against a fake of Qontak.

mod faults;
mod requests;

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinSet;

use super::binary::{DEADLINE, Process, run};
use super::harness::{KEY_OF_ALL, settings};
use super::qontak_client::FakeQontak;

/// Key with the scope `write` only, for all organisations.
pub const WRITER: &str = "a-key-that-writes";

/// Settings of [`WRITER`].
pub const WRITER_SETTINGS: [(&str, &str); 3] = [
    (
        "RECEIVER__KEY__WRITER__SHA256",
        "4f572ee19d73fee57fc598a8e971d8e22f726d6babf4a8cedf90d412b7a7c4d0",
    ),
    ("RECEIVER__KEY__WRITER__SCOPES", "write"),
    ("RECEIVER__KEY__WRITER__ORGANIZATIONS", "*"),
];

pub fn sha256(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Settings of a service that may create things in the organisation of a fake.
pub fn writing(db: &PgPool, qontak: &FakeQontak) -> BTreeMap<String, String> {
    let mut settings = settings(&db.connect_options());
    settings.extend(qontak.hmac());
    let changed = [
        ("RECEIVER__API__WRITE", "true"),
        ("RECEIVER__BACKFILL__AUTO", "false"),
        // A busy machine must not end a call at a stop.
        ("RECEIVER__HTTP__STOP_TIMEOUT", "60s"),
    ];
    let changed = changed.into_iter().chain(WRITER_SETTINGS);
    settings.extend(changed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    settings
}

/// A service, and the fake where it creates things.
pub struct Setup {
    pub qontak: FakeQontak,
    pub settings: BTreeMap<String, String>,
    pub service: Process,
    pub db: PgPool,
}

/// Status, `Location`, `Retry-After` and body of a response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub location: Option<String>,
    pub retry_after: Option<String>,
    pub body: Value,
}

impl Answer {
    /// The first error message.
    pub fn message(&self) -> &str {
        self.body["error"]["messages"][0].as_str().unwrap_or_default()
    }
}

impl Setup {
    pub async fn start(db: PgPool) -> Self {
        Self::start_with(db, FakeQontak::hmac).await
    }

    /// Starts with these credentials.
    pub async fn start_with(
        db: PgPool,
        credentials: impl Fn(&FakeQontak) -> BTreeMap<String, String>,
    ) -> Self {
        let qontak = FakeQontak::start().await;
        let mut settings = writing(&db, &qontak);
        settings.extend(credentials(&qontak));
        let service = Process::start(settings.clone()).await;
        let setup = Self { qontak, settings, service, db };
        // The last call of the first sync: faults are for what the test does.
        let is_synced = async || setup.qontak.show()["requests"]["GET contact_lists"] == 1;
        super::spool::wait_until(is_synced).await;
        setup
    }

    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        request(&self.service.url, path, key, body).await
    }

    pub async fn get_as(&self, path: &str, key: &str) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.service.url);
        let response = reqwest::Client::new().request(Method::GET, url).bearer_auth(key).send();
        let response = response.await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Waits until the data of a route are as expected, and returns them.
    pub async fn wait_for(&self, path: &str, key: &str, is_done: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let data = self.get_as(path, key).await.1["data"].take();
                if is_done(&data) {
                    return data;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, wait).await;
        found.unwrap_or_else(|_| panic!("{path}: not as expected"))
    }

    /// Waits until a creation has this state, and returns it.
    pub async fn wait_for_state(&self, answer: &Answer, state: &str) -> Value {
        let path = answer.location.as_deref().unwrap();
        self.wait_for(path, WRITER, |row| row["state"] == state).await
    }

    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&self.db).await.unwrap()
    }

    pub async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.db).await.unwrap();
    }

    /// How often the fake was asked to create something.
    pub fn calls(&self) -> u64 {
        let requests = &self.qontak.show()["requests"];
        let count = |name: &str| requests[name].as_u64().unwrap_or(0);
        count("POST whatsapp") + count("POST async")
    }

    /// Sends a request whose call the fake holds, and waits until the call is there.
    pub async fn post_held(&self, path: &str, key: &str, body: &Value) -> JoinSet<Answer> {
        self.qontak.change(json!({ "hold": true }));
        let calls = self.calls();
        let mut held = JoinSet::new();
        let (url, path, key) = (self.service.url.clone(), path.to_owned(), key.to_owned());
        let body = body.clone();
        held.spawn(async move { request(&url, &path, &key, &body).await });
        super::spool::wait_until(async || self.calls() > calls).await;
        held
    }

    /// Lets the fake answer the next call that creates something with a fault. Before it, the service
    /// checks its credentials.
    pub fn fail_next(&self, fault: &str) {
        self.qontak.change(json!({ "fault": "pass" }));
        self.qontak.change(json!({ "fault": fault }));
    }
}

/// Sends a request with an idempotency key.
pub async fn request(url: &str, path: &str, key: &str, body: &Value) -> Answer {
    let request = reqwest::Client::new().post(format!("{url}{path}")).bearer_auth(WRITER);
    let response = request.header("idempotency-key", key).json(body).send().await.unwrap();
    let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    let (location, retry_after) = (header("location"), header("retry-after"));
    let status = response.status();
    Answer { status, location, retry_after, body: response.json().await.unwrap() }
}

pub fn template(name: &str) -> Value {
    json!({
        "name": name, "category": "MARKETING", "language": "id",
        "components": [
            { "type": "HEADER", "format": "TEXT", "text": "Toko Maju" },
            { "type": "BODY", "text": "Halo {{1}}, diskon 25%.", "example": { "body_text": [["Siti"]] } },
            { "type": "BUTTONS", "buttons": [{ "type": "QUICK_REPLY", "text": "Stop" }] },
        ],
    })
}

pub fn contact_list(name: &str) -> Value {
    json!({
        "name": name, "source_type": "spreadsheet",
        "csv": "phone_number,full_name,kota\n6281200010001,Siti,Bogor\n6281200010002,\"Budi, S.\",Solo\n",
    })
}

#[sqlx::test]
async fn template_is_created_once_and_followed_until_it_is_approved(db: PgPool) {
    let setup = Setup::start(db).await;
    let answer = setup.post("/v1/templates", "key-1", &template("promo_gajian")).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let row = &answer.body["data"];
    assert_eq!((&row["state"], &row["kind"]), (&json!("processing"), &json!("template")));
    assert_eq!(row["organization_id"], setup.qontak.credentials().organization_id);
    assert_eq!(row["result"]["status"], "PENDING", "{row}");

    // It is listed at once.
    let is_listed =
        |rows: &Value| rows.as_array().into_iter().flatten().any(|it| it["name"] == "promo_gajian");
    let rows = setup.get_as("/v1/templates?limit=500", KEY_OF_ALL).await.1["data"].take();
    assert!(is_listed(&rows), "{rows}");
    let done = setup.wait_for_state(&answer, "done").await;
    assert_eq!(done["result"]["status"], "APPROVED", "{done}");
    assert!(done["error"].is_null() && done["checked_at"].is_string(), "{done}");
    assert_eq!(done["qontak_id"], row["qontak_id"]);

    // Repeated, also in other words: the result of the first one. The fields of a request have no order.
    let mut same = template("promo_gajian").to_string().replace("{\"type\"", "{  \"type\"");
    same.insert(1, ' ');
    let same: Value = serde_json::from_str(&same).unwrap();
    let again = setup.post("/v1/templates", "key-1", &same).await;
    assert_eq!((again.status, &again.body["data"]), (StatusCode::CREATED, &done));
    assert_eq!(again.location, answer.location);
    let other = setup.post("/v1/templates", "key-1", &template("promo_lain")).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.message(), "Idempotency-Key: was used for another request; use a new one");
    let other = setup.post("/v1/contact-lists", "key-1", &contact_list("promo_gajian")).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{other:?}");
    assert_eq!((setup.calls(), &setup.qontak.show()["created"]), (1, &json!(1)));
}

#[sqlx::test]
async fn contact_list_is_uploaded_and_followed_until_it_is_imported(db: PgPool) {
    let setup = Setup::start(db).await;
    let answer = setup.post("/v1/contact-lists", "k", &contact_list("Pelanggan \"Bogor\"")).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.body["data"]["state"], "processing", "{answer:?}");
    // Qontak has named an id only; the rest is from the request.
    let listed = setup.get_as("/v1/contact-lists", KEY_OF_ALL).await.1["data"][0].take();
    assert_eq!(listed["id"], answer.body["data"]["qontak_id"], "{listed}");
    assert_eq!(listed["name"], "Pelanggan \"Bogor\"", "{listed}");
    assert_eq!(listed["source_type"], "spreadsheet", "{listed}");
    let done = setup.wait_for_state(&answer, "done").await;
    assert_eq!(done["result"]["contacts_count_success"], 2, "{done}");
    assert_eq!(done["result"]["contact_variables"], json!(["phone_number", "full_name", "kota"]));
    let listed = setup.get_as("/v1/contact-lists", KEY_OF_ALL).await.1["data"][0].take();
    assert_eq!((&listed["name"], &listed["id"]), (&done["name"], &done["qontak_id"]));
    assert_eq!(listed["contacts_count"], 2);

    // A source that Qontak knows needs no file.
    let crm = json!({ "name": "CRM", "source_type": "crm_dynamic", "source_id": "7" });
    let answer = setup.post("/v1/contact-lists", "crm", &crm).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let done = setup.wait_for_state(&answer, "done").await;
    assert_eq!(done["result"]["source_id"], "7", "{done}");

    // Qontak calls it a success that nobody was imported, and quotes contacts in its messages.
    setup.qontak.change(json!({ "outcome": "EMPTY" }));
    let answer = setup.post("/v1/contact-lists", "empty", &contact_list("Kosong")).await;
    let failed = setup.wait_for_state(&answer, "failed").await;
    assert_eq!(failed["error"], "no contact was imported", "{failed}");
    // Qontak has written the number as a text.
    assert_eq!(failed["result"]["contacts_count_success"], 0, "{failed}");
    for table in ["creation", "catalog", "audit"] {
        let sql = format!("select count(*) from {table} where {table}::text like '%6281200010%'");
        let numbers = setup.number(&sql).await;
        assert_eq!(numbers, 0, "{table}");
    }
}

#[sqlx::test]
async fn template_that_is_rejected_in_review_has_failed(db: PgPool) {
    let setup = Setup::start(db).await;
    setup.qontak.change(json!({ "outcome": "REJECTED" }));
    let answer = setup.post("/v1/templates", "key", &template("promo")).await;
    let failed = setup.wait_for_state(&answer, "failed").await;
    assert_eq!(failed["error"], "rejected in review");
    let history = format!("/v1/templates/{}/history", failed["qontak_id"].as_str().unwrap());
    let history = setup.get_as(&history, KEY_OF_ALL).await.1;
    assert_eq!(history["data"][0]["status"], "REJECTED", "{history}");
}

#[sqlx::test]
async fn template_that_is_deleted_or_not_found_has_failed(db: PgPool) {
    let setup = Setup::start(db).await;
    setup.qontak.change(json!({ "outcome": "DELETED" }));
    let answer = setup.post("/v1/templates", "deleted", &template("deleted")).await;
    let failed = setup.wait_for_state(&answer, "failed").await;
    assert_eq!(failed["error"], "deleted or disabled at Qontak");

    // A status that is not known leaves the state open; Postgres stores no NUL.
    setup.qontak.change(json!({ "outcome": "A\u{0}NEW_ONE" }));
    let answer = setup.post("/v1/templates", "new", &template("new")).await;
    let path = answer.location.clone().unwrap();
    let row = setup.wait_for(&path, WRITER, |row| row["result"]["status"] == "ANEW_ONE").await;
    assert_eq!(row["state"], "processing", "{row}");

    setup.qontak.change(json!({ "outcome": "GONE" }));
    setup.execute("update creation set created_at = now() - interval '11 min'").await;
    setup.execute("update creation set checked_at = created_at where name = 'new'").await;
    let failed = setup.wait_for_state(&answer, "failed").await;
    assert_eq!(failed["error"], "Qontak does not have it any more");
}

#[sqlx::test]
async fn creations_are_audited_counted_erased_and_expire(db: PgPool) {
    let setup = Setup::start(db).await;
    let answer = setup.post("/v1/templates", "key", &template("promo")).await;
    setup.post("/v1/templates", "key", &template("promo")).await;
    setup.wait_for_state(&answer, "done").await;
    let id = answer.body["data"]["creation_id"].as_str().unwrap();
    let sql = "select key_name, action, target, status from audit";
    let audited: Vec<(String, String, String, i32)> =
        sqlx::query_as(sql).fetch_all(&setup.db).await.unwrap();
    let expected = ("writer".to_owned(), "create".to_owned(), format!("template {id}"), 0);
    assert_eq!(audited, [expected]);
    let metrics = reqwest::get(format!("{}/metrics", setup.service.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for (state, count) in [("processing", 1), ("done", 1), ("unknown", 0)] {
        let line = format!("qontak_receiver_creations_total{{state=\"{state}\"}} {count}\n");
        assert!(metrics.contains(&line), "{metrics}");
    }

    // The hourly upkeep begins with the start.
    setup.post("/v1/templates", "another", &template("other")).await;
    let old = "update creation set created_at = now() - interval '31 days' where name = 'promo'";
    setup.execute(old).await;
    let _second = Process::start(setup.settings.clone()).await;
    let rows = "select count(*) from creation";
    super::spool::wait_until(async || setup.number(rows).await == 1).await;
    let organization_id = setup.qontak.credentials().organization_id;
    let erased = run(&setup.settings, &["erase", "--organization", &organization_id]).await;
    assert!(erased.status.success(), "{erased:?}");
    assert_eq!(setup.number(rows).await, 0);
}
