//! Organisations and their numbers: given once, by any replica, and invisible in the API.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use tokio::task::JoinSet;

use super::harness::{BOUND_ORGANIZATION, BOUND_TOKEN, KEY_OF_ANOTHER, Service, webhook};
use super::read::read_all_pages;
use super::spool::wait_until;

/// A message with its sender and room, all with this id.
fn message(id: &str, organization: &str) -> String {
    json!({
        "data_event": "status_message", "id": id, "organization_id": organization, "text": "halo",
        "status": "failed", "participant_type": "agent", "sender_id": id, "type": "text",
        "created_at": "2025-06-12T02:00:00Z", "room": {"id": id, "status": "assigned"},
    })
    .to_string()
}

/// A recipient of a broadcast with this id.
fn log(id: &str, organization: &str) -> String {
    json!({
        "data_event": "broadcast_log_status", "id": id, "status": "failed",
        "organization_id": organization, "messages_broadcast_id": id,
        "messages_broadcast_template_id": "t", "created_at": "2025-06-12T02:00:00Z",
    })
    .to_string()
}

async fn number(db: &mut PgConnection, ids: &[&str]) -> Vec<i32> {
    sqlx::query_scalar("select number_organizations($1)").bind(ids).fetch_one(db).await.unwrap()
}

#[sqlx::test]
async fn first_events_of_new_organisations_on_two_replicas_give_each_one_number(db: PgPool) {
    const ORGANIZATIONS: usize = 30;
    let replicas =
        [Arc::new(Service::start(db.clone()).await), Arc::new(Service::start(db.clone()).await)];
    let mut senders = JoinSet::new();
    for (replica, service) in replicas.iter().enumerate() {
        for n in 0..ORGANIZATIONS {
            let service = service.clone();
            // In opposite orders.
            let n = if replica == 0 { n } else { ORGANIZATIONS - 1 - n };
            senders.spawn(async move {
                let body = message(&format!("m{replica}-{n}"), &format!("organization {n}"));
                let response = service.post(body).await;
                assert_eq!(response.json()["data"]["outcome"], "applied");
            });
        }
    }
    senders.join_all().await;
    let [service, _] = &replicas;
    // And the unknown one.
    assert_eq!(service.count("organization").await, ORGANIZATIONS as i64 + 1);
    for n in 0..ORGANIZATIONS {
        let path = format!("/v1/messages?organization_id=organization%20{n}");
        assert_eq!(service.data(&path).await.as_array().unwrap().len(), 2, "{path}");
    }
}

/// Numbers organisations in a transaction while another one that has numbered some of them ends, by
/// `commit` or `rollback`. Returns both results.
async fn number_at_once(db: &PgPool, end: &'static str) -> (Vec<i32>, Vec<i32>) {
    let mut first = db.acquire().await.unwrap();
    sqlx::raw_sql("begin").execute(&mut *first).await.unwrap();
    let given = number(&mut first, &["b", "a"]).await;
    let mut second = db.acquire().await.unwrap();
    let waiting = tokio::spawn(async move { number(&mut second, &["c", "a", "b", "a"]).await });
    wait_until(async || {
        let sql = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(db).await.unwrap() == 1
    })
    .await;
    sqlx::raw_sql(end).execute(&mut *first).await.unwrap();
    (given, waiting.await.unwrap())
}

#[sqlx::test]
async fn numbers_of_another_transaction_are_used_once_it_has_committed(db: PgPool) {
    let (first, second) = number_at_once(&db, "commit").await;
    assert_eq!([second[1], second[2]], [first[1], first[0]]);
    assert_eq!(second[1], second[3]);
    assert_eq!(second.iter().chain(&first).collect::<BTreeSet<_>>().len(), 3);
}

#[sqlx::test]
async fn numbers_of_a_transaction_that_was_rolled_back_leave_nothing(db: PgPool) {
    let (_, second) = number_at_once(&db, "rollback").await;
    let mut db = db.acquire().await.unwrap();
    assert_eq!(number(&mut db, &["c", "a", "b", "a"]).await, second);
    let rows: i64 =
        sqlx::query_scalar("select count(*) from organization").fetch_one(&mut *db).await.unwrap();
    assert_eq!(rows, 4);
}

