//! Plans of the writer's statements, which a session keeps while the tables grow.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{ORGANIZATION, Service};

fn message(room: &str, id: &str, author: &str, second: u32) -> Value {
    let kind = if author == "customer" { "customer" } else { "agent" };
    json!({"data_event": format!("receive_message_from_{kind}"), "id": format!("{room}-{id}"),
        "room_id": room, "organization_id": ORGANIZATION, "status": "created",
        "created_at": format!("2025-06-12T02:15:{second:02}.000Z"), "participant_type": author,
        "sender_id": author})
}

/// A question and its answer, and then an earlier question, which is late.
async fn converse(service: &Service, room: &str) {
    for (id, author, second) in [("q", "customer", 10), ("a", "agent", 20), ("late", "customer", 5)]
    {
        let body = message(room, id, author, second).to_string();
        assert_eq!(service.post(body).await.json()["data"]["outcome"], "applied");
    }
}

/// Rows of table `message` that were read by an index so far. A session reports them with the first
/// transaction that ends more than a second after the last report.
async fn rows_read(service: &Service) -> i64 {
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let body = json!({"data_event": "status_template", "id": "t", "status": "APPROVED"});
    service.post(body.to_string()).await;
    let sql = "select idx_tup_fetch from pg_stat_user_tables where relname = 'message'";
    sqlx::query_scalar(sql).fetch_one(&service.db).await.unwrap()
}

#[sqlx::test]
async fn plans_made_while_tables_are_small_read_few_rows_of_large_ones(db: PgPool) {
    const MESSAGES: i64 = 20_000;
    let service = Service::start_with(db, &[("RECEIVER__WRITER__TASKS", "1")]).await;
    converse(&service, "r0").await;
    // Discards the plans, so that the next ones know how small the tables are.
    service.execute("analyze").await;
    converse(&service, "r1").await;
    let before = rows_read(&service).await;
    // No statement that discards plans.
    service
        .execute(&format!(
            "insert into message (organization, message_id, room_id, received_at, at, author,
                 text_rank)
             select (number_organizations(array['{ORGANIZATION}']))[1], 'm' || n, 'old' || n / 10, now(), now(),
                 case n % 2 when 0 then 'customer' else 'agent' end, gen_random_uuid()
             from generate_series(1, {MESSAGES}) as n"
        ))
        .await;
    for room in ["r2", "r3", "r4"] {
        converse(&service, room).await;
    }
    let read = rows_read(&service).await - before;
    assert!(read > 0, "nothing was reported");
    assert!(read < 1000, "{read} rows were read");
}
