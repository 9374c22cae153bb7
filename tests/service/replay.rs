//! Replay: parsing journal events again and applying the result.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ALLOW, AUTHORIZATION};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::binary::{self, DEADLINE};
use super::fixtures::{ALL, body};
use super::harness::{
    BOUND_TOKEN, KEY_OF_ALL, KEY_OF_ORGANIZATION, KEY_REPLAY_ONLY, Response, Service, settings,
    webhook,
};

const PROJECTIONS: &str =
    "room, room_event, message, sender, broadcast, broadcast_log, catalog_state";

/// Service with all fixtures, some of them repeated, received by two endpoints.
async fn with_history(db: PgPool) -> Service {
    let service = Service::start(db).await;
    for fixture in ALL.iter().chain(ALL.iter().rev().skip(7)) {
        service.post(fixture.body()).await;
    }
    for fixture in ALL.iter().skip(30) {
        service.send(webhook(BOUND_TOKEN, fixture.body())).await;
    }
    service
}

/// All rows of the projections, the journal and the ledger, with every column.
async fn rows(service: &Service) -> BTreeMap<&'static str, Vec<String>> {
    const LEDGER: &str = "(select hour, organization_id, sum(received), sum(applied),
        sum(recorded), sum(quarantined), sum(malformed), sum(duplicate)
        from ledger group by hour, organization_id)";
    let mut rows = BTreeMap::new();
    for table in PROJECTIONS.split(", ").chain(["event", LEDGER]) {
        let sql =
            format!("select (to_jsonb(t) - 'reached_before')::text from {table} as t order by 1");
        let found = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&service.db).await.unwrap();
        rows.insert(table, found);
    }
    rows
}

/// Runs `replay …`; returns its stdout.
async fn replay(service: &Service, arguments: &[&str]) -> String {
    let arguments: Vec<&str> = ["replay"].iter().chain(arguments).copied().collect();
    let output = binary::run(&settings(&service.db.connect_options()), &arguments).await;
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    // Without log lines: the test server runs without fsync, which is logged as a warning.
    printed.lines().filter(|line| !line.contains("WARN")).map(|line| format!("{line}\n")).collect()
}

async fn replay_one(service: &Service, key: &str, id: &str) -> Response {
    let request = Request::post(format!("/v1/events/{id}/replay"))
        .header(AUTHORIZATION, format!("Bearer {key}"));
    service.send(request.body(Body::empty()).unwrap()).await
}

#[sqlx::test]
async fn replay_without_changes_waits_for_no_other_writer(db: PgPool) {
    let service = with_history(db).await;
    let id = service.data("/v1/events?outcome=applied&limit=1").await[0]["event_id"].take();
    let mut waiting = service.db.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(qontak_receiver::store::lock::STANDBY)
        .execute(&mut *waiting)
        .await
        .unwrap();
    let response = replay_one(&service, KEY_REPLAY_ONLY, id.as_str().unwrap()).await;
    assert_eq!(response.status, StatusCode::OK, "{}", response.text());
}

#[sqlx::test]
async fn dry_run_over_the_api_tells_the_outcome_and_stores_nothing(db: PgPool) {
    let service = with_history(db).await;
    let of = "where subject_id = '1b6321cd-5091-4cd9-bd8b-91220cd20198' and endpoint = 'qontak'";
    service.execute(&format!("update event set outcome = 'recorded' {of}")).await;
    let sql = format!("select event_id::text from event {of}");
    let id: String = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&service.db).await.unwrap();
    let before = rows(&service).await;
    let dry = async |query: &str| {
        let request = Request::post(format!("/v1/events/{id}/replay?{query}"))
            .header(AUTHORIZATION, format!("Bearer {KEY_REPLAY_ONLY}"));
        service.send(request.body(Body::empty()).unwrap()).await
    };
    let result = dry("dry_run=true").await.json()["data"].take();
    assert_eq!(result["outcome_before"], "recorded");
    assert_eq!(result["outcome"], "applied");
    assert_eq!(result["changes"], json!([]));
    assert_eq!(rows(&service).await, before);
    assert_eq!(dry("dryrun=true").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(dry("dry_run=false").await.status, StatusCode::OK);
    assert_ne!(rows(&service).await, before);
}

