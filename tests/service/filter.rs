//! Filters of lists: spelling of words, several values, periods, organisations.

use axum::http::StatusCode;
use qontak_receiver::model::Timestamp;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::drift::replay;
use super::harness::{KEY_OF_ANOTHER, Service};

/// Posts a message in a room of the same id.
async fn post(service: &Service, id: &str, message: Value, room: Value) {
    let mut body = json!({"data_event": "status_message", "id": id, "room_id": id,
        "organization_id": "o", "created_at": "2025-06-12T02:00:00Z", "status": "sent",
        "participant_type": "agent", "type": "text"});
    body.as_object_mut().unwrap().extend(message.as_object().unwrap().clone());
    body["room"] = room;
    body["room"]["id"] = id.into();
    let response = service.post(body.to_string()).await;
    assert_eq!(response.json()["data"]["outcome"], "applied");
}

/// Ids of the rows of a list, sorted.
pub async fn ids(service: &Service, path: &str) -> Vec<String> {
    let rows = service.data(path).await;
    let id = |row: &Value| {
        let id = ["id", "message_id"].iter().find_map(|name| row[*name].as_str());
        id.unwrap().to_owned()
    };
    let mut ids: Vec<String> = rows.as_array().unwrap().iter().map(id).collect();
    ids.sort();
    ids
}

#[sqlx::test]
async fn words_match_in_any_case_and_with_surrounding_white_space(db: PgPool) {
    let service = Service::start(db).await;
    let room = json!({"status": " Resolved ", "channel": "wa_cloud", "tags": ["VIP"]});
    post(&service, "a", json!({"status": "FAILED"}), room).await;
    let room = json!({"status": "assigned", "channel": " WeChat"});
    post(&service, "b", json!({"status": "delivered", "type": "Image "}), room).await;
    let cases: [(&str, &[&str]); 31] = [
        ("/v1/rooms?status=resolved", &["a"]),
        ("/v1/rooms?status=Resolved", &["a"]),
        ("/v1/rooms?status=%20RESOLVED%20", &["a"]),
        ("/v1/rooms?channel=WA_CLOUD", &["a"]),
        ("/v1/rooms?channel=Wa_Cloud&status=RESOLVED", &["a"]),
        ("/v1/rooms?channel=WeChat", &["b"]),
        ("/v1/rooms?channel=wechat,WA_CLOUD", &["a", "b"]),
        ("/v1/messages?channel=WECHAT", &["b"]),
        ("/v1/delivery-statuses?channel=wechat", &["b"]),
        ("/api/open/v1/rooms?channels[]=WECHAT", &["b"]),
        // Tags are stored as they are sent.
        ("/v1/rooms?tag=VIP", &["a"]),
        ("/v1/rooms?tag=vip", &[]),
        ("/v1/rooms?response=Answered", &["a", "b"]),
        ("/v1/messages?status=failed", &["a"]),
        ("/v1/messages?status=FAILED", &["a"]),
        ("/v1/messages?status=%20Failed", &["a"]),
        ("/v1/messages?type=Text", &["a"]),
        ("/v1/messages?type=TEXT", &["a"]),
        ("/v1/messages?type=Image", &["b"]),
        ("/v1/messages?type=image", &["b"]),
        ("/v1/messages?type=%20IMAGE,video", &["b"]),
        ("/v1/messages?direction=OUT", &["a", "b"]),
        ("/v1/messages?direction=Customer", &[]),
        ("/v1/delivery-statuses?status=DELIVERED", &["b"]),
        ("/v1/delivery-statuses?status=Failed", &["a"]),
        ("/api/open/v1/rooms?status=Resolved", &["a"]),
        ("/api/open/v1/rooms?status[]=Resolved&status[]=ASSIGNED", &["a", "b"]),
        ("/api/open/v1/rooms?untagged=TRUE", &["b"]),
        ("/api/open/v1/rooms?response_status=Responded", &["a", "b"]),
        ("/v1/rooms?session=OPEN", &[]),
        ("/v1/events?kind=ROOM_RESOLVED", &[]),
    ];
    for (path, expected) in cases {
        assert_eq!(ids(&service, path).await, expected, "{path}");
    }
    let events = service.data("/v1/events?kind=Status_Message&outcome=APPLIED").await;
    assert_eq!(events.as_array().unwrap().len(), 2);
    let events = service.data("/v1/events?name=%20Status_MESSAGE").await;
    assert_eq!(events.as_array().unwrap().len(), 2);
    // Drop-downs offer the words that filters and figures use.
    let facets = service.data("/v1/facets").await;
    assert_eq!(facets["channels"]["values"], json!(["wa_cloud", "wechat"]));
    assert_eq!(facets["message_types"]["values"], json!(["image", "text"]));
}