#[sqlx::test]
async fn organisations_are_shown_as_they_were_sent(db: PgPool) {
    let service = Service::start(db).await;
    let odd = [
        "o'r\"g; drop table room --",
        "%_\\ {a,b} null",
        " a ",
        "ORG",
        "org",
        "\u{e9} 😊",
        "e\u{301} 😊",
        &"long ".repeat(30),
        "0",
    ];
    for (n, organization) in odd.iter().enumerate() {
        let response = service.post(message(&format!("m{n}"), organization)).await;
        assert_eq!(response.json()["data"]["outcome"], "applied", "{organization:?}");
        service.post(log(&format!("b{n}"), organization)).await;
    }
    let lists = ["rooms", "messages", "delivery-statuses", "broadcasts", "events"];
    for (n, organization) in odd.iter().enumerate() {
        // As the service trims and normalizes ids.
        let shown = service.data(&format!("/v1/messages/m{n}")).await["organization_id"].take();
        let shown = shown.as_str().unwrap().to_owned();
        assert_eq!(shown.trim(), organization.trim());
        let encoded: String = shown.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for list in lists {
            let rows = service.data(&format!("/v1/{list}?organization_id={encoded}")).await;
            let rows = rows.as_array().unwrap();
            assert!(!rows.is_empty(), "{list} of {organization:?}");
            assert!(rows.iter().all(|row| row["organization_id"] == shown), "{list}: {rows:?}");
        }
    }
}

#[sqlx::test]
async fn events_without_an_organisation_are_of_none_or_of_that_of_the_endpoint(db: PgPool) {
    let service = Service::start(db).await;
    service.post(message("without", "")).await;
    service.send(webhook(BOUND_TOKEN, message("bound", ""))).await;
    let shown = async |id: &str| {
        service.data(&format!("/v1/messages/{id}")).await["organization_id"].take()
    };
    assert_eq!(shown("without").await, Value::Null);
    assert_eq!(shown("bound").await, BOUND_ORGANIZATION);
    // A key of one organisation sees neither, and an unknown organisation has nothing.
    for id in ["without", "bound"] {
        let response = service.get_with(KEY_OF_ANOTHER, &format!("/v1/messages/{id}")).await;
        assert_eq!(response.status, StatusCode::NOT_FOUND);
    }
    for list in ["rooms", "messages", "delivery-statuses", "broadcasts", "events"] {
        let unknown = service.data(&format!("/v1/{list}?organization_id=unknown")).await;
        assert_eq!(unknown, json!([]), "{list}");
    }
}

#[sqlx::test]
async fn pages_are_complete_where_organisations_share_ids_and_times(db: PgPool) {
    let service = Service::start(db).await;
    // Neither in the order of the alphabet nor against it.
    let organizations = ["m", "z", "a", "", "k"];
    for organization in organizations {
        for id in ["same", "other"] {
            service.post(message(id, organization)).await;
            service.post(log(id, organization)).await;
        }
    }
    let expected: BTreeSet<(String, String)> = organizations
        .iter()
        .flat_map(|own| ["other", "same"].map(|id| ((*own).to_owned(), id.to_owned())))
        .collect();
    for (list, id, times) in [
        ("/v1/rooms", "id", 1),
        ("/v1/messages", "id", 1),
        ("/v1/broadcasts", "id", 1),
        ("/v1/delivery-statuses", "", 2),
        ("/v1/delivery-statuses?status=failed", "", 2),
    ] {
        for limit in [1, 3] {
            let separator = if list.contains('?') { '&' } else { '?' };
            let path = format!("{list}{separator}limit={limit}");
            let (forward, backward) = read_all_pages(&service, &path).await;
            assert_eq!(forward, backward, "{path}");
            let mut keys: Vec<(String, String)> = Vec::new();
            for row in &forward {
                let id = [id, "message_id", "id"].iter().find_map(|name| row[*name].as_str());
                let own = row["organization_id"].as_str().unwrap_or_default();
                keys.push((own.to_owned(), id.unwrap_or("other").to_owned()));
            }
            assert_eq!(forward.len(), expected.len() * times, "{path}");
            if times == 1 {
                assert_eq!(keys.iter().cloned().collect::<BTreeSet<_>>(), expected, "{path}");
            }
            let rows: BTreeSet<String> = forward.iter().map(Value::to_string).collect();
            assert_eq!(rows.len(), forward.len(), "{path}: a row comes twice");
        }
    }
}
