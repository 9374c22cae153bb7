//! CSV as Excel reads it: byte order mark, delimiter, columns of status times, long numbers and texts.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::harness::{KEY_OF_ORGANIZATION, ORGANIZATION, Response, Service};

const MARK: &str = " ... [cut]";

impl Service {
    async fn csv(&self, path: &str) -> Response {
        let response = self.get_with(KEY_OF_ORGANIZATION, path).await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
        response
    }

    async fn post_message(&self, id: &str, fields: Value) {
        let mut body = json!({"data_event": "status_message", "id": id, "room_id": "r",
            "organization_id": ORGANIZATION, "status": "sent", "participant_type": "agent"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let response = self.post(body.to_string()).await;
        assert_eq!(response.json()["data"]["outcome"], "applied");
    }
}

/// Lines of a table by the names of its columns.
fn lines(bytes: &[u8], delimiter: u8) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(bytes);
    reader.deserialize().map(|line| line.unwrap()).collect()
}

#[sqlx::test]
async fn bom_and_delimiter_make_a_table_that_indonesian_excel_opens(db: PgPool) {
    let service = Service::start(db).await;
    service.post_message("m", json!({"text": "a; b, \"c\" é"})).await;
    let plain = service.csv("/v1/messages?format=csv").await;
    assert!(plain.bytes.starts_with(b"id,organization_id,"));
    let marked = service.csv("/v1/messages?format=csv&bom=true").await;
    assert_eq!(marked.bytes, [b"\xef\xbb\xbf", &plain.bytes[..]].concat());
    assert_eq!(service.csv("/v1/messages?format=csv&bom=false").await.bytes, plain.bytes);
    assert_eq!(service.csv("/v1/messages?format=csv&delimiter=,").await.bytes, plain.bytes);
    for path in ["/v1/messages?format=csv&delimiter=;", "/v1/messages?format=csv&delimiter=%3B"] {
        let response = service.csv(path).await;
        assert!(response.bytes.starts_with(b"id;organization_id;"), "{path}");
        assert_eq!(lines(&response.bytes, b';'), lines(&plain.bytes, b','), "{path}");
        assert_eq!(lines(&response.bytes, b';')[0]["text"], "a; b, \"c\" é");
    }
    for (query, message) in [
        ("format=csv&delimiter=x", "delimiter: must be `,` or `;`"),
        ("format=csv&bom=1", "bom: must be one of true, false"),
    ] {
        let path = format!("/v1/messages?{query}");
        let response = service.get_with(KEY_OF_ORGANIZATION, &path).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(response.json()["error"]["messages"], json!([message]), "{query}");
    }
    let page = service.data("/v1/messages").await;
    assert_eq!(service.data("/v1/messages?bom=true&delimiter=;").await, page, "ignored");
}

#[sqlx::test]
async fn every_status_time_has_a_column_of_its_own(db: PgPool) {
    let service = Service::start(db).await;
    service.post_message("m", json!({"created_at": "2025-06-12T02:00:00Z"})).await;
    service.post_message("m", json!({"status": "read"})).await;
    let message = service.data("/v1/messages/m").await;
    let paths = ["/v1/messages", "/v1/rooms/r/messages", "/v1/delivery-statuses"];
    for path in paths {
        let table = service.csv(&format!("{path}?format=csv")).await;
        let line = lines(&table.bytes, b',').remove(0);
        assert!(!line.contains_key("status_times"), "{path}");
        for status in ["created", "pending", "sent", "delivered", "read", "failed"] {
            for field in ["at", "source"] {
                let expected = message["status_times"][status][field].as_str().unwrap_or_default();
                assert_eq!(line[&format!("status_times.{status}.{field}")], expected, "{path}");
            }
        }
        assert_ne!(line["status_times.read.at"], "");
        assert_eq!(line["status_times.failed.at"], "");
    }
    // The last message of a room has them too.
    let table = service.csv("/v1/rooms?format=csv").await;
    assert!(String::from_utf8(table.bytes).unwrap().contains("last_message.status_times.read.at"));
}

#[sqlx::test]
async fn numbers_that_excel_would_round_are_texts(db: PgPool) {
    let service = Service::start(db).await;
    let cases = [
        ("123456789012345", "123456789012345"),
        ("1234567890123456", "'1234567890123456"),
        ("+6281234567890123", "'+6281234567890123"),
        ("-1234567890123456", "'-1234567890123456"),
        ("17841400008460056", "'17841400008460056"),
        ("1234567890123456a", "1234567890123456a"),
        ("bbad9ab7-b270-4339-a60f-aba6c2fac7a7", "bbad9ab7-b270-4339-a60f-aba6c2fac7a7"),
    ];
    for (id, expected) in cases {
        service.execute("truncate message, room").await;
        service.post_message(id, json!({"external_id": id})).await;
        let table = service.csv("/v1/messages?format=csv").await;
        let line = lines(&table.bytes, b',').remove(0);
        assert_eq!((line["id"].as_str(), line["external_id"].as_str()), (expected, expected));
        let exported = service.csv("/v1/messages?format=ndjson").await.json();
        assert_eq!(exported["id"], id);
    }
}

#[sqlx::test]
async fn cells_longer_than_excel_allows_are_cut_and_marked(db: PgPool) {
    const MAX: usize = 32_767;
    let service = Service::start(db).await;
    let cut = |text: &str, characters: usize| {
        text.chars().take(characters).chain(MARK.chars()).collect::<String>()
    };
    let (fits, ascii, accents) = ("a".repeat(MAX), "a".repeat(MAX + 1), "é".repeat(MAX + 1));
    let (few_accents, emoji) = ("é".repeat(MAX), "😊".repeat(20_000));
    let cases = [
        (&fits, fits.clone()),
        (&few_accents, few_accents.clone()),
        (&ascii, cut(&ascii, MAX - MARK.len())),
        (&accents, cut(&accents, MAX - MARK.len())),
        // Excel counts an emoji as two characters.
        (&emoji, cut(&emoji, (MAX - MARK.len()) / 2)),
    ];
    for (text, expected) in cases {
        service.execute("truncate message, room").await;
        service.post_message("m", json!({"text": text})).await;
        let table = service.csv("/v1/messages?format=csv").await;
        assert_eq!(table.headers["x-cell-limit"], format!("{MAX}; mark=\"{MARK}\""));
        let cell = lines(&table.bytes, b',').remove(0).remove("text").unwrap();
        assert!(cell == expected, "{} characters", cell.chars().count());
        assert!(cell.encode_utf16().count() <= MAX);
        let exported = service.csv("/v1/messages?format=ndjson").await;
        assert!(!exported.headers.contains_key("x-cell-limit"));
        assert_eq!(exported.json()["text"], **text);
    }
}
