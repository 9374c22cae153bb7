//! WhatsApp's errors: code, title, details and time, wherever a body has them.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::funnel::{log, post_all};
use super::harness::{KEY_OF_ORGANIZATION, ORGANIZATION, Service};

const CODE: i64 = 132_012;
const TITLE: &str = "Parameter format does not match";
const DETAILS: &str = "header: Format mismatch, expected IMAGE, received UNKNOWN";
/// 2025-06-12T01:00:03Z.
const FAILED_AT: &str = "1749690003";

/// Meta's error object with the details in `error_data`.
fn error() -> Value {
    json!({"code": CODE, "title": TITLE, "message": TITLE,
        "error_data": {"messaging_product": "whatsapp", "details": DETAILS}})
}

/// `messages_response` in each layout of an error, and whether it has WhatsApp's time.
fn responses() -> Vec<(Value, bool)> {
    let beside = json!({"code": CODE.to_string(), "title": TITLE, "details": DETAILS});
    let status = |errors: Value| json!({"timestamp": FAILED_AT, "errors": errors});
    vec![
        (json!({"code": "404", "errors": [beside]}), false),
        (json!({"errors": [error()]}), false),
        (json!({"errors": beside}), false),
        (json!({"errors": ["Failed", error()]}), false),
        (
            json!({"errors": [format!("(#{CODE}) {TITLE}"), {"code": CODE, "details": DETAILS}]}),
            false,
        ),
        (json!({"errors": [{"code": CODE, "title": TITLE, "error_data": DETAILS}]}), false),
        (json!({"error": error()}), false),
        (json!({"error": {"message": format!("(#{CODE}) {TITLE}"), "details": DETAILS}}), false),
        (json!({"failed": {"errors": [error()]}}), false),
        (json!({"failed": {"statuses": [status(json!([error()]))]}}), true),
        (json!({"failed": {"statuses": [{}, null, status(json!([null, error()]))]}}), true),
        (json!({"failed": {"statuses": status(json!(error()))}}), true),
        (json!({"statuses": [{"timestamp": 1_749_690_001}, status(json!([error()]))]}), true),
        (
            json!({"errors": [{"code": CODE, "title": TITLE}],
                "failed": {"statuses": [status(json!([error()]))]}}),
            true,
        ),
        (json!({"errors": [error(), {"code": 1, "title": "Other", "details": "other"}]}), false),
    ]
}

fn assert_error(row: &Value, has_time: bool, context: &Value) {
    assert_eq!(row["error_code"], CODE, "{context}");
    assert!(row["error_title"].as_str().unwrap().ends_with(TITLE), "{context}: {row}");
    assert_eq!(row["error_details"], DETAILS, "{context}");
    assert_eq!(row["error_advice"]["en"], "Fix the type.", "{context}");
    let failed = &row["status_times"]["failed"];
    if has_time {
        let expected = json!({"at": "2025-06-12T01:00:03.000Z", "source": "channel"});
        assert_eq!(*failed, expected, "{context}");
    } else {
        assert_eq!(failed["source"], "received", "{context}");
    }
}

#[sqlx::test]
async fn error_of_a_log_is_read_from_every_place_that_may_have_it(db: PgPool) {
    let service = Service::start(db).await;
    for (response, has_time) in responses() {
        service.execute("truncate event, broadcast_log, broadcast").await;
        let mut body = log("1", "failed", &[]);
        body["messages_response"] = response.clone();
        post_all(&service, [body]).await;
        let broadcast = service.data("/v1/broadcasts/b").await;
        let failures = &broadcast["failed_by_code"][0];
        assert_eq!(failures["error_details"], DETAILS, "{response}");
        let deliveries = service.data("/v1/delivery-statuses").await;
        let trace = service.data("/v1/trace/wamid.1").await;
        let logs = service.data("/v1/broadcasts/b/logs").await;
        for row in [&logs[0], &deliveries[0], &trace["logs"][0]] {
            assert_error(row, has_time, &response);
        }
        let open = service.data("/api/open/v1/broadcasts/b/whatsapp/log").await;
        assert_eq!(open[0]["messages_response"], response, "{open}");
    }
    let csv = "/v1/broadcasts/b/logs?format=csv";
    let csv = String::from_utf8(service.get_with(KEY_OF_ORGANIZATION, csv).await.bytes).unwrap();
    let header = csv.lines().next().unwrap();
    assert!(header.contains(",error_title,error_details,"), "{header}");
    assert!(csv.contains(&format!("\"{DETAILS}\"")), "{csv}");
}