#[sqlx::test]
async fn replay_brings_stored_words_to_the_current_reading(db: PgPool) {
    let service = Service::start(db).await;
    post(&service, "a", json!({"type": "Image"}), json!({"channel": "WA_Cloud"})).await;
    // As an older version has stored them.
    service
        .execute(
            "update room set channel = 'WA_Cloud';
             update message set type = 'Image', channel = 'WA_Cloud';
             update event set parser_version = 6",
        )
        .await;
    assert!(ids(&service, "/v1/rooms?channel=wa_cloud").await.is_empty());
    let event = service.data("/v1/events").await[0]["event_id"].take();
    assert_eq!(replay(&service, &event).await, "applied");
    for path in ["/v1/rooms?channel=wa_cloud", "/v1/messages?type=image&channel=wa_cloud"] {
        assert_eq!(ids(&service, path).await, ["a"], "{path}");
    }
}

#[sqlx::test]
async fn session_of_qontaks_route_may_be_written_as_a_list(db: PgPool) {
    let service = Service::start(db).await;
    post(&service, "a", json!({}), json!({"session_at": "2025-06-12T02:00:00Z"})).await;
    post(&service, "b", json!({}), json!({"session_at": Timestamp::now()})).await;
    for (query, expected) in [("open", ["b"]), ("expired", ["a"])] {
        for name in ["sessions", "sessions[]", "sessions[0]"] {
            let path = format!("/api/open/v1/rooms?{name}={query}");
            assert_eq!(ids(&service, &path).await, expected, "{path}");
        }
    }
}

#[sqlx::test]
async fn word_that_can_never_occur_is_rejected_with_the_known_words(db: PgPool) {
    let service = Service::start(db).await;
    let statuses = "must be one of created, pending, sent, failed, delivered, read";
    let many_codes = format!("/v1/delivery-statuses?error=1{}", ",1".repeat(100));
    let cases = [
        ("/v1/messages?status=faild", format!("status: {statuses}")),
        ("/v1/messages?status=sent,faild", format!("status: {statuses}")),
        ("/v1/delivery-statuses?status=faild", format!("status: {statuses}")),
        ("/v1/broadcasts/b/logs?status=faild", format!("status: {statuses}")),
        ("/v1/rooms?status=%20", "status: must not be blank".to_owned()),
        ("/v1/rooms?status=", "status: must be up to 100 values, none empty".to_owned()),
        ("/v1/rooms?status=,", "status: must be up to 100 values, none empty".to_owned()),
        ("/v1/rooms?tag=%20,%20", "tag: must be up to 100 values, none empty".to_owned()),
        (many_codes.as_str(), "error: must be up to 100 values, none empty".to_owned()),
        ("/api/open/v1/rooms?status=%20", "status: must not be blank".to_owned()),
    ];
    for (path, message) in cases {
        let response = service.get(path).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(response.json()["error"]["messages"], json!([message]), "{path}");
    }
}

#[sqlx::test]
async fn several_values_match_rows_with_any_of_them(db: PgPool) {
    let service = Service::start(db).await;
    for (id, status, kind, room_status, channel, tag) in [
        ("a", "sent", "text", "assigned", "wa_cloud", "vip"),
        ("b", "failed", "image", "unassigned", "ig", "new"),
        ("c", "read", "document", "resolved", "web_chat", "vip,new"),
    ] {
        let room = json!({"status": room_status, "channel": channel, "tags": [tag]});
        post(&service, id, json!({"status": status, "type": kind}), room).await;
    }
    // `agent_ids` are part of room events only.
    for id in ["a", "b", "c"] {
        let body = json!({"data_event": "room_created", "id": id, "organization_id": "o",
            "agent_ids": [format!("agent-{id}")], "updated_at": "2025-06-12T02:00:00Z"});
        service.post(body.to_string()).await;
    }
    let cases: [(&str, &[&str]); 17] = [
        ("/v1/rooms?status=assigned,unassigned", &["a", "b"]),
        ("/v1/rooms?status=assigned&status=unassigned", &["a", "b"]),
        ("/v1/rooms?status[]=assigned&status[]=resolved", &["a", "c"]),
        ("/v1/rooms?status=Assigned,%20RESOLVED", &["a", "c"]),
        ("/v1/rooms?channel=ig,web_chat", &["b", "c"]),
        ("/v1/rooms?channel=ig&channel=wa_cloud", &["a", "b"]),
        ("/v1/rooms?agent=agent-a,agent-b", &["a", "b"]),
        ("/v1/rooms?agent=agent-a&agent=agent-c", &["a", "c"]),
        ("/v1/rooms?tag=vip&tag=new", &["a", "b"]),
        ("/v1/rooms?tag=vip", &["a"]),
        // A tag may contain a comma.
        ("/v1/rooms?tag=vip,new", &["a", "b", "c"]),
        ("/v1/rooms?status=assigned,unassigned&channel=ig", &["b"]),
        ("/v1/messages?status=sent,failed", &["a", "b"]),
        ("/v1/messages?status=read&status=failed", &["b", "c"]),
        ("/v1/messages?type=image,document", &["b", "c"]),
        ("/v1/messages?type=text&type=Document", &["a", "c"]),
        ("/v1/messages?type=text,image&status=failed,read", &["b"]),
    ];
    for (path, expected) in cases {
        assert_eq!(ids(&service, path).await, expected, "{path}");
    }
}