#[sqlx::test]
async fn dry_run_over_the_api_lists_changes_and_their_values_for_keys_that_may_read(db: PgPool) {
    let scopes = ("RECEIVER__KEY__ALL__SCOPES", "read,replay");
    let masked = ("RECEIVER__KEY__ORGANIZATION__SCOPES", "read_masked,replay");
    let service = Service::start_with(db, &[scopes, masked]).await;
    super::funnel::post_fixtures(&service).await;
    let id = service.data("/v1/messages?direction=in&limit=1").await[0]["id"].take();
    let id = id.as_str().unwrap();
    let older = "text = 'old', text_rank = '00000000-0000-0000-0000-000000000000'";
    service.execute(&format!("update message set {older} where message_id = '{id}'")).await;
    let events = service.data(&format!("/v1/events?subject_id={id}")).await;
    let event = events[0]["event_id"].as_str().unwrap();
    let before = rows(&service).await;
    let dry = async |key: &str| {
        let request = Request::post(format!("/v1/events/{event}/replay?dry_run=true"))
            .header(AUTHORIZATION, format!("Bearer {key}"));
        let response = service.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
        response.json()["data"]["changes"].take()
    };
    let changes = dry(KEY_OF_ALL).await;
    let row = changes.as_array().unwrap().iter().find(|row| row["table"] == "message").unwrap();
    assert_eq!(row["is_new"], false);
    assert!(row["key"].as_str().unwrap().starts_with(id));
    let text = |row: &Value| {
        let columns = row["columns"].as_array().unwrap().clone();
        columns.into_iter().find(|one| one["column"] == "text").unwrap()
    };
    assert_eq!(text(row)["before"], "old");
    assert!(text(row)["after"].is_string() && text(row)["after"] != "old");
    let row = dry(KEY_REPLAY_ONLY).await[0].take();
    assert_eq!((&text(&row)["before"], &text(&row)["after"]), (&Value::Null, &Value::Null));
    let row = dry(KEY_OF_ORGANIZATION).await[0].take();
    assert_eq!(text(&row)["before"], "•••");
    assert_eq!(rows(&service).await, before);
}

/// Turns the events of a kind into quarantined ones, as an older parser would have stored them.
async fn quarantine_kind(service: &Service, kind: &str) -> i64 {
    let sql = format!(
        "with forgotten as (
            update event
            set outcome = 'quarantined', kind = null, name = null, subject_id = null,
                reasons = '{{unclassifiable}}', parser_version = 0
            where kind = '{kind}' and endpoint = 'qontak'
            returning organization
        )
        select count(*) from forgotten"
    );
    let events: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&service.db).await.unwrap();
    let sql = format!(
        "update ledger set applied = applied - {events}, quarantined = quarantined + {events}
         where applied >= {events} and organization_id <> ''
            and ctid = (select min(ctid) from ledger where organization_id like '7d35%'
                        and applied >= {events})"
    );
    service.execute(&sql).await;
    events
}

#[sqlx::test]
async fn replay_of_all_events_changes_no_row(db: PgPool) {
    let service = with_history(db).await;
    let before = rows(&service).await;
    let printed = replay(&service, &["--all"]).await;
    let events = before["event"].len();
    assert_eq!(printed, format!("{events} event(s) replayed, 0 with another outcome\n"));
    assert_eq!(rows(&service).await, before);
}

#[sqlx::test]
async fn replay_into_empty_tables_restores_every_row(db: PgPool) {
    let service = with_history(db).await;
    let before = rows(&service).await;
    service.execute(&format!("truncate {PROJECTIONS}")).await;
    replay(&service, &["--all"]).await;
    assert_eq!(rows(&service).await, before);
}

