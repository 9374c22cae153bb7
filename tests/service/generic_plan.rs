//! Generic plans: of the writer, and of statements of the read API that fetch rows by their keys.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use qontak_receiver::config::Config;
use qontak_receiver::store;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::harness::{ORGANIZATION, Service, settings};

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

/// SQL that adds this number of rows to each table from which rows are fetched by their keys.
fn filled(rows: i64) -> String {
    let number = format!("(number_organizations(array['{ORGANIZATION}']))[1]");
    let rows = format!("from generate_series(1, {rows}) as n");
    format!(
        "insert into message (organization, message_id, room_id, received_at, at, author,
             sender_kind, sender_id, external_id, text_rank)
         select {number}, 'm' || n, 'r' || n, now(), now(), 'agent', 'agent', 's' || n, 'w' || n,
             gen_random_uuid()
         {rows};
         insert into message_channel_id (hash, organization, message_id)
         select hashtextextended('w' || n, 0), {number}, 'm' || n {rows};
         insert into sender (organization, sender_id) select {number}, 's' || n {rows};
         insert into room (organization, room_id, received_at, activity_at, activity_slot)
         select {number}, 'r' || n, now(), now(), activity_slot(now()) {rows};
         insert into broadcast_log
             (organization, log_id, broadcast_id, whatsapp_message_id, received_at)
         select {number}, 'l' || n, 'b', 'w' || n, now() {rows};"
    )
}

/// `plan_cache_mode` of statements that fetch rows by their keys, and then of lists.
async fn plan_modes(read: &PgPool) -> [String; 2] {
    let mut db = store::begin_key_reads(read).await.unwrap();
    let show = "show plan_cache_mode";
    let kept = sqlx::query_scalar(show).fetch_one(&mut *db).await.unwrap();
    store::use_custom_plans(&mut db).await.unwrap();
    [kept, sqlx::query_scalar(show).fetch_one(&mut *db).await.unwrap()]
}

#[sqlx::test]
async fn session_begun_with_large_tables_has_generic_plans_for_keys(db: PgPool) {
    let config = Config::read(None, settings(&db.connect_options())).unwrap();
    let begin = || store::connect_to_read(&config.database, 1).unwrap();
    let early = begin();
    assert_eq!(plan_modes(&early).await, ["force_custom_plan"; 2]);
    sqlx::raw_sql(AssertSqlSafe(filled(1000))).execute(&db).await.unwrap();
    sqlx::query("analyze").execute(&db).await.unwrap();
    assert_eq!(plan_modes(&early).await, ["force_custom_plan"; 2]);
    let late = begin();
    assert_eq!(plan_modes(&late).await, ["force_generic_plan", "force_custom_plan"]);
    // A new session, whose settings a pooler has discarded.
    sqlx::query("reset all").execute(&late).await.unwrap();
    assert_eq!(plan_modes(&late).await[0], "force_custom_plan");
}

#[sqlx::test]
async fn cancelled_snapshot_leaves_no_transaction_behind(db: PgPool) {
    let config = Config::read(None, settings(&db.connect_options())).unwrap();
    let read = store::connect_to_read(&config.database, 1).unwrap();
    drop(store::snapshot(&read).await.unwrap());
    for steps in 0..12 {
        let mut begin = Box::pin(store::snapshot(&read));
        for _ in 0..steps {
            let has_ended = poll_fn(|context| Poll::Ready(begin.as_mut().poll(context).is_ready()));
            if has_ended.await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(begin);
        // With the same connection. A transaction that is left behind would be read-only.
        let show = sqlx::query_scalar("show transaction_read_only").fetch_one(&read);
        let is_read_only: String = show.await.unwrap();
        assert_eq!(is_read_only, "off", "{steps} steps");
    }
}
