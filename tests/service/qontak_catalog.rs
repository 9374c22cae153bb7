//! Names of agents, templates, channel integrations and divisions, read from a fake of Qontak.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use super::binary::{DEADLINE, Process, post};
use super::fixtures::body;
use super::harness::{KEY_OF_ALL, TOKEN, settings};
use super::qontak_client::FakeQontak;

async fn get(service: &Process, path: &str) -> Value {
    let request = reqwest::Client::new().get(format!("{}{path}", service.url));
    request.bearer_auth(KEY_OF_ALL).send().await.unwrap().json::<Value>().await.unwrap()["data"]
        .take()
}

/// Waits until the data of a route are as expected, and returns them.
async fn wait_for(service: &Process, path: &str, is_expected: impl Fn(&Value) -> bool) -> Value {
    let wait = async {
        loop {
            let data = get(service, path).await;
            if is_expected(&data) {
                return data;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{path}: not as expected"))
}

fn count(data: &Value) -> usize {
    data.as_array().map_or(0, Vec::len)
}

/// Values of a field in all rows.
fn all<'a>(rows: &'a Value, field: &str) -> Vec<&'a Value> {
    rows.as_array().unwrap().iter().map(|row| &row[field]).collect()
}

#[sqlx::test(migrations = false)]
async fn names_appear_in_every_answer_that_has_an_id(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let mut settings = settings(&db.connect_options());
    settings.extend(qontak.hmac());
    settings.insert("RECEIVER__CATALOG__INTERVAL".into(), "1s".into());
    settings.insert("RECEIVER__BACKFILL__AUTO".into(), "false".into());
    let service = Process::start(settings).await;
    let url = format!("{}/webhooks/qontak/{TOKEN}", service.url);
    qontak.change(json!({
        "on": [
            "receive_message_from_customer", "receive_message_from_agent", "status_message",
            "broadcast_log_status", "agent_assigned_to_room",
        ],
        "add": { "message_interactions": url, "agent_responsibility": url },
    }));
    let client = reqwest::Client::new();
    for order in [json!({ "count": 120 }), json!({ "scenario": "broadcast", "recipients": 9 })] {
        let send = client.post(format!("{}/fake/send", qontak.url)).json(&order).send();
        let sent: Value = send.await.unwrap().json().await.unwrap();
        assert!(sent["failed"] == 0, "{sent}");
    }

    let agents = wait_for(&service, "/v1/agents?limit=500", |data| count(data) == 20).await;
    assert!(all(&agents, "name").contains(&&json!("Agen 07")), "{agents}");
    assert!(all(&agents, "email").contains(&&json!("agen07@tokomaju.example")), "{agents}");
    let channels = wait_for(&service, "/v1/channels?limit=500", |data| count(data) == 3).await;
    assert!(all(&channels, "phone_number").contains(&&json!("628120000000")), "{channels}");
    let templates = wait_for(&service, "/v1/templates?limit=500", |data| count(data) == 25).await;
    assert!(all(&templates, "status").contains(&&json!("PENDING")), "{templates}");
    let divisions = wait_for(&service, "/v1/divisions?limit=500", |data| count(data) == 4).await;
    assert!(all(&divisions, "name").contains(&&json!("Gudang")), "{divisions}");

    let rooms = get(&service, "/v1/rooms?limit=500").await;
    assert!(all(&rooms, "channel_name").iter().all(|name| **name == "Toko Maju 0"), "{rooms}");
    let agents =
        rooms.as_array().unwrap().iter().flat_map(|room| room["agents"].as_array().unwrap());
    let agents: Vec<&Value> = agents.collect();
    let has_name = |agent: &&&Value| agent["name"].as_str().unwrap().starts_with("Agen ");
    assert!(!agents.is_empty() && agents.iter().all(|agent| has_name(&agent)), "{rooms}");
    let messages = get(&service, "/v1/messages?limit=500").await;
    assert!(all(&messages, "channel_name").iter().all(|name| **name == "Toko Maju 0"));
    let broadcasts = get(&service, "/v1/broadcasts").await;
    let broadcast = &broadcasts[0];
    assert_eq!(broadcast["template_name"], "promo_0", "{broadcasts}");
    let path = format!("/v1/broadcasts/{}", broadcast["id"].as_str().unwrap());
    assert_eq!(get(&service, &path).await["template_name"], "promo_0");
    let logs = get(&service, &format!("{path}/logs")).await;
    assert!(all(&logs, "template_name").iter().all(|name| **name == "promo_0"), "{logs}");
    let facets = get(&service, "/v1/facets").await;
    assert_eq!(facets["channel_integrations"]["values"][0]["name"], "Toko Maju 0", "{facets}");
    assert_eq!(facets["templates"]["values"][0]["name"], "promo_0", "{facets}");
    let stats = get(&service, "/v1/stats").await;
    let agents = all(&stats["agents"], "name");
    assert!(!agents.is_empty() && agents.iter().all(|name| name.as_str().is_some()), "{stats}");
    assert!(facets["agents"]["values"][0]["name"].as_str().unwrap().starts_with("Agen "));

    // Nothing that the lists of integrations contain besides is stored.
    let sql = "select count(*) from catalog where catalog::text like '%fake-%'";
    let secrets: i64 = sqlx::query_scalar(sql).fetch_one(&db).await.unwrap();
    assert_eq!(secrets, 0);

    // An agent whom Qontak does not list has no name, and is not looked for again.
    let mut unlisted: Value = serde_json::from_slice(&body("07-message-agent-text.json")).unwrap();
    let organization_id = qontak.credentials().organization_id;
    unlisted["organization_id"] = organization_id.as_str().into();
    unlisted["room"]["organization_id"] = organization_id.into();
    post(&client, &service.url, unlisted.to_string().into_bytes()).await.unwrap();
    let is_noted = async {
        let sql = "select count(*) from catalog where kind = 'agent' and name is null";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&db).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, is_noted).await.unwrap();
    assert_eq!(count(&get(&service, "/v1/agents?limit=500").await), 20);
}