#[sqlx::test]
async fn replay_releases_quarantined_events_that_a_newer_parser_understands(db: PgPool) {
    let service = with_history(db).await;
    let before = rows(&service).await;
    let forgotten = quarantine_kind(&service, "unknown").await;
    assert_eq!(forgotten, 1);
    let forgotten = forgotten + quarantine_kind(&service, "broadcast_log_status").await;
    service
        .execute("delete from broadcast_log where organization_id(organization) like '7d35%'")
        .await;

    let quarantined = service.data("/v1/events?outcome=quarantined&limit=500").await;
    let quarantined = quarantined.as_array().unwrap().len();
    let printed = replay(&service, &["--outcome", "quarantined"]).await;
    let last = format!("{quarantined} event(s) replayed, {forgotten} with another outcome");
    assert_eq!(printed.lines().last(), Some(last.as_str()));
    assert!(printed.contains(": quarantined -> applied\n"), "{printed}");
    assert!(printed.contains(": quarantined -> recorded\n"), "{printed}");
    let after = rows(&service).await;
    assert_eq!(after["broadcast_log"], before["broadcast_log"]);
    assert_eq!(after["event"], before["event"]);
    let sum = async || -> (i64, i64, i64) {
        let sql = "select sum(received)::bigint, sum(applied + recorded + quarantined + malformed
            + duplicate)::bigint, sum(quarantined)::bigint from ledger";
        sqlx::query_as(sql).fetch_one(&service.db).await.unwrap()
    };
    let (received, accounted, in_quarantine) = sum().await;
    assert_eq!(received, accounted);
    assert_eq!(in_quarantine, quarantined as i64 - forgotten);
}

#[sqlx::test]
async fn dry_run_replay_lists_changes_without_applying_them(db: PgPool) {
    let service = with_history(db).await;
    let printed = replay(&service, &["--all", "--dry-run"]).await;
    let events = service.count("event").await;
    let nothing = format!(
        "{events} event(s) would be replayed: 0 with another outcome, 0 change(s) of rows\n"
    );
    assert_eq!(printed, nothing);

    let id = "b7e04aae-9006-4cbe-af44-fad162f7ae03";
    quarantine_kind(&service, "broadcast_log_status").await;
    service.execute(&format!("delete from broadcast_log where log_id = '{id}'")).await;
    service
        .execute(
            "update broadcast_log set last_error_code = null, last_error_title = null
             where error_code = 131049",
        )
        .await;
    let before = rows(&service).await;
    let printed = replay(&service, &["--outcome", "quarantined", "--dry-run"]).await;
    let new = format!("broadcast_log {id} 7d3530db-085f-4a59-b83b-205d470ad746: new\n");
    assert!(printed.contains(&new), "{printed}");
    assert!(
        printed.contains(": error_code, error_title, last_error_code, last_error_title\n"),
        "{printed}"
    );
    assert!(printed.contains(": quarantined -> applied\n"), "{printed}");
    assert_eq!(rows(&service).await, before);
}

