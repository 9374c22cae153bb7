//! Exports of lists as CSV and NDJSON: formats, cursors, failures and memory.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::binary::Process;
use super::fixtures::{ALL, SITI_ROOM};
use super::harness::{KEY_OF_ALL, KEY_OF_ORGANIZATION, ORGANIZATION, Response, Service, settings};

const NDJSON: &str = "application/x-ndjson";

const LISTS: [&str; 6] = [
    "/v1/rooms",
    "/v1/rooms/24a60fba-3bc1-4694-9f51-66c4b74d1978/messages",
    "/v1/broadcasts",
    "/v1/broadcasts/5ea8c3f9-65f3-494a-97f4-1ad64958d1dc/logs",
    "/v1/events",
    "/v1/ledger",
];

fn export_request(path: &str, accept: &str) -> Request<Body> {
    let request = Request::get(path).header(ACCEPT, accept);
    let request = request.header(AUTHORIZATION, format!("Bearer {KEY_OF_ORGANIZATION}"));
    request.body(Body::empty()).unwrap()
}

impl Service {
    async fn export(&self, path: &str) -> Response {
        self.send(export_request(path, NDJSON)).await
    }

    /// A page as JSON, read with a key that may also export.
    async fn page(&self, path: &str) -> Value {
        self.get_with(KEY_OF_ORGANIZATION, path).await.json()
    }

    /// Inserts this many hours into the ledger.
    async fn fill_ledger(&self, hours: usize) {
        self.execute(&format!(
            "insert into ledger
             select '2026-01-01'::timestamptz + hour * interval '1 hour', '{ORGANIZATION}',
                 gen_random_uuid(), hour, hour, 0, 0, 0, 0
             from generate_series(1, {hours}) as hour"
        ))
        .await;
    }
}

/// Rows of an NDJSON export.
fn rows(response: &Response) -> Vec<Value> {
    assert_eq!(response.status, StatusCode::OK);
    let lines = response.bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| serde_json::from_slice(line.strip_suffix(b"\n").unwrap()).unwrap()).collect()
}

#[sqlx::test]
async fn total_is_counted_only_on_request_and_is_capped(db: PgPool) {
    let service = Service::start(db).await;
    service.fill_ledger(1234).await;
    let total = async |query: &str| {
        let page = service.page(&format!("/v1/ledger?limit=2{query}")).await;
        assert_eq!(page["data"].as_array().unwrap().len(), 2);
        page["meta"]["pagination"].get("total").cloned()
    };
    assert_eq!(total("").await, None);
    assert_eq!(total("&is_counted=false").await, None);
    assert_eq!(total("&is_counted=true").await, Some(json!(1234)));
    let page = service.page("/v1/ledger?limit=2&is_counted=true").await;
    let next = page["meta"]["pagination"]["cursor"]["next"].as_str().unwrap();
    assert_eq!(total(&format!("&is_counted=true&cursor={next}")).await, Some(json!(1234)));
    assert_eq!(total(&format!("&cursor={next}")).await, None);
    service.execute("delete from ledger").await;
    service.fill_ledger(10_700).await;
    assert_eq!(total("&is_counted=true").await, Some(json!(10_000)));
}

#[sqlx::test]
async fn ndjson_exports_contain_the_same_rows_as_json_pages(db: PgPool) {
    let service = Service::start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    for path in LISTS {
        let page = service.page(path).await;
        let export = service.export(path).await;
        assert_eq!(export.headers["content-type"], "application/x-ndjson; charset=utf-8");
        let file = export.headers["content-disposition"].to_str().unwrap();
        let list = path.rsplit('/').next().unwrap();
        let start = format!("attachment; filename=\"{list}-20");
        assert!(file.starts_with(&start) && file.ends_with(".ndjson\""), "{file}");
        assert_eq!(json!(rows(&export)), page["data"], "{path}");
        assert_eq!(service.export(&format!("{path}?format=json")).await.json(), page, "{path}");
    }
    let path = "/v1/events?kind=status_message&outcome=applied";
    let export = service.export(path).await;
    assert_eq!(json!(rows(&export)), service.page(path).await["data"]);
    assert_eq!(export.bytes, service.export(&format!("{path}&format=ndjson")).await.bytes);
}

/// Columns of a CSV export, and its lines as cells by column.
fn cells(response: &Response) -> (Vec<String>, Vec<BTreeMap<String, String>>) {
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.headers["content-type"], "text/csv; charset=utf-8");
    let mut reader = csv::Reader::from_reader(&response.bytes[..]);
    let columns = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (columns, reader.deserialize().map(|line| line.unwrap()).collect())
}

