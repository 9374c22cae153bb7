//! Broadcasts, deliveries, events with replay, accounting, agents, templates, trace, exports and the demo.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use sqlx::PgPool;

use super::browser::{Browser, ENABLED, start};
use crate::fixtures::{ALL, BROADCAST, READ_MESSAGE, SITI_ROOM, body};
use crate::harness::{KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, Service};

const ALL_SCOPES: (&str, &str) = ("RECEIVER__KEY__ALL__SCOPES", "read,export,replay");

async fn start_with_fixtures(db: PgPool, changed: &[(&str, &str)]) -> Service {
    let service = Service::start_with(db, &[&[ENABLED], changed].concat()).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    service
}

/// Data of the charts of a page.
fn charts(html: &str) -> Vec<serde_json::Value> {
    let charts = html.split("data-chart=\"").skip(1);
    let charts = charts.map(|part| part.split('"').next().unwrap().replace("&quot;", "\""));
    charts.map(|chart| serde_json::from_str(&chart).unwrap()).collect()
}

#[track_caller]
fn assert_has(html: &str, parts: &[&str]) {
    for part in parts {
        assert!(html.contains(part), "no {part:?} in {html}");
    }
}

#[sqlx::test]
async fn broadcast_shows_funnel_reasons_with_advice_cost_and_recipients(db: PgPool) {
    let price = ("RECEIVER__CONSOLE__PRICE__MARKETING", "586.33");
    let service = start_with_fixtures(db, &[price]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    assert_has(&browser.text("/console/broadcasts").await, &["Promo Gajian Juni", BROADCAST]);
    let html = browser.text(&format!("/console/broadcasts/{BROADCAST}")).await;
    let steps = [("Recipients", 5), ("Sent", 3), ("Delivered", 2), ("Read", 1), ("Failed", 2)];
    for (step, count) in steps {
        let shown = html.split_once(&format!("data-step=\"{step}\"")).unwrap().1;
        let shown = shown.split_once("<strong>").unwrap().1.split('<').next().unwrap();
        assert_eq!(shown, count.to_string(), "{step}");
    }
    assert_has(&html, &["(131026)", "Check the number, use another channel.", "IDR "]);
    // Lines of what was reached by each hour, and distributions of both durations.
    let chart = charts(&html).swap_remove(0);
    let last =
        |series: usize| chart["series"][series]["values"].as_array().unwrap().last().cloned();
    assert_eq!([last(0), last(1), last(2), last(3)], [3, 2, 1, 2].map(|count| Some(count.into())));
    assert_eq!(html.matches("class=\"funnel distribution\"").count(), 2);
    assert_has(&html, &["Median <strong>", "90% within <strong>"]);
    let failed = browser.text(&format!("/console/broadcasts/{BROADCAST}?status=failed")).await;
    let recipients =
        |html: &str| html.split_once(">Recipients</h2>").unwrap().1.matches("data-row").count();
    assert_eq!((recipients(&html), recipients(&failed)), (5, 2));

    let indonesian = browser.text(&format!("/console/broadcasts/{BROADCAST}?language=id")).await;
    assert_has(&indonesian, &["nomor tidak ber-WhatsApp"]);
}

#[sqlx::test]
async fn deliveries_show_failures_first_and_any_status_on_request(db: PgPool) {
    let service = start_with_fixtures(db, &[]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let rows = async |query: &str| {
        let html = browser.text(&format!("/console/deliveries{query}")).await;
        html.matches("data-row").count()
    };
    let (failed, read, any) =
        (rows("").await, rows("?status=read").await, rows("?status=any").await);
    assert!(failed > 0 && read > 0 && any > failed + read, "{failed} {read} {any}");
    assert_eq!(rows("?status=failed").await, failed);
}

/// Message of a customer that has all fields.
const ASKED: &str = "1b6321cd-5091-4cd9-bd8b-91220cd20198";

#[sqlx::test]
async fn event_shows_its_body_with_doubtful_fields_marked(db: PgPool) {
    let service = start_with_fixtures(db, &[]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let list = browser.text("/console/events?has_reasons=true&outcome=applied").await;
    let link = list.split("href=\"").find(|part| part.starts_with("/console/events/0")).unwrap();
    let path = link.split('"').next().unwrap();
    let html = browser.text(path).await;
    assert_has(&html, &["class=\"json\"", "<mark class=\"doubt\">", "class=\"reasons\""]);
    let text = browser.text(&format!("/console/events?subject_id={ASKED}")).await;
    let link = text.split("href=\"").find(|part| part.starts_with("/console/events/0")).unwrap();
    let html = browser.text(link.split('"').next().unwrap()).await;
    for read in ["created_at", "organization_id", "tags"] {
        assert!(
            html.contains(&format!("<mark class=\"read\">&quot;{read}&quot;: ")),
            "{read}: {html}"
        );
    }
    assert_has(&html, &["<span class=\"ignored\">&quot;", "class=\"legend small\""]);
    let raw = browser.get(&format!("{path}/body")).await;
    assert_eq!(raw.headers[CONTENT_TYPE], "application/json");

    let malformed = browser.text("/console/events?outcome=malformed").await;
    assert_eq!(malformed.matches("data-row").count(), 1);
    assert_eq!(browser.get("/console/events/nothing").await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test]
async fn dry_run_shows_the_new_outcome_and_replay_applies_it(db: PgPool) {
    let service = start_with_fixtures(db, &[ALL_SCOPES]).await;
    service.execute("update event set outcome = 'recorded' where subject_id = '1b6321cd-5091-4cd9-bd8b-91220cd20198'").await;
    let id = service.data("/v1/events?outcome=recorded&kind=receive_message_from_customer").await
        [0]["event_id"]
        .take();
    let id = id.as_str().unwrap();
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let outcome = async || service.data(&format!("/v1/events/{id}")).await["outcome"].take();

    let fields = [("id", id), ("dry_run", "true")];
    let html = browser.post("/console/events/replay", &fields).await.text();
    assert_has(&html, &[">recorded<", ">applied<", "Would be", "<strong>1/1</strong>"]);
    assert_eq!(outcome().await, "recorded");

    // Nothing is written before it is confirmed.
    let fields = [("id", id), ("dry_run", "false")];
    let html = browser.post("/console/events/replay", &fields).await.text();
    assert_has(&html, &["Events to parse again and write: 1.", "name=\"is_confirmed\""]);
    assert_eq!(outcome().await, "recorded");

    let fields = [("id", id), ("dry_run", "false"), ("is_confirmed", "true")];
    let html = browser.post("/console/events/replay", &fields).await.text();
    assert_has(&html, &[">recorded<", ">applied<", "After"]);
    assert_eq!(outcome().await, "applied");
}

#[sqlx::test]
async fn replay_of_all_that_match_is_started_shown_and_canceled(db: PgPool) {
    let service = start_with_fixtures(db, &[ALL_SCOPES]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text("/console/events?outcome=quarantined").await;
    assert_has(&html, &["action=\"/console/replays\"", "name=\"outcome\" value=\"quarantined\""]);
    // It would take more than the list shows, or everything.
    for query in ["?outcome=quarantined&has_reasons=true", "?subject_id=a", ""] {
        let html = browser.text(&format!("/console/events{query}")).await;
        assert!(!html.contains("/console/replays"), "{query}");
    }
    let asked = browser.post("/console/replays", &[("outcome", "quarantined")]).await;
    assert_has(&asked.text(), &["Events to parse again and write: ", "value=\"quarantined\""]);
    assert_eq!(service.count("replay").await, 0);
    let fields = [("outcome", "quarantined"), ("is_confirmed", "true")];
    let started = browser.post("/console/replays", &fields).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER);
    let page = started.headers[LOCATION].to_str().unwrap().to_owned();
    assert_has(
        &browser.text(&page).await,
        &[">running<", "quarantined", "0 events replayed", &format!("action=\"{page}/cancel\"")],
    );
    let canceled = browser.post(&format!("{page}/cancel"), &[]).await;
    assert_eq!(canceled.headers[LOCATION], page);
    let html = browser.text(&page).await;
    assert_has(&html, &[">canceled<"]);
    assert!(!html.contains("/cancel"));
    let fields = [("outcome", "never"), ("is_confirmed", "true")];
    let response = browser.post("/console/replays", &fields).await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[sqlx::test]
async fn overview_shows_open_problems_in_both_languages(db: PgPool) {
    let service = start(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    assert_has(&browser.text("/console").await, &["Nothing is wrong."]);
    service
        .execute(
            "insert into problem (code, organization_id, subject, detail, since, seen_at) values \
             ('silence', '', 'wa_cloud status_message', '0 of 120 events', now(), now())",
        )
        .await;
    let html = browser.text("/console").await;
    assert_has(&html, &["Far fewer events than usual (wa_cloud status_message): 0 of 120 events"]);
    assert!(!html.contains("Nothing is wrong."));
    let html = browser.text("/console?language=id").await;
    assert_has(&html, &["Event jauh lebih sedikit dari biasanya"]);
}

#[sqlx::test]
async fn replay_and_export_need_their_scopes(db: PgPool) {
    let service = start_with_fixtures(db, &[]).await;
    let reader = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = reader.text("/console/events").await;
    assert!(!html.contains("/console/exports/") && !html.contains("dry_run"));
    let id = service.data("/v1/events").await[0]["event_id"].as_str().unwrap().to_owned();
    let fields = [("id", id.as_str()), ("dry_run", "false"), ("is_confirmed", "true")];
    let response = reader.post("/console/events/replay", &fields).await;
    assert_has(&response.text(), &["lacks the scope `replay`"]);
    let export = "/console/exports/rooms?status=assigned";
    assert_eq!(reader.get(export).await.status, StatusCode::FORBIDDEN);

    let exporter = Browser::sign_in(&service, KEY_OF_ORGANIZATION).await;
    assert_has(&exporter.text("/console/agents").await, &["/console/agents/export"]);
    assert_eq!(exporter.get("/console/agents/export").await.status, StatusCode::OK);
    let response = exporter.get(export).await;
    assert_eq!(response.status, StatusCode::OK);
    let api = service.get_with(KEY_OF_ORGANIZATION, "/v1/exports/rooms?status=assigned").await;
    assert_eq!(response.bytes, api.bytes);
    let path = format!("/console/exports/rooms/{SITI_ROOM}/messages");
    assert_eq!(exporter.get(&path).await.status, StatusCode::OK);
}

#[sqlx::test]
async fn accounting_groups_quarantine_by_reason_and_adds_up(db: PgPool) {
    let service = start_with_fixtures(db, &[]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text("/console/ledger").await;
    assert_has(
        &html,
        &["unclassifiable", "missing_subject_id", "class=\"bar\"", "Nothing was compared yet"],
    );
    let other = Browser::sign_in(&service, KEY_OF_ANOTHER).await;
    assert_has(&other.text("/console/ledger").await, &["Every webhook was understood."]);
}

#[sqlx::test]
async fn templates_show_their_state_and_quality(db: PgPool) {
    let service = start(db).await;
    service
        .execute(
            "insert into catalog (organization_id, kind, id, name, data, synced_at) values ('o', 'template', \
             't', 'promo_gajian', '{\"status\": \"REJECTED\", \"quality_rating\": \"GREEN\"}', now())",
        )
        .await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text("/console/templates").await;
    assert_has(&html, &["promo_gajian", "class=\"chip bad\"", "class=\"chip ok\""]);
    assert_has(&html, &["hx-trigger=\"changed-slowly from:body, every 60s, refresh from:body\""]);
    // A webhook that no sync has confirmed, with the reason.
    let mut event: serde_json::Value = serde_json::from_slice(&body("60-")).unwrap();
    event["status"] = "PAUSED".into();
    event["reason"] = "LOW_QUALITY".into();
    service.post(event.to_string()).await;
    let html = browser.text("/console/templates").await;
    assert_has(&html, &["promo_juni_2025", ">PAUSED<", "LOW_QUALITY", "Last report of this state"]);
}

#[sqlx::test]
async fn agents_show_whether_they_are_online(db: PgPool) {
    let service = start_with_fixtures(db, &[]).await;
    // An agent of the fixtures, who has answered in the last days.
    service.execute("update response set at = now() where author = 'agent'").await;
    let sql = "select sender_id from response where author = 'agent' limit 1";
    let id: String = sqlx::query_scalar(sql).fetch_one(&service.db).await.unwrap();
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    assert!(!browser.text("/console/agents").await.contains(">online<"));
    for (is_online, word) in [(true, ">online<"), (false, ">offline<")] {
        let mut event: serde_json::Value = serde_json::from_slice(&body("61-")).unwrap();
        event["id"] = id.as_str().into();
        event["is_online"] = is_online.into();
        service.post(event.to_string()).await;
        assert_has(&browser.text("/console/agents").await, &[word, "Last report of this state"]);
    }
}

#[sqlx::test]
async fn trace_shows_one_timeline_for_ids_and_phone_numbers(db: PgPool) {
    let service = start_with_fixtures(db, &[]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    for id in [READ_MESSAGE, SITI_ROOM, "0812-0001-0001"] {
        let html = browser.text(&format!("/console/trace?id={id}")).await;
        assert_has(&html, &["class=\"timeline\"", "Siti Rahmawati", &format!("#m-{READ_MESSAGE}")]);
    }
    let html = browser.text("/console/trace?id=nothing").await;
    assert_has(&html, &["Nothing has this id"]);
    assert!(!html.contains("Siti Rahmawati"));
}

#[sqlx::test]
async fn demo_fills_every_chart_and_exists_only_where_it_is_set(db: PgPool) {
    let without = start(db.clone()).await;
    let browser = Browser::sign_in(&without, KEY_OF_ALL).await;
    assert!(!browser.text("/console").await.contains("/console/demo"));
    assert_eq!(browser.post("/console/demo", &[]).await.status, StatusCode::NOT_FOUND);

    let service = Service::start_with(db, &[ENABLED, ("RECEIVER__CONSOLE__DEMO", "true")]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    assert_has(&browser.text("/console").await, &["/console/demo", "No webhook was received"]);
    assert_eq!(browser.post("/console/demo", &[]).await.status, StatusCode::SEE_OTHER);
    let html = browser.text("/console").await;
    assert!(!html.contains("/console/demo"));
    let assert_filled = |html: &str, count: usize| {
        let charts = charts(html);
        assert_eq!(charts.len(), count);
        for chart in charts {
            let series = chart["series"].as_array().unwrap();
            let has_values = series.iter().any(|one| {
                one["values"].as_array().unwrap().iter().any(|value| value.as_i64() > Some(0))
            });
            assert!(has_values, "{chart}");
        }
    };
    assert_filled(&html, 3);
    assert_filled(&browser.text("/console?period=week").await, 3);
    assert_has(&browser.text("/console/agents?period=day").await, &["data-row"]);
    let broadcasts = browser.text("/console/broadcasts").await;
    let links = broadcasts.split("href=\"").filter(|it| it.starts_with("/console/broadcasts/"));
    let mut filled = 0;
    for link in links {
        let html = browser.text(link.split('"').next().unwrap()).await;
        assert_filled(&html, 1);
        filled += html.matches("class=\"funnel distribution\"").count();
    }
    assert!(filled >= 4, "two broadcasts with both distributions");
    for page in ["/console/broadcasts", "/console/deliveries", "/console/ledger"] {
        assert_has(&browser.text(page).await, &["data-row"]);
    }
    let ledger = browser.text("/console/ledger").await;
    assert_has(&ledger, &["unclassifiable", "fill-warn", "fill-ok"]);
    assert!(ledger.matches("/console/events?start_date=").count() > 12, "hours of a day");
}

#[sqlx::test]
async fn dry_run_shows_each_column_of_each_row_that_would_change(db: PgPool) {
    let service = start_with_fixtures(db, &[ALL_SCOPES]).await;
    let of = format!("where message_id = '{READ_MESSAGE}'");
    let older = "text = 'An older parser.', text_rank = '00000000-0000-0000-0000-000000000000'";
    service.execute(&format!("update message set {older} {of}")).await;
    let events = service.data(&format!("/v1/events?subject_id={READ_MESSAGE}")).await;
    let id = events[0]["event_id"].as_str().unwrap();
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.post("/console/events/replay", &[("id", id)]).await.text();
    assert_has(&html, &["class=\"card differences\"", "<code>message</code>", READ_MESSAGE]);
    assert_has(&html, &["<code>text</code>", "An older parser.", ">changes<"]);
    let message = service.data(&format!("/v1/messages/{READ_MESSAGE}")).await;
    assert_eq!(message["text"], "An older parser.", "nothing is written");
    assert!(!html.contains("<code>fields</code>"), "bookkeeping");

    service.execute(&format!("delete from message {of}")).await;
    let html = browser.post("/console/events/replay", &[("id", id)]).await.text();
    assert_has(&html, &[">new row<", "<code>sender_id</code>"]);
    assert_eq!(
        service.get(&format!("/v1/messages/{READ_MESSAGE}")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[sqlx::test]
async fn slow_query_says_that_it_was_cut_and_the_rest_of_the_page_is_shown(db: PgPool) {
    let timeout = ("RECEIVER__DATABASE__STATEMENT_TIMEOUT", "300ms");
    let service = start_with_fixtures(db, &[timeout]).await;
    let slow = "alter table ledger rename to fast;
        create view ledger as select fast.* from fast right join pg_sleep(30) on true";
    service.execute(slow).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text("/console/ledger").await;
    assert_has(&html, &["This took too long and was cut off.", "unclassifiable", "<h1>"]);
    assert_has(
        &browser.text("/console/ledger?language=id").await,
        &["terlalu lama dan dihentikan"],
    );
}

#[sqlx::test]
async fn hours_of_accounting_lead_to_their_events(db: PgPool) {
    let service = start_with_fixtures(db, &[ALL_SCOPES]).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text("/console/ledger").await;
    assert_has(&html, &["/console/exports/ledger", "/console/exports/reconciliation"]);
    let link =
        html.split("href=\"").find(|it| it.starts_with("/console/events?start_date=")).unwrap();
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    let events = browser.text(&link).await;
    assert!(events.matches("data-row").count() > 10, "{link}");
    // The form keeps the time of day.
    assert!(events.contains("type=\"text\" name=\"start_date\""));
}
