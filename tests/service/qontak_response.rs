//! `messages_response` on Qontak's own routes: what Qontak sent, from the journal.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::fixtures::body;
use super::harness::Service;

/// Posts a log of broadcast `b` with this response.
async fn post(service: &Service, id: &str, status: &str, wamid: &str, response: &Value) {
    let log = json!({
        "id": id, "messages_broadcast_id": "b", "organization_id": "o", "status": status,
        "contact_phone_number": "6281200020001", "whatsapp_message_id": wamid,
        "whatsapp_error_message": "n/a", "messages_response": response,
        "created_at": "2025-06-12T01:00:00.298Z", "data_event": "broadcast_log_status",
    });
    assert_eq!(service.post(log.to_string()).await.status, StatusCode::OK);
}

/// `messages_response` of a log.
async fn shown(service: &Service, id: &str) -> Value {
    let logs = service.data("/api/open/v1/broadcasts/b/whatsapp/log?limit=500").await;
    let log = logs.as_array().unwrap().iter().find(|log| log["id"] == id);
    log.unwrap()["messages_response"].clone()
}

/// Report of a status.
fn report(wamid: &str, status: &str, timestamp: impl Into<Value>) -> Value {
    json!({
        "webhook": "LkT0k0MajuWaCl0udHook1",
        "statuses": [{
            "id": wamid, "status": status, "timestamp": timestamp.into(),
            "recipient_id": "6281200020001",
            "conversation": {"id": "c", "origin": {"type": "marketing"}, "expiration_timestamp": "9"},
            "pricing": {"billable": true, "category": "marketing", "pricing_model": "PMP", "x": 1.50},
        }],
    })
}

#[sqlx::test]
async fn messages_response_is_what_qontak_sent_in_any_order(db: PgPool) {
    let service = Service::start(db).await;
    let accepted = json!([{"id": "w", "message_status": "accepted"}]);
    let sent = json!({
        "messaging_product": "whatsapp", "messages": accepted, "sent": report("w", "sent", "100"),
        "meta": {"version": "v19.0", "api_status": "stable"}, "contacts": [],
    });
    let mut delivered = sent.clone();
    delivered["delivered"] = report("w", "delivered", 105);
    let mut read = delivered.clone();
    read["read"] = report("w", "read", "109");
    // A new report lacks what an earlier one had.
    let mut failed = json!({"failed": report("w", "failed", "103"), "messages": accepted});
    failed["failed"]["statuses"][0]["errors"] =
        json!([{"code": 131049, "title": "t", "error_data": {"details": "d"}, "href": "h"}]);

    let events = [("sent", &sent), ("delivered", &delivered), ("read", &read)];
    for (id, order) in [("a", [0, 1, 2]), ("b", [2, 1, 0]), ("c", [1, 2, 0]), ("d", [2, 0, 1])] {
        for index in order {
            let (status, response) = events[index];
            post(&service, id, status, "w", response).await;
        }
        assert_eq!(shown(&service, id).await, read, "{order:?}");
    }
    for (id, order) in [("e", [0, 1]), ("f", [1, 0])] {
        for index in order {
            let (status, response) = [("sent", &sent), ("failed", &failed)][index];
            post(&service, id, status, "w", response).await;
        }
        let mut expected = sent.clone();
        expected["failed"] = failed["failed"].clone();
        assert_eq!(shown(&service, id).await, expected, "{order:?}");
    }
    // Refused by WhatsApp, and empty.
    let refused = json!({
        "code": "404", "meta": {"version": "v19.0"},
        "errors": [{"code": 2001, "title": "t", "details": "d"}],
    });
    post(&service, "g", "failed", "n/a", &refused).await;
    assert_eq!(shown(&service, "g").await, refused);
    post(&service, "h", "created", "n/a", &json!({})).await;
    assert_eq!(shown(&service, "h").await, json!({}));
}