#[sqlx::test]
async fn end_date_before_start_date_is_rejected_by_every_list(db: PgPool) {
    let service = Service::start(db).await;
    for path in [
        "/v1/rooms",
        "/v1/messages",
        "/v1/delivery-statuses",
        "/v1/broadcasts",
        "/v1/events",
        "/v1/ledger",
        "/v1/stats",
        "/api/open/v1/rooms",
    ] {
        for period in [
            "start_date=2025-06-13&end_date=2025-06-11",
            "start_date=2025-06-12T03:00:00Z&end_date=2025-06-12T02:59:59Z",
        ] {
            let response = service.get(&format!("{path}?{period}")).await;
            assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}?{period}");
            let messages = response.json()["error"]["messages"].take();
            assert_eq!(messages, json!(["end_date: must be after start_date"]), "{path}");
        }
        let day = "start_date=2025-06-12&end_date=2025-06-12";
        assert_eq!(service.get(&format!("{path}?{day}")).await.status, StatusCode::OK, "{path}");
    }
}

/// Paths of lists, each with the number of rows of organisation `a`, and of all.
const LISTS: [(&str, usize, usize); 6] = [
    ("/v1/rooms", 1, 2),
    ("/v1/messages", 1, 2),
    ("/v1/delivery-statuses", 1, 2),
    ("/v1/broadcasts", 1, 2),
    ("/v1/events", 2, 4),
    ("/v1/organizations", 1, 2),
];

/// Posts a message and a broadcast log with the same ids in two organisations.
async fn post_to_two_organizations(service: &Service) {
    for organization in ["a", "another-organization"] {
        let message = json!({"organization_id": organization, "text": organization});
        post(service, "same", message, json!({"name": organization})).await;
        let log = json!({"data_event": "broadcast_log_status", "id": "log", "status": "read",
            "organization_id": organization, "messages_broadcast_id": "broadcast",
            "contact_full_name": organization, "messages_broadcast_template_id": "t"});
        service.post(log.to_string()).await;
    }
}

#[sqlx::test]
async fn organization_id_narrows_every_list_to_one_organisation(db: PgPool) {
    let service = Service::start(db).await;
    post_to_two_organizations(&service).await;
    let count = async |path: &str| service.data(path).await.as_array().unwrap().len();
    for (path, one, all) in LISTS {
        // A log and its message are two deliveries: the message has no id at the channel.
        let times = if path == "/v1/delivery-statuses" { 2 } else { 1 };
        assert_eq!(count(path).await, times * all, "{path}");
        assert_eq!(count(&format!("{path}?organization_id=a")).await, times * one, "{path}");
        assert_eq!(count(&format!("{path}?organization_id=none")).await, 0, "{path}");
    }
    let received = async |path: &str| service.data(path).await[0]["received"].as_i64();
    assert_eq!(received("/v1/ledger").await, Some(4));
    assert_eq!(received("/v1/ledger?organization_id=a").await, Some(2));
    let day = "start_date=2025-06-12&end_date=2025-06-12";
    let messages = async |query: &str| {
        service.data(&format!("/v1/stats?{day}{query}")).await["messages"][0]["out"].as_i64()
    };
    assert_eq!(messages("").await, Some(2));
    assert_eq!(messages("&organization_id=a").await, Some(1));
    assert_eq!(messages("&organization_id=none").await, None);
}

#[sqlx::test]
async fn organization_id_opens_an_id_that_two_organisations_use(db: PgPool) {
    let service = Service::start(db).await;
    post_to_two_organizations(&service).await;
    let cases = [
        ("/v1/rooms/same", "/name"),
        ("/v1/rooms/same/messages", "/0/text"),
        ("/v1/messages/same", "/text"),
        ("/v1/broadcasts/broadcast", "/organization_id"),
        ("/v1/broadcasts/broadcast/logs", "/0/contact_full_name"),
        ("/v1/trace/same", "/messages/0/text"),
    ];
    for organization in ["a", "another-organization"] {
        for (path, place) in cases {
            let path = format!("{path}?organization_id={organization}");
            assert_eq!(
                service.data(&path).await.pointer(place),
                Some(&json!(organization)),
                "{path}"
            );
        }
    }
}

#[sqlx::test]
async fn organization_id_of_an_organisation_that_the_key_may_not_see_is_a_404(db: PgPool) {
    let service = Service::start(db).await;
    post_to_two_organizations(&service).await;
    for path in LISTS.map(|(path, ..)| path).into_iter().chain([
        "/v1/ledger",
        "/v1/stats",
        "/v1/stream",
        "/v1/rooms/same",
        "/v1/trace/same",
    ]) {
        let path = format!("{path}?organization_id=a");
        let response = service.get_with(KEY_OF_ANOTHER, &path).await;
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(response.json()["error"]["messages"], json!(["not found"]), "{path}");
    }
    let own = "/v1/rooms?organization_id=another-organization";
    let rooms = service.get_with(KEY_OF_ANOTHER, own).await.json();
    assert_eq!(rooms["data"].as_array().unwrap().len(), 1);
}