#[sqlx::test]
async fn replay_options_select_events_by_time_kind_and_id(db: PgPool) {
    let service = with_history(db).await;
    let count = async |arguments: &[&str]| {
        let printed = replay(&service, arguments).await;
        let last = printed.lines().last().unwrap().to_owned();
        last.split(' ').next().unwrap().parse::<i64>().unwrap()
    };
    let all = service.count("event").await;
    assert_eq!(count(&["--from", "2020-01-01"]).await, all);
    assert_eq!(count(&["--to", "2020-01-01T00:00:00Z"]).await, 0);
    assert_eq!(count(&["--kind", "room_created"]).await, 1);
    let events = service.data("/v1/events?limit=2").await;
    let ids = [0, 1].map(|i| events[i]["event_id"].as_str().unwrap().to_owned());
    assert_eq!(count(&["--id", &ids[0], "--id", &ids[1]]).await, 2);
    assert_eq!(count(&["--id", "01900000-0000-7000-8000-000000000000"]).await, 0);

    let settings = settings(&service.db.connect_options());
    for wrong in [&["replay"][..], &["replay", "--dry-run"], &["replay", "--kind", "nothing"]] {
        let output = binary::run(&settings, wrong).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}

#[sqlx::test]
async fn replay_shows_its_progress_and_goes_on_after_the_page_where_it_was_stopped(db: PgPool) {
    let service = Service::start(db).await;
    for n in 0..201 {
        let body = json!({"data_event": "status_message", "id": n.to_string(), "status": "sent"});
        service.post(body.to_string()).await;
    }
    let settings = settings(&service.db.connect_options());
    // The second page waits for this row.
    let mut lock = service.db.begin().await.unwrap();
    let row = "select from message where message_id = '200' for update";
    sqlx::query(row).execute(&mut *lock).await.unwrap();
    let mut child = binary::start(&settings, &["replay", "--all"]);
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let progress = timeout(DEADLINE, errors.next_line()).await.unwrap().unwrap().unwrap();
    assert!(progress.starts_with("replay: 200 of 201 events, "), "{progress}");
    assert!(progress.ends_with("s left"), "{progress}");
    let id = child.id().unwrap().to_string();
    std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
    let advice = timeout(DEADLINE, errors.next_line()).await.unwrap().unwrap().unwrap();
    let (said, after) = advice.split_once("--after ").unwrap();
    assert!(said.contains("stopped after 200 event(s)"), "{said}");
    let after = after.split(':').next().unwrap();
    assert_eq!(timeout(DEADLINE, child.wait()).await.unwrap().unwrap().code(), Some(1));
    lock.rollback().await.unwrap();

    let printed = replay(&service, &["--all", "--after", after]).await;
    assert_eq!(printed, "1 event(s) replayed, 0 with another outcome\n");
    let printed = replay(&service, &["--all", "--dry-run", "--after", after]).await;
    assert!(printed.starts_with("1 event(s) would be replayed"), "{printed}");
    let output = binary::run(&settings, &["replay", "--after", after]).await;
    assert_eq!(output.status.code(), Some(2));
}

#[sqlx::test]
async fn single_event_is_replayed_over_the_api(db: PgPool) {
    let service = Service::start(db).await;
    let response = service.post(body("34")).await;
    let id = response.json()["data"]["event_id"].as_str().unwrap().to_owned();
    quarantine_kind(&service, "broadcast_log_status").await;
    service.execute("truncate broadcast_log").await;

    let response = replay_one(&service, KEY_REPLAY_ONLY, &id).await;
    let expected = json!({
        "event_id": id, "outcome_before": "quarantined", "outcome": "applied", "reasons": [],
        "changes": null,
    });
    assert_eq!((response.status, response.json()["data"].take()), (StatusCode::OK, expected));
    assert_eq!(service.count("broadcast_log").await, 1);
    let event = service.data(&format!("/v1/events/{id}")).await;
    assert_eq!((&event["outcome"], &event["deliveries"]), (&json!("applied"), &json!(1)));
    let received: Value = service.data("/v1/ledger").await[0]["received"].take();
    assert_eq!(received, 1);
}

#[sqlx::test]
async fn concurrent_replays_of_one_event_are_counted_once(db: PgPool) {
    let service = Arc::new(Service::start(db).await);
    let response = service.post(body("34")).await;
    let id = response.json()["data"]["event_id"].as_str().unwrap().to_owned();
    quarantine_kind(&service, "broadcast_log_status").await;
    let mut replaying = JoinSet::new();
    for _ in 0..20 {
        let (service, id) = (service.clone(), id.clone());
        replaying.spawn(async move { replay_one(&service, KEY_REPLAY_ONLY, &id).await });
    }
    for response in replaying.join_all().await {
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.json()["data"]["outcome"], "applied");
    }
    let hour = service.data("/v1/ledger").await[0].take();
    let counts = ["received", "applied", "quarantined"].map(|name| hour[name].as_i64().unwrap());
    assert_eq!(counts, [1, 1, 0]);
}

#[sqlx::test]
async fn replay_route_requires_the_replay_scope_and_an_event_of_the_keys_organisations(db: PgPool) {
    let replayer = "af3a1bb312bf8430055d0f513e3a27c4c54c776603c80ffc73917abc0094e211";
    let changed = [
        ("RECEIVER__KEY__ORGANIZATION__SHA256", replayer),
        ("RECEIVER__KEY__ORGANIZATION__SCOPES", "replay"),
        ("RECEIVER__KEY__ORGANIZATION__ORGANIZATIONS", "another-organization"),
    ];
    let service = Service::start_with(db, &changed).await;
    let response = service.post(body("34")).await;
    let id = response.json()["data"]["event_id"].as_str().unwrap().to_owned();
    for (key, id, status) in [
        (KEY_OF_ALL, &*id, StatusCode::FORBIDDEN),
        ("no key", &id, StatusCode::UNAUTHORIZED),
        ("organization", &id, StatusCode::NOT_FOUND),
        (KEY_REPLAY_ONLY, "01900000-0000-7000-8000-000000000000", StatusCode::NOT_FOUND),
        (KEY_REPLAY_ONLY, "nonsense", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(replay_one(&service, key, id).await.status, status, "{key} {id}");
    }
    let response = service.get(&format!("/v1/events/{id}/replay")).await;
    assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers[ALLOW], "POST");
}