/// Checks that every field of a row is in the cell of its column.
fn assert_field_in_cells(value: &Value, path: &str, line: &BTreeMap<String, String>) {
    match (line.get(path), value) {
        (Some(cell), Value::String(text)) => {
            let is_rounded = text.len() > 15 && text.bytes().all(|byte| byte.is_ascii_digit());
            let quote = if is_rounded { "'" } else { "" };
            assert_eq!(*cell, format!("{quote}{text}"), "{path}");
        }
        (Some(cell), Value::Null) => assert_eq!(cell, "", "{path}"),
        (Some(cell), other) => assert_eq!(&serde_json::from_str::<Value>(cell).unwrap(), other),
        (None, Value::Object(fields)) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                assert_field_in_cells(field, &path, line);
            }
        }
        (None, Value::Null) => {
            let inside = format!("{path}.");
            assert!(line.keys().any(|column| column.starts_with(&inside)), "no column {path}");
            let mut cells = line.iter().filter(|(column, _)| column.starts_with(&inside));
            assert!(cells.all(|(_, cell)| cell.is_empty()), "{path}");
        }
        (None, _) => panic!("no column {path}"),
    }
}

#[sqlx::test]
async fn csv_exports_have_a_column_for_every_field(db: PgPool) {
    let service = Service::start(db).await;
    let mut empty = Vec::new();
    for path in LISTS.iter().filter(|path| path.matches('/').count() == 2) {
        empty.push((path, cells(&service.send(export_request(path, "text/csv")).await)));
    }
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    for path in LISTS {
        let (columns, lines) = cells(&service.send(export_request(path, "text/csv")).await);
        let page = service.page(path).await;
        let rows = page["data"].as_array().unwrap();
        assert!(!rows.is_empty() && lines.len() == rows.len(), "{path}");
        for (row, line) in rows.iter().zip(&lines) {
            assert_eq!(line.len(), columns.len(), "{path}: duplicate column names");
            assert_field_in_cells(row, "", line);
        }
        let export = service.export(&format!("{path}?format=csv&limit=1")).await;
        let file = export.headers["content-disposition"].to_str().unwrap();
        assert!(file.ends_with(".csv\""), "{file}");
        let text = String::from_utf8(export.bytes).unwrap();
        assert!(text.starts_with(&format!("{}\r\n", columns.join(","))) && text.ends_with("\r\n"));
        if let Some((_, (names, lines))) = empty.iter().find(|(list, _)| **list == path) {
            assert_eq!((names, lines.len()), (&columns, 0), "{path}: empty list");
        }
    }
}

