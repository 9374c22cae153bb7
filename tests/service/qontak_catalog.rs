//! Names of agents, templates, channel integrations and divisions, read from a fake of Qontak.

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
