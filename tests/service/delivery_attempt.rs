//! A broadcast log that is sent again: the newest attempt by WhatsApp's clock is shown, in any order.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::funnel::{log, post_all};
use super::harness::{ORGANIZATION, Service};

/// Report about an attempt with this id at WhatsApp, at this second.
fn report(wamid: &str, status: &str, second: u64, errors: Value) -> Value {
    let mut body = log("1", status, &[(status, second)]);
    body["whatsapp_message_id"] = wamid.into();
    body["messages_response"][status]["statuses"][0]["id"] = wamid.into();
    body["messages_response"][status]["statuses"][0]["errors"] = errors;
    body
}

/// An attempt that WhatsApp refused at once: no id, no time.
fn refusal(code: i64) -> Value {
    let mut body = log("1", "failed", &[]);
    body["whatsapp_message_id"] = "n/a".into();
    body["whatsapp_error_message"] = "Refused.".into();
    body["messages_response"] = json!({"errors": [{"code": code, "title": "Refused"}]});
    body
}

/// The message of a recipient with this id at WhatsApp, which was read.
fn read_message(wamid: &str) -> Value {
    json!({"data_event": "status_message", "id": "m", "status": "read",
        "participant_type": "bot", "is_campaign": true, "organization_id": ORGANIZATION,
        "external_id": wamid, "created_at": "2025-06-12T01:00:00Z"})
}

fn error(code: i64, title: &str) -> Value {
    json!([{"code": code, "title": title, "details": title}])
}

/// Posts the bodies in every order, and expects this row of `/v1/delivery-statuses` each time.
async fn assert_in_any_order(service: &Service, bodies: &[Value], expected: &Value) {
    let mut state = None;
    let count = bodies.len();
    for order in 0..count * (count - 1) {
        let mut bodies = bodies.to_vec();
        bodies.rotate_left(order % count);
        bodies[1..].rotate_left(order / count);
        if order % 2 == 1 {
            bodies.reverse();
        }
        // Repeated, so that a body also comes after those that replaced it.
        bodies.extend(bodies.clone().into_iter().map(|mut body| {
            body["repeated"] = true.into();
            body
        }));
        service.execute("truncate event, message, broadcast_log, broadcast").await;
        post_all(service, bodies).await;
        let rows = service.data("/v1/delivery-statuses").await;
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(rows[0][field], *value, "{field}, order {order}: {rows}");
        }
        let logs = service.state().await.remove("broadcast_log").unwrap();
        assert_eq!(*state.get_or_insert_with(|| logs.clone()), logs, "order {order}");
    }
}

#[sqlx::test]
async fn second_attempt_replaces_the_id_and_the_error_of_the_first(db: PgPool) {
    let service = Service::start(db).await;
    // In the order of the alphabet, and against it.
    for (first, second) in [("wamid.A", "wamid.Z"), ("wamid.Z", "wamid.A")] {
        let message = read_message(second);
        let bodies = [
            report(first, "sent", 0, Value::Null),
            report(first, "failed", 3, error(131_049, "Ecosystem")),
            report(second, "delivered", 700, Value::Null),
            message,
        ];
        let expected = json!({"external_id": second, "message_id": "m", "status": "read",
            "error_code": null, "error_title": null, "error_details": null, "error_advice": null});
        assert_in_any_order(&service, &bodies, &expected).await;
        let rows = service.data("/v1/delivery-statuses?error=131049").await;
        assert_eq!(rows, json!([]));
    }
}

#[sqlx::test]
async fn filter_by_error_finds_no_row_whose_error_only_the_message_hides(db: PgPool) {
    let service = Service::start(db).await;
    let bodies = [
        report("wamid.A", "failed", 3, error(131_049, "Ecosystem")),
        report("wamid.Z", "sent", 700, Value::Null),
        read_message("wamid.Z"),
    ];
    assert_in_any_order(&service, &bodies, &json!({"status": "read", "error_code": null})).await;
    assert_eq!(service.data("/v1/delivery-statuses?error=131049").await, json!([]));
    // The message has the same error itself, so the row shows it.
    let mut message = read_message("wamid.Z");
    message["messages_response"] = json!({"errors": [{"code": 131_049, "title": "own"}]});
    let bodies_with_own = [bodies[0].clone(), bodies[1].clone(), message];
    let expected = json!({"status": "read", "error_code": 131_049});
    assert_in_any_order(&service, &bodies_with_own, &expected).await;
    let found = service.data("/v1/delivery-statuses?error=131049").await;
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    // Without the message the error is that of the newest report.
    assert_in_any_order(&service, &bodies[..2], &json!({"error_code": 131_049})).await;
    let found = service.data("/v1/delivery-statuses?error=131049").await;
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
}