/// Settings of a service that asks a fake.
fn asking(db: &PgPool, qontak: &FakeQontak, interval: &str) -> BTreeMap<String, String> {
    let mut settings = settings(&db.connect_options());
    settings.extend(qontak.hmac());
    settings.insert("RECEIVER__CATALOG__INTERVAL".into(), interval.into());
    settings.insert("RECEIVER__BACKFILL__AUTO".into(), "false".into());
    settings
}

/// How often the fake was asked for its lists: for a short one, which is a single page.
fn syncs(qontak: &FakeQontak) -> u64 {
    qontak.show()["requests"]["GET divisions"].as_u64().unwrap_or(0)
}

/// A message of an agent of the fake's organisation.
fn message_of(agent: &str, qontak: &FakeQontak) -> Vec<u8> {
    let mut message: Value = serde_json::from_slice(&body("07-message-agent-text.json")).unwrap();
    let organization_id = qontak.credentials().organization_id;
    message["id"] = format!("message-of-{agent}").into();
    message["sender_id"] = agent.into();
    message["organization_id"] = organization_id.as_str().into();
    message["room"]["organization_id"] = organization_id.into();
    message["room"]["agent_ids"] = json!([agent]);
    message.to_string().into_bytes()
}

#[sqlx::test(migrations = false)]
async fn unknown_id_causes_a_sync_at_most_once_a_minute(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let first = Process::start(asking(&db, &qontak, "1h")).await;
    wait_for(&first, "/v1/divisions", |rows| count(rows) == 4).await;
    assert_eq!(syncs(&qontak), 1);
    let client = reqwest::Client::new();
    post(&client, &first.url, message_of("a-new-agent", &qontak)).await.unwrap();
    // Each replica looks for unknown ids at its start, and then once a minute. It goes on with another
    // organisation, by name: when that is asked for its lists, the check of this one has ended.
    let check = async |seed: u64| {
        let other = FakeQontak::start_with(seed).await;
        let mut settings = asking(&db, &qontak, "1h");
        let named = |(name, value): (String, String)| {
            (name.replace("__SHOP__", &format!("__SHOP{seed}__")), value)
        };
        settings.extend(other.hmac().into_iter().map(named));
        let replica = Process::start(settings).await;
        super::spool::wait_until(async || syncs(&other) == 1).await;
        drop(replica);
    };
    check(8).await;
    assert_eq!(syncs(&qontak), 1, "the first sync was less than a minute ago");
    let age = "update qontak_check set checked_at = checked_at - interval '1 min'";
    sqlx::query(age).execute(&db).await.unwrap();
    let second = Process::start(asking(&db, &qontak, "1h")).await;
    let is_noted = async {
        let sql = "select count(*) from catalog where id = 'a-new-agent' and synced_at is not null";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&db).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DEADLINE, is_noted).await.expect("no sync for an unknown id");
    assert_eq!(syncs(&qontak), 2);
    // It is known now that Qontak does not list it.
    sqlx::query(age).execute(&db).await.unwrap();
    check(9).await;
    assert_eq!(syncs(&qontak), 2);
    drop((first, second));
}

