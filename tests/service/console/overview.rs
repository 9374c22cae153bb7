//! The overview, and pages of which one part is slow.

use serde_json::Value;
use sqlx::PgPool;

use super::browser::{Browser, ENABLED, start};
use crate::fixtures::{ALL, BROADCAST, body};
use crate::harness::{KEY_OF_ALL, KEY_OF_ANOTHER, ORGANIZATION, Service};

const NONE: Value = Value::Array(Vec::new());
const CUT: &str = "This took too long and was cut off.";

#[track_caller]
fn assert_has(html: &str, parts: &[&str]) {
    for part in parts {
        assert!(html.contains(part), "no {part:?} in {html}");
    }
}

/// The card with this heading.
fn card<'a>(html: &'a str, heading: &str) -> &'a str {
    let rest = html.split_once(&format!("<h2>{heading}</h2>")).expect("a card").1;
    rest.split("</section>").next().unwrap()
}

/// A service on which statements that wait for the lock of a table are cut.
async fn start_impatient(db: PgPool) -> Service {
    let timeout = ("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "300ms");
    let service = Service::start_with(db, &[ENABLED, timeout]).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    service
}

#[sqlx::test]
async fn overview_shows_health_and_the_ledger_while_another_part_is_slow(db: PgPool) {
    let service = start_impatient(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let mut lock = service.db.begin().await.unwrap();
    sqlx::raw_sql("lock table message").execute(&mut *lock).await.unwrap();
    sqlx::raw_sql("lock table message_count").execute(&mut *lock).await.unwrap();
    let html = browser.text("/console").await;
    assert_has(&html, &[CUT, "<h1>"]);
    assert_has(card(&html, "Health"), &["Nothing is wrong."]);
    assert_has(card(&html, "Webhooks by outcome"), &["data-chart"]);
    assert_has(card(&html, "Messages"), &[CUT]);
}

#[sqlx::test]
async fn pages_keep_their_frame_while_their_query_is_slow(db: PgPool) {
    let service = start_impatient(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let mut lock = service.db.begin().await.unwrap();
    for table in ["message", "message_count", "broadcast_count"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("lock table {table}")))
            .execute(&mut *lock)
            .await
            .unwrap();
    }
    let trace = browser.text("/console/trace?id=6281200010001").await;
    assert_has(&trace, &[CUT, "class=\"trace-form\"", "value=\"6281200010001\""]);
    // Nothing is shown, so nothing is incomplete.
    assert!(!trace.contains("What is shown is not complete"));
    assert_has(&browser.text("/console/agents").await, &[CUT, "?period=day"]);
    let broadcast = browser.text(&format!("/console/broadcasts/{BROADCAST}")).await;
    assert_has(&broadcast, &[CUT]);
    assert_has(card(&broadcast, "Recipients"), &["data-row"]);
}

#[sqlx::test]
async fn overview_shows_kinds_of_events_and_the_last_one_of_each_channel(db: PgPool) {
    let service = start(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let rows = [
        ("one", "wa_cloud", "status_message", 7, "1 hour"),
        ("one", "wa_cloud", "receive_message_from_customer", 5, "2 hours"),
        ("two", "wa_cloud", "status_message", 3, "3 hours"),
        ("two", "ig", "receive_message_from_customer", 1, "4 days"),
        ("two", "", "room_created", 2, "1 hour"),
    ];
    for (organization, channel, kind, count, ago) in rows {
        let at = format!("now() - interval '{ago}'");
        service
            .execute(&format!(
                "insert into activity values (date_trunc('hour', {at}), '{organization}', '{channel}', '{kind}', \
                 {count}, 1, {at})"
            ))
            .await;
    }
    let foreign = service.get_with(KEY_OF_ANOTHER, "/v1/stats").await.json();
    assert_eq!((&foreign["data"]["events"], &foreign["data"]["last_events"]), (&NONE, &NONE));
    let html = browser.text("/console").await;
    let kinds = card(&html, "Webhooks by kind").replace("&quot;", "\"");
    let chart = kinds.split_once("data-chart=\"").unwrap().1.split_once("}\" data-").unwrap().0;
    let chart: Value = serde_json::from_str(&format!("{chart}}}")).unwrap();
    let sums = chart["series"].as_array().unwrap().iter().map(|one| {
        let values = one["values"].as_array().unwrap().iter().filter_map(Value::as_i64);
        (one["label"].as_str().unwrap().to_owned(), values.sum::<i64>())
    });
    let sums: Vec<(String, i64)> = sums.collect();
    let expected =
        [("status_message", 10), ("receive_message_from_customer", 5), ("room_created", 2)];
    assert_eq!(sums, expected.map(|(kind, sum)| (kind.to_owned(), sum)));
    // A channel of each organisation; also one that has been silent for days.
    let channels = card(&html, "Last event of each channel");
    assert_eq!(channels.matches("data-row").count(), 3, "{channels}");
    assert_has(
        channels,
        &["Instagram", "status_message", "organization_id=one", "organization_id=two"],
    );
}

#[sqlx::test]
async fn overview_lists_sessions_that_expire_and_who_waits_longest_first(db: PgPool) {
    let service = start(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    for (id, name, hours) in [("new", "Newcomer", 1), ("old", "", 23)] {
        let at = (chrono::Utc::now() - chrono::TimeDelta::hours(hours)).to_rfc3339();
        let mut event: Value = serde_json::from_slice(&body("01-")).unwrap();
        event["id"] = format!("message-{id}").into();
        event["created_at"] = at.as_str().into();
        event["room_id"] = id.into();
        event["room"]["id"] = id.into();
        event["room"]["name"] = name.into();
        event["room"]["account_uniq_id"] = format!("62811{hours:06}").into();
        event["room"]["organization_id"] = ORGANIZATION.into();
        event["room"]["session_at"] = at.as_str().into();
        event["room"]["last_message_at"] = at.as_str().into();
        event["room"]["last_activity_at"] = at.as_str().into();
        event["room"]["status"] = "unassigned".into();
        service.post(event.to_string()).await;
    }
    let html = browser.text("/console").await;
    let waiting = card(&html, "Waiting for an answer");
    // A room without a name is known by its number, as in the list of conversations.
    let place = |text: &str| waiting.find(text).unwrap_or_else(|| panic!("no {text}: {waiting}"));
    assert!(place("62811000023") < place("Newcomer"), "{waiting}");
    assert_has(waiting, &["data-row"]);
    let expiring = card(&html, "Sessions that expire soon");
    assert_has(expiring, &["62811000023", "/console/conversations/old"]);
    assert!(!expiring.contains("Newcomer"));
}

#[sqlx::test]
async fn failures_without_a_reason_lead_nowhere(db: PgPool) {
    let service = start(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let mut event: Value = serde_json::from_slice(&body("08-")).unwrap();
    event["status"] = "failed".into();
    event["created_at"] = chrono::Utc::now().to_rfc3339().into();
    service.post(event.to_string()).await;
    let html = browser.text("/console").await;
    let failures = card(&html, "Why messages failed");
    assert_has(failures, &["No reason was reported."]);
    // The list of all failures is another one.
    assert!(!failures.contains("href"), "{failures}");
}
