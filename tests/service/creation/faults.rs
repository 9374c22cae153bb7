//! What goes wrong between the service and Qontak: nothing is sent twice, and what is unknown is said.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::super::binary::Process;
use super::super::qontak_client::FakeQontak;
use super::super::spool::wait_until;
use super::{Setup, WRITER, contact_list, request, template, writing};

#[sqlx::test]
async fn lost_answer_is_unknown_and_never_sent_again(db: PgPool) {
    let setup = Setup::start(db).await;
    let mut calls = 0;
    for fault in
        ["lost_answer", "redirect", "server_error", "bad_gateway", "html", "truncated", "reset"]
    {
        setup.fail_next(fault);
        let body = template(&format!("promo_{fault}"));
        for attempt in 0..3 {
            let answer = setup.post("/v1/templates", fault, &body).await;
            let what = format!("{fault} {attempt}: {answer:?}");
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{what}");
            assert!(answer.message().starts_with("unknown whether Qontak accepted it: "), "{what}");
            let path = answer.message().split("See GET ").nth(1).unwrap();
            let row = setup.get_as(path, WRITER).await.1["data"].take();
            assert_eq!((&row["state"], &row["qontak_id"]), (&json!("unknown"), &Value::Null));
        }
        calls += 1;
        assert_eq!(setup.calls(), calls, "{fault}");
    }
    // It was accepted once, although nobody knew.
    assert_eq!(setup.qontak.show()["created"], 1);
}