/// Failed message of an agent.
fn message(more: &Value) -> Value {
    let mut body = json!({"data_event": "status_message", "id": "m", "status": "failed",
        "participant_type": "agent", "organization_id": ORGANIZATION,
        "external_id": "wamid.1", "created_at": "2025-06-12T01:00:00Z"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[sqlx::test]
async fn error_of_a_message_is_read_from_every_place_that_may_have_it(db: PgPool) {
    let service = Service::start(db).await;
    for (response, has_time) in responses() {
        for parts in [
            response.clone(),
            json!({"messages_response": response}),
            json!({"raw_message": response}),
        ] {
            service.execute("truncate event, message").await;
            post_all(&service, [message(&parts)]).await;
            let messages = service.data("/v1/messages").await;
            let deliveries = service.data("/v1/delivery-statuses").await;
            let trace = service.data("/v1/trace/m").await;
            for row in [&messages[0], &deliveries[0], &trace["messages"][0]] {
                assert_error(row, has_time, &parts);
            }
        }
    }
    service.execute("truncate event, message").await;
    let text = json!({"whatsapp_error_message": format!("(#{CODE}) {TITLE}")});
    post_all(&service, [message(&text)]).await;
    let row = service.data("/v1/messages/m").await;
    assert_eq!((&row["error_code"], &row["error_details"]), (&json!(CODE), &Value::Null));
}

#[sqlx::test]
async fn message_shows_its_own_error_or_that_of_its_log(db: PgPool) {
    let service = Service::start(db).await;
    let mut log = log("1", "failed", &[]);
    log["messages_response"] = json!({"errors": [error()]});
    let own = |code: i64| json!({"errors": [{"code": code, "title": "Own"}]});
    for (body, code, title, details) in [
        (json!({}), CODE, TITLE, json!(DETAILS)),
        (own(CODE), CODE, "Own", json!(DETAILS)),
        (own(131_026), 131_026, "Own", Value::Null),
    ] {
        service.execute("truncate event, message, broadcast_log").await;
        post_all(&service, [log.clone(), message(&body)]).await;
        let row = service.data("/v1/messages/m").await;
        let found = (&row["error_code"], &row["error_title"], &row["error_details"]);
        assert_eq!(found, (&json!(code), &json!(title), &details));
    }
}

#[sqlx::test]
async fn error_details_always_belong_to_the_error_code_in_any_order(db: PgPool) {
    let service = Service::start(db).await;
    let errors = [
        json!({"errors": [{"code": 131_026, "title": "z", "details": "z"}]}),
        json!({"errors": [{"code": 131_049, "title": "b"}]}),
        json!({"errors": [{"code": 131_049, "details": "a"}]}),
        json!({"errors": ["zz"]}),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        service.execute("truncate event, message, broadcast_log").await;
        for i in order {
            let mut log = log("1", "failed", &[]);
            log["messages_response"] = errors[i].clone();
            post_all(&service, [log, message(&errors[i])]).await;
        }
        for path in ["/v1/broadcasts/b/logs", "/v1/messages"] {
            let row = &service.data(path).await[0];
            let found = (&row["error_code"], &row["error_title"], &row["error_details"]);
            assert_eq!(found, (&json!(131_049), &json!("b"), &json!("a")), "{path} {order:?}");
        }
    }
}