#[sqlx::test(migrations = false)]
async fn qontaks_own_paths_show_what_qontak_lists_without_secrets(db: PgPool) {
    let qontak = FakeQontak::start().await;
    let list = json!({ "name": "Pelanggan", "source_type": "crm_dynamic", "source_id": "7" });
    qontak.change(json!({ "contact_list": list }));
    let service = Process::start(asking(&db, &qontak, "1h")).await;
    wait_for(&service, "/v1/contact-lists", |rows| count(rows) == 1).await;
    let organization_id = qontak.credentials().organization_id;
    // Each row of Qontak has the same fields here, but for secrets and what is not stored.
    for (path, rows, lacking) in [
        ("integrations", 3, &["webhook", "created_at", "authorization", "password"][..]),
        ("templates/whatsapp", 25, &[]),
        ("users", 20, &["created_at"]),
        ("divisions", 4, &["created_at"]),
        ("contacts/contact_lists", 1, &[]),
    ] {
        for prefix in ["/api/open/v1", "/qontak/chat/v1"] {
            let found = get(&service, &format!("{prefix}/{path}?limit=500")).await;
            assert_eq!(count(&found), rows, "{path}: {found}");
            assert!(!found.to_string().contains("fake-"), "{path}: {found}");
            assert!(all(&found, "organization_id").iter().all(|id| **id == organization_id));
            for listed in qontak.rows(path).await {
                let is_same = |row: &&Value| row["id"] == listed["id"];
                let row = found.as_array().unwrap().iter().find(is_same).unwrap();
                assert_fields(path, &listed, row, lacking);
            }
        }
    }
    let page = get(&service, "/api/open/v1/users?limit=7&offset=3").await;
    assert_eq!(count(&page), 6, "{page}");
    let of_channel = get(&service, "/api/open/v1/integrations?target_channel=wa_cloud").await;
    assert_eq!(all(&of_channel, "target_channel"), [&json!("wa_cloud")]);
}

#[sqlx::test(migrations = false)]
async fn sync_succeeds_with_credentials_that_may_not_see_contact_lists(db: PgPool) {
    let qontak = FakeQontak::start().await;
    qontak.change(json!({ "has_contact_lists": false }));
    let service = Process::start(asking(&db, &qontak, "1s")).await;
    // The list of the second sync is asked for after the first one has ended.
    let asked = || qontak.show()["requests"]["GET contact_lists"].as_u64().unwrap_or(0);
    super::spool::wait_until(async || asked() >= 2).await;
    let error: Option<String> =
        sqlx::query_scalar("select error from qontak_check where kind = 'catalog'")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(error, None);
    assert_eq!(get(&service, "/v1/contact-lists").await, json!([]));
}

/// Compares the fields of Qontak's row, except null ones and those that are lacking.
fn assert_fields(path: &str, listed: &Value, row: &Value, lacking: &[&str]) {
    for (name, value) in listed.as_object().unwrap() {
        match value {
            _ if lacking.contains(&name.as_str()) => {}
            Value::Null => {}
            Value::Object(_) => assert_fields(path, value, &row[name], lacking),
            _ => assert_eq!(row[name], *value, "{path}: {name} of {row}"),
        }
    }
}