#[sqlx::test]
async fn what_did_not_reach_qontak_is_sent_again_with_the_same_key(db: PgPool) {
    let setup = Setup::start(db).await;
    for fault in ["rate_limit", "rate_limit_message"] {
        setup.fail_next(fault);
        let body = contact_list(fault);
        let answer = setup.post("/v1/contact-lists", fault, &body).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{fault}: {answer:?}");
        assert!(answer.retry_after.is_some(), "{answer:?}");
        let end = "; retry with the same Idempotency-Key";
        assert!(answer.message().starts_with("not sent to Qontak: "), "{answer:?}");
        assert!(answer.message().ends_with(end), "{answer:?}");
        let answer = setup.post("/v1/contact-lists", fault, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{fault}: {answer:?}");
        // The next fault is not for a check of this one.
        setup.wait_for_state(&answer, "done").await;
    }
    // Credentials that Qontak refuses are found before anything is sent.
    setup.qontak.change(json!({ "clock_offset": 4000 }));
    let calls = setup.calls();
    let answer = setup.post("/v1/templates", "clock", &template("promo")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.message().contains("the clock differs by"), "{answer:?}");
    assert_eq!((setup.calls(), &setup.qontak.show()["created"]), (calls, &json!(2)));
}

#[sqlx::test]
async fn creation_whose_tokens_are_not_refreshed_is_not_sent_and_may_be_repeated(db: PgPool) {
    let setup = Setup::start_with(db, FakeQontak::bearer).await;
    for (fault, reason) in [
        ("server_error", " is unavailable (500 Internal Server Error); retry later"),
        ("html", " answered 200 OK without JSON; check base_url"),
        ("reset", " was lost"),
        ("drip", " did not respond within 20s"),
    ] {
        // Of the check, the creation, and the refresh that its 401 leads to.
        for fault in ["pass", "unauthorized", fault] {
            setup.qontak.change(json!({ "fault": fault }));
        }
        let body = template(&format!("promo_{fault}"));
        let answer = setup.post("/v1/templates", fault, &body).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{fault}: {answer:?}");
        let begin = "not sent to Qontak: tokens cannot be refreshed: ";
        assert!(answer.message().starts_with(begin), "{fault}: {answer:?}");
        assert!(answer.message().contains(reason), "{fault}: {answer:?}");
        let unknown = "select count(*) from creation where state = 'unknown'";
        assert_eq!(setup.number(unknown).await, 0, "{fault}");
        let answer = setup.post("/v1/templates", fault, &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{fault}: {answer:?}");
    }
    assert_eq!(setup.qontak.show()["created"], 4);
}

#[sqlx::test]
async fn refusal_of_qontak_is_a_422_in_its_words_and_final(db: PgPool) {
    let setup = Setup::start(db).await;
    assert_eq!(setup.post("/v1/templates", "1", &template("promo")).await.status, 201);
    for _ in 0..2 {
        let answer = setup.post("/v1/templates", "2", &template("promo")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
        assert!(answer.message().contains("has already been taken"), "{answer:?}");
    }
    assert_eq!(setup.calls(), 2);
}

#[sqlx::test]
async fn refusal_of_a_contact_list_names_its_fields_and_quotes_nobody(db: PgPool) {
    let setup = Setup::start(db).await;
    setup.qontak.change(json!({ "outcome": "REJECTED" }));
    let answer = setup.post("/v1/contact-lists", "1", &contact_list("Pelanggan")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
    let expected = "rejected the request with 422 Unprocessable Entity; fields: file";
    assert!(answer.message().ends_with(expected), "{answer:?}");
    let stored = setup.number("select count(*) from creation where error like '%Siti%'").await;
    assert_eq!(stored, 0);
}

#[sqlx::test]
async fn late_report_does_not_end_a_later_attempt(db: PgPool) {
    let setup = Setup::start(db).await;
    setup.fail_next("rate_limit");
    let body = template("promo");
    let mut first = setup.post_held("/v1/templates", "key", &body).await;
    // Meanwhile the request is sent again.
    setup.execute("update creation set attempt = attempt + 1").await;
    setup.qontak.change(json!({ "hold": false }));
    let answer = first.join_next().await.unwrap().unwrap();
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    assert_eq!(answer.body["data"]["state"], "sending", "{answer:?}");
    let answer = setup.post("/v1/templates", "key", &body).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{answer:?}");
}

#[sqlx::test]
async fn creations_beyond_the_queue_are_refused_at_once(db: PgPool) {
    let setup = Setup::start(db).await;
    let mut held = setup.post_held("/v1/templates", "0", &template("promo_0")).await;
    for number in 1..72 {
        let (url, body) = (setup.service.url.clone(), template(&format!("promo_{number}")));
        let key = number.to_string();
        held.spawn(async move { request(&url, "/v1/templates", &key, &body).await });
    }
    // 8 calls at a time, and 64 that wait.
    let sending = "select count(*) from creation where state = 'sending'";
    wait_until(async || setup.calls() == 8 && setup.number(sending).await == 72).await;
    let answer = setup.post("/v1/templates", "72", &template("promo_72")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.message().contains("the service is stopping or busy"), "{answer:?}");
    assert_eq!(setup.calls(), 8);
}

#[sqlx::test]
async fn database_that_fails_during_the_call_leaves_the_result_unknown(db: PgPool) {
    let setup = Setup::start(db).await;
    let mut first = setup.post_held("/v1/templates", "key", &template("promo")).await;
    let mut lock = setup.db.begin().await.unwrap();
    let exclusive = "lock table creation in access exclusive mode";
    sqlx::raw_sql(exclusive).execute(&mut *lock).await.unwrap();
    let answer = first.join_next().await.unwrap().unwrap();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");
    assert!(answer.message().contains("the database is unavailable"), "{answer:?}");
    let path = answer.message().split("See GET ").nth(1).unwrap();
    lock.rollback().await.unwrap();
    // The call has timed out meanwhile.
    setup.wait_for(path, WRITER, |row| row["state"] == "unknown").await;
}

#[sqlx::test]
async fn request_in_progress_is_a_conflict_and_survives_its_client(db: PgPool) {
    let setup = Setup::start(db).await;
    let body = template("promo");
    let mut first = setup.post_held("/v1/templates", "key", &body).await;
    let answer = setup.post("/v1/templates", "key", &body).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{answer:?}");
    assert_eq!(answer.retry_after.as_deref(), Some("5"));
    // The client disconnects.
    first.shutdown().await;
    setup.qontak.change(json!({ "hold": false }));
    let sending = "select count(*) from creation where state = 'sending'";
    wait_until(async || setup.number(sending).await == 0).await;
    let answer = setup.post("/v1/templates", "key", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!((setup.calls(), &setup.qontak.show()["created"]), (1, &json!(1)));
}

#[sqlx::test]
async fn crash_during_the_call_leaves_the_result_unknown(db: PgPool) {
    let mut setup = Setup::start(db).await;
    let body = template("promo");
    let mut first = setup.post_held("/v1/templates", "key", &body).await;
    setup.service.signal("KILL");
    first.shutdown().await;
    setup.qontak.change(json!({ "hold": false }));
    setup.service = Process::start(setup.settings.clone()).await;
    // As long as another replica may be calling.
    let answer = setup.post("/v1/templates", "key", &body).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{answer:?}");
    setup.execute("update creation set updated_at = now() - interval '6 min'").await;
    let unknown = "select count(*) from creation where state = 'unknown'";
    wait_until(async || setup.number(unknown).await == 1).await;
    let answer = setup.post("/v1/templates", "key", &body).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");
    assert!(answer.message().contains("the service ended during the call"), "{answer:?}");
    assert_eq!(setup.calls(), 1);
}

#[sqlx::test]
async fn stopping_service_completes_its_call(db: PgPool) {
    let setup = Setup::start(db).await;
    let body = template("promo");
    let mut first = setup.post_held("/v1/templates", "key", &body).await;
    // Its client disconnects, so that no request is in flight any more.
    first.shutdown().await;
    let Setup { service, db, qontak, .. } = setup;
    service.signal("TERM");
    let ready = format!("{}/readyz", service.ops);
    let is_ready = async || reqwest::get(&ready).await.is_ok_and(|it| it.status().is_success());
    wait_until(async || !is_ready().await).await;
    qontak.change(json!({ "hold": false }));
    let (code, _) = service.wait_for_exit().await;
    let states: Vec<String> =
        sqlx::query_scalar("select state from creation").fetch_all(&db).await.unwrap();
    assert_eq!((code, states), (Some(0), vec!["processing".to_owned()]));
}

#[sqlx::test]
async fn replicas_send_a_request_once_that_comes_to_all_of_them(db: PgPool) {
    let setup = Setup::start(db).await;
    let second = Process::start(writing(&setup.db, &setup.qontak)).await;
    let mut requests = JoinSet::new();
    for number in 0..12 {
        let url = if number % 2 == 0 { &setup.service.url } else { &second.url };
        let (url, body) = (url.clone(), template("promo"));
        requests.spawn(async move { request(&url, "/v1/templates", "key", &body).await });
    }
    let answers = requests.join_all().await;
    let is_expected =
        |status: StatusCode| [StatusCode::CREATED, StatusCode::CONFLICT].contains(&status);
    assert!(answers.iter().all(|answer| is_expected(answer.status)), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.status == StatusCode::CREATED), "{answers:?}");
    assert_eq!((setup.calls(), &setup.qontak.show()["created"]), (1, &json!(1)));
}