#[sqlx::test]
async fn delivery_after_a_refusal_hides_the_error_of_the_refusal(db: PgPool) {
    let service = Service::start(db).await;
    let bodies = [
        refusal(132_001),
        report("wamid.1", "sent", 5, Value::Null),
        report("wamid.1", "delivered", 6, Value::Null),
    ];
    let expected = json!({"external_id": "wamid.1", "status": "delivered", "error_code": null,
        "error_title": null});
    assert_in_any_order(&service, &bodies, &expected).await;
    // Not delivered: the refusal says why.
    let expected = json!({"external_id": "wamid.1", "status": "failed", "error_code": 132_001,
        "error_title": "Refused"});
    assert_in_any_order(&service, &bodies[..2], &expected).await;
}

#[sqlx::test]
async fn later_error_replaces_an_earlier_one_whatever_its_code(db: PgPool) {
    let service = Service::start(db).await;
    let bodies = [
        report("wamid.Z", "failed", 3, error(131_049, "z")),
        report("wamid.A", "failed", 700, error(131_026, "a")),
        refusal(999_999),
    ];
    let expected = json!({"external_id": "wamid.A", "status": "failed", "error_code": 131_026,
        "error_title": "a", "error_details": "a"});
    assert_in_any_order(&service, &bodies, &expected).await;
    // A later error without details does not get those of an earlier one.
    let bodies = [
        report("wamid.1", "failed", 3, error(131_026, "details")),
        report("wamid.1", "failed", 4, json!([{"code": 131_026, "title": "later"}])),
        report("wamid.1", "sent", 1, Value::Null),
    ];
    let expected = json!({"error_code": 131_026, "error_title": "later", "error_details": null});
    assert_in_any_order(&service, &bodies, &expected).await;
}

#[sqlx::test]
async fn error_of_the_attempt_that_was_delivered_is_still_shown(db: PgPool) {
    let service = Service::start(db).await;
    let bodies = [
        report("wamid.1", "failed", 3, error(131_049, "Ecosystem")),
        report("wamid.1", "delivered", 9, Value::Null),
    ];
    let expected = json!({"status": "delivered", "conflicts": ["failed_and_delivered"],
        "error_code": 131_049});
    assert_in_any_order(&service, &bodies, &expected).await;
}

#[sqlx::test]
async fn one_rule_decides_between_ids_of_the_same_time_in_any_order(db: PgPool) {
    let service = Service::start(db).await;
    let bodies = [
        report("wamid.A", "sent", 5, Value::Null),
        report("wamid.Z", "sent", 5, Value::Null),
        log("1", "created", &[]),
    ];
    assert_in_any_order(&service, &bodies, &json!({"status": "sent"})).await;
}

#[sqlx::test]
async fn attempts_of_one_second_are_ordered_by_how_far_they_got(db: PgPool) {
    let service = Service::start(db).await;
    for (first, second) in [("wamid.A", "wamid.Z"), ("wamid.Z", "wamid.A")] {
        let failed = report(first, "failed", 3, error(131_049, "Ecosystem"));
        for n in 0..4 {
            let mut delivered = report(second, "delivered", 3, Value::Null);
            delivered["n"] = n.into();
            let expected =
                json!({"external_id": second, "status": "delivered", "error_code": null});
            assert_in_any_order(&service, &[failed.clone(), delivered], &expected).await;
            // Both failed: the error is that of the attempt that is shown.
            let mut again = report(second, "failed", 3, error(131_026, "Undeliverable"));
            again["n"] = n.into();
            let expected = json!({"external_id": first, "error_code": 131_049});
            assert_in_any_order(&service, &[failed.clone(), again], &expected).await;
        }
    }
}

#[sqlx::test]
async fn only_the_message_tells_that_a_later_attempt_was_delivered(db: PgPool) {
    let service = Service::start(db).await;
    let message = json!({"data_event": "status_message", "id": "m", "status": "read",
        "participant_type": "bot", "is_campaign": true, "organization_id": ORGANIZATION,
        "external_id": "wamid.2", "created_at": "2025-06-12T01:00:00Z"});
    let bodies = [
        report("wamid.1", "failed", 3, error(131_049, "Ecosystem")),
        report("wamid.2", "sent", 700, Value::Null),
        message,
    ];
    let expected = json!({"external_id": "wamid.2", "status": "read", "error_code": null,
        "error_title": null, "error_details": null});
    assert_in_any_order(&service, &bodies, &expected).await;
    let message = service.data("/v1/messages/m").await;
    assert_eq!(message["error_code"], Value::Null, "{message}");
    // The first attempt is still found by its id.
    for wamid in ["wamid.1", "wamid.2"] {
        let trace = service.data(&format!("/v1/trace/{wamid}")).await;
        assert_eq!(trace["logs"][0]["id"], "1", "{wamid}: {trace}");
    }
}
