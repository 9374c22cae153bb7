//! The list of broadcasts and the funnel of each show the same counts.

use qontak_receiver::store::broadcast_log::count;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::funnel::{log, post_all};
use super::harness::{ORGANIZATION, Service};

/// Counts of one broadcast from its recipients, one by one.
fn counted(logs: &[Value]) -> Value {
    let mut counts = json!({"total": 0, "created": 0, "pending": 0, "sent": 0, "delivered": 0,
        "read": 0, "failed": 0, "other": 0,
        "reached": {"sent": 0, "delivered": 0, "read": 0, "failed": 0}});
    let add = |count: &mut Value| *count = json!(count.as_i64().unwrap() + 1);
    for log in logs {
        add(&mut counts["total"]);
        add(&mut counts[log["status"].as_str().unwrap_or("other")]);
        let implied = log["implied"].as_array().unwrap();
        for status in ["sent", "delivered", "read", "failed"] {
            let is_seen = !log["status_times"][status].is_null();
            if is_seen || implied.contains(&json!(status)) {
                add(&mut counts["reached"][status]);
            }
        }
    }
    counts
}

/// Compares the list, the funnel and the recipients of every broadcast.
async fn assert_agree(service: &Service) {
    for organization in [ORGANIZATION, "another-organization"] {
        let query = format!("organization_id={organization}");
        let listed = service.data(&format!("/v1/broadcasts?{query}")).await;
        for row in listed.as_array().unwrap() {
            let path = format!("/v1/broadcasts/{}", row["id"].as_str().unwrap());
            let funnel = service.data(&format!("{path}?{query}")).await;
            for (name, value) in row.as_object().unwrap() {
                assert_eq!(*value, funnel[name], "{path}: {name} in the list and in the funnel");
            }
            let logs = service.data(&format!("{path}/logs?limit=500&{query}")).await;
            for (name, value) in counted(logs.as_array().unwrap()).as_object().unwrap() {
                assert_eq!(row[name], *value, "{path}: {name} in the list and of the recipients");
            }
            let failures = funnel["failed_by_code"].as_array().unwrap();
            let failed: i64 = failures.iter().map(|one| one["count"].as_i64().unwrap()).sum();
            assert_eq!(funnel["failed"], failed, "{path}");
        }
    }
}

#[sqlx::test]
async fn broadcast_list_and_funnel_agree_for_odd_logs(db: PgPool) {
    let service = Service::start(db).await;
    let in_broadcast = |mut log: Value, broadcast: &str| {
        log["messages_broadcast_id"] = broadcast.into();
        log
    };
    let elsewhere = |mut log: Value| {
        log["organization_id"] = "another-organization".into();
        log
    };
    let rounds = [
        vec![
            log("none", "", &[]),
            log("unknown", "warning", &[]),
            log("played", "played", &[]),
            log("created", "created", &[]),
            log("late-sent", "delivered", &[("delivered", 9)]),
            log("refused", "failed", &[]),
            log("moved", "read", &[("read", 9)]),
            elsewhere(log("refused", "read", &[])),
            in_broadcast(log("in-a", "failed", &[("sent", 0), ("failed", 3)]), "a"),
        ],
        vec![
            // Another status, but not another effective one.
            log("late-sent", "sent", &[("sent", 1)]),
            log("refused", "created", &[]),
            log("played", "failed", &[("failed", 2)]),
            log("unknown", "deleted", &[]),
            // Corrected to another broadcast.
            in_broadcast(log("moved", "read", &[("read", 9)]), "c"),
        ],
        vec![
            log("refused", "delivered", &[("sent", 0), ("delivered", 7)]),
            log("none", "pending", &[]),
            log("none", "failed", &[]),
            elsewhere(log("refused", "failed", &[])),
            in_broadcast(log("moved", "failed", &[]), "b"),
        ],
    ];
    for bodies in rounds {
        post_all(&service, bodies).await;
        assert_agree(&service).await;
        count::compact(&service.db).await.unwrap();
        assert_agree(&service).await;
    }
    let listed = service.data("/v1/broadcasts").await;
    let reached = |broadcast: &str| {
        let mut rows = listed.as_array().unwrap().iter();
        let is_it = |row: &&Value| row["id"] == broadcast && row["organization_id"] == ORGANIZATION;
        rows.find(is_it).unwrap()["reached"].clone()
    };
    assert_eq!(reached("b"), json!({"sent": 3, "delivered": 3, "read": 1, "failed": 3}));
    assert_eq!(reached("c"), json!({"sent": 1, "delivered": 1, "read": 1, "failed": 1}));
    service.execute("delete from broadcast_log where log_id = 'refused'").await;
    assert_agree(&service).await;
}