#[sqlx::test]
async fn csv_exports_escape_spreadsheet_formulas(db: PgPool) {
    let service = Service::start(db).await;
    let texts = [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+62-812-1111", "'+62-812-1111"),
        ("+SUM(1)", "'+SUM(1)"),
        ("-", "'-"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "\t'=1"),
        ("\r=1", "\r'=1"),
        ("\n=1", "\n'=1"),
        (" =1", "' =1"),
        ("＝1", "'＝1"),
        // A spreadsheet may use another separator than a comma.
        ("a;=1+1", "a;'=1+1"),
        ("a; \"=1+1\";-b", "a;' \"=1+1\";'-b"),
        ("a\t@b\n=c\r\n+d;", "a\t'@b\n'=c\r\n'+d;"),
        ("a; +6281200010001; b=c", "a; +6281200010001; b=c"),
        // Plain phone numbers and negative numbers are not escaped.
        ("+6281200010001", "+6281200010001"),
        ("-5", "-5"),
        ("1+1=2", "1+1=2"),
        ("say \"hi\",\r\nthen go; é 🙂", "say \"hi\",\r\nthen go; é 🙂"),
    ];
    for (text, expected) in texts {
        let body = json!({"data_event": "status_message", "id": text, "room_id": "r",
            "organization_id": ORGANIZATION, "text": text, "status": "sent"});
        service.execute("truncate message, room").await;
        service.post(body.to_string()).await;
        let (_, lines) = cells(&service.send(export_request("/v1/messages", "text/csv")).await);
        assert_eq!(lines.len(), 1, "{text:?}");
        assert_eq!(lines[0]["text"], expected);
    }
    // Texts in lists are escaped too; the list stays valid JSON.
    let body = json!({"data_event": "status_message", "id": "m", "room_id": "r", "status": "sent",
        "organization_id": ORGANIZATION, "buttons": ["a;=1"]});
    service.execute("truncate message, room").await;
    service.post(body.to_string()).await;
    let (_, lines) = cells(&service.send(export_request("/v1/messages", "text/csv")).await);
    assert_eq!(lines[0]["buttons"], r#"["a;'=1"]"#);
}

#[sqlx::test]
async fn exports_contain_all_rows_in_order_starting_at_the_cursor(db: PgPool) {
    let service = Service::start(db).await;
    service.fill_ledger(1234).await;
    let hours = |rows: &[Value]| -> Vec<i64> {
        rows.iter().map(|row| row["received"].as_i64().unwrap()).collect()
    };
    let all = hours(&rows(&service.export("/v1/ledger").await));
    assert_eq!(all, (1..=1234).rev().collect::<Vec<_>>());

    let first = service.page("/v1/ledger?limit=34").await;
    let next = first["meta"]["pagination"]["cursor"]["next"].as_str().unwrap();
    let rest = hours(&rows(&service.export(&format!("/v1/ledger?cursor={next}")).await));
    assert_eq!(rest, (1..=1200).rev().collect::<Vec<_>>());
    let second = service.page(&format!("/v1/ledger?limit=6&cursor={next}")).await;
    let prev = second["meta"]["pagination"]["cursor"]["prev"].as_str().unwrap();
    let before = hours(&rows(&service.export(&format!("/v1/ledger?cursor={prev}")).await));
    assert_eq!(before, (1201..=1234).collect::<Vec<_>>(), "rows before the cursor");

    for (limit, expected) in [(1, 1), (500, 500), (501, 501), (1000, 1000), (9999, 1234)] {
        let some = rows(&service.export(&format!("/v1/ledger?limit={limit}")).await);
        assert_eq!(some.len(), expected);
    }
}

#[sqlx::test]
async fn exports_require_the_export_scope(db: PgPool) {
    let service = Service::start(db).await;
    let response = service.get_with(KEY_OF_ALL, "/v1/rooms?format=ndjson").await;
    assert_eq!(response.status, StatusCode::FORBIDDEN);
    assert_eq!(response.json()["error"]["messages"], json!(["API key lacks the scope `export`"]));
    let response = service.get_with(KEY_OF_ORGANIZATION, "/v1/rooms?format=xml&limit=0").await;
    assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
    let missing = format!("/v1/rooms/{SITI_ROOM}/messages?format=ndjson");
    assert_eq!(service.export(&missing).await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test]
async fn response_format_follows_the_accept_header_preference(db: PgPool) {
    let service = Service::start(db).await;
    service.fill_ledger(1).await;
    let cases = [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, */*;q=0.8", "application/json"),
        ("application/json, application/x-ndjson", "application/json"),
        ("application/json;q=0.5, Application/X-NDJSON; charset=utf-8; q=0.6", NDJSON),
        ("application/x-ndjson;q=0", "application/json"),
        ("application/x-ndjson;q=much", "application/json"),
    ];
    for (accept, expected) in cases {
        let response = service.send(export_request("/v1/ledger", accept)).await;
        let media_type = response.headers["content-type"].to_str().unwrap();
        assert_eq!(media_type.split(';').next(), Some(expected), "{accept}");
    }
}

#[sqlx::test]
async fn export_failing_midway_aborts_the_response(db: PgPool) {
    let service = Service::start(db).await;
    service.fill_ledger(2000).await;
    let response = service.respond(export_request("/v1/ledger", NDJSON)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    service.execute("alter table ledger rename to gone").await;
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return;
        }
    }
    panic!("the response ended without an error, so it looks complete");
}

#[sqlx::test]
async fn export_failing_before_the_first_row_returns_503(db: PgPool) {
    let service = Service::start(db).await;
    service.execute("alter table ledger rename to gone").await;
    let response = service.export("/v1/ledger").await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.json()["error"]["code"], 503);
}

/// Inserts messages of 2 KB each into one room.
async fn fill_messages(db: &PgPool, messages: usize) {
    let sql = format!(
        "insert into message (
             organization, message_id, room_id, received_at, created_at, text, text_rank,
             sent_seen_at
         )
         select (number_organizations(array['{ORGANIZATION}']))[1], 'm-' || i, 'r', now(), '2026-01-01'::timestamptz + i * interval '1 s',
             repeat('Halo kak, ', 200), gen_random_uuid(), now()
         from generate_series(1, {messages}) as i;
         call rebuild_derived_columns('message')"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.unwrap();
    sqlx::raw_sql("analyze message").execute(db).await.unwrap();
}

#[sqlx::test]
async fn large_exports_to_slow_clients_use_bounded_memory(db: PgPool) {
    const ROWS: usize = 30_000;
    fill_messages(&db, ROWS).await;
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__DATABASE__READ_CONNECTIONS".into(), "1".into());
    let service = Process::start(settings).await;
    let client = reqwest::Client::new();
    let get = |query: &str| {
        let request = client.get(format!("{}/v1/messages?{query}", service.url));
        request.bearer_auth(KEY_OF_ORGANIZATION).send()
    };
    // Warm up, so that only the memory of the large exports is measured.
    for format in ["csv", "ndjson"] {
        get(&format!("format={format}&limit=2000")).await.unwrap().bytes().await.unwrap();
    }
    let before = service.peak_resident_mib();
    for format in ["csv", "ndjson"] {
        let mut slow = get(&format!("format={format}")).await.unwrap();
        let mut bytes = slow.chunk().await.unwrap().unwrap().len();
        let mut lines = 0;
        // The only database connection is free while the export waits for its client.
        for _ in 0..3 {
            assert_eq!(get("limit=1").await.unwrap().status(), 200);
        }
        while let Some(chunk) = slow.chunk().await.unwrap() {
            bytes += chunk.len();
            lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        }
        assert!(bytes > 60 << 20, "{bytes}");
        // The lines of the first chunk are not counted.
        assert!((ROWS - 500..=ROWS + 1).contains(&lines), "{lines}");
    }
    let more = service.peak_resident_mib() - before;
    assert!(more < 24, "{more} MiB more");
}