#[sqlx::test]
async fn messages_response_belongs_to_the_attempt_that_the_log_shows(db: PgPool) {
    let service = Service::start(db).await;
    let attempt = |wamid: &str, status: &str, timestamp: &str| {
        let mut response = json!({"messages": [{"id": wamid}]});
        response[status] = report(wamid, status, timestamp);
        response
    };
    let first = attempt("w1", "failed", "1749690000");
    let second = attempt("w2", "sent", "1749697200");
    for (id, order) in [("a", [0, 1]), ("b", [1, 0])] {
        for index in order {
            let (status, wamid, response) =
                [("failed", "w1", &first), ("sent", "w2", &second)][index];
            post(&service, id, status, wamid, response).await;
        }
        assert_eq!(shown(&service, id).await, second, "{order:?}");
    }
}

#[sqlx::test]
async fn messages_response_is_found_in_every_form_of_an_event(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let response = json!({"messages": [{"id": "w"}], "sent": report("w", "sent", "1749690000")});
    let log = json!({
        "id": "a", "messages_broadcast_id": "b", "organization_id": "o", "status": "sent",
        "whatsapp_message_id": "w", "messages_response": response,
    });
    let enveloped = json!({"data_event": "broadcast_log_status", "data": log});
    assert_eq!(service.post(format!("\u{feff}{enveloped}")).await.status, StatusCode::OK);
    assert_eq!(shown(&service, "a").await, response);
    // Numbers and escapes stay as they are.
    let text = r#"{"messages":[{"id":"x"}],"big":12345678901234567890.10,"nul":"a\u0000b"}"#;
    let body = format!(
        r#"{{"id":"c","messages_broadcast_id":"b","organization_id":"o","status":"sent",
        "whatsapp_message_id":"x","messages_response":{text},"data_event":"broadcast_log_status"}}"#
    );
    assert_eq!(service.post(body).await.status, StatusCode::OK);
    let page = service.get("/api/open/v1/broadcasts/b/whatsapp/log").await;
    let page = String::from_utf8(page.bytes).unwrap();
    assert!(page.contains(r#""big":12345678901234567890.10"#), "{page}");
    assert!(page.contains(r#""nul":"a\u0000b""#), "{page}");
    // Not an object: nothing to show.
    post(&service, "d", "created", "n/a", &json!("n/a")).await;
    assert_eq!(shown(&service, "d").await, json!({}));
}

#[sqlx::test]
async fn messages_response_is_rebuilt_once_the_journal_is_dropped(db: PgPool) {
    let service = Service::start(db).await;
    for file in ["31", "34", "35", "37"] {
        service.post(body(file)).await;
    }
    service.execute("truncate event").await;
    let path = "/api/open/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/whatsapp/log";
    let logs = service.data(path).await;
    let rebuilt = |file| {
        let sent: Value = serde_json::from_slice(&body(file)).unwrap();
        let found = logs.as_array().unwrap().iter().find(|log| log["id"] == sent["id"]);
        (found.unwrap()["messages_response"].clone(), sent["messages_response"].clone())
    };
    let (rebuilt_31, sent) = rebuilt("31");
    let statuses = |status: &str, pricing: Value| {
        let sent = &sent[status]["statuses"][0];
        let mut report = json!({
            "id": sent["id"], "status": status, "timestamp": sent["timestamp"],
        });
        if !pricing.is_null() {
            report["conversation"] = json!({"origin": {"type": "marketing"}});
            report["pricing"] = pricing;
        }
        json!({ "statuses": [report] })
    };
    let pricing = sent["delivered"]["statuses"][0]["pricing"].clone();
    let expected = json!({
        "messages": [{"id": sent["messages"][0]["id"]}],
        "sent": statuses("sent", Value::Null),
        "delivered": statuses("delivered", pricing),
    });
    assert_eq!(rebuilt_31, expected);
    let (rebuilt_34, _) = rebuilt("34");
    let expected = json!({"errors": [
        {"code": 131026, "title": "Message undeliverable", "details": "Message Undeliverable."},
    ]});
    assert_eq!(rebuilt_34, expected);
    let (rebuilt_35, sent) = rebuilt("35");
    assert_eq!(rebuilt_35, json!({ "messages": sent["messages"] }));
    let (rebuilt_37, _) = rebuilt("37");
    let failed = &rebuilt_37["failed"]["statuses"][0];
    assert_eq!(
        (&failed["timestamp"], &failed["errors"][0]["code"]),
        (&json!("1749690009"), &json!(131049))
    );
}
