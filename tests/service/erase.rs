//! Erasing a person or an organisation: rows, search and bodies are gone, a redelivery is recognised, and
//! neither a replay nor a second look brings anything back.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::binary::run;
use super::fixtures::{ALL, SITI_ROOM, body};
use super::harness::{ORGANIZATION, Service, settings};

/// Phone number of the customer Siti Rahmawati.
const SITI: &str = "6281200010001";

async fn erase(db: &PgPool, arguments: &[&str]) -> String {
    let arguments = [&["erase"], arguments].concat();
    let output = run(&settings(&db.connect_options()), &arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that the database has, as text, with decompressed bodies.
async fn everything(service: &Service) -> String {
    let mut text = String::new();
    for table in [
        "room",
        "message",
        "message_channel_id",
        "sender",
        "room_event",
        "response",
        "resolution",
        "broadcast_log",
        "facet",
        "erasure",
    ] {
        let sql = format!("select coalesce(string_agg(t::text, '\n'), '') from {table} as t");
        let rows: String =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&service.db).await.unwrap();
        text.push_str(&rows);
    }
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("select event_id from event").fetch_all(&service.db).await.unwrap();
    for id in ids {
        let response = service.get(&format!("/v1/events/{id}/body")).await;
        text.push_str(&String::from_utf8_lossy(&response.bytes));
    }
    text
}

#[sqlx::test]
async fn erased_person_is_gone_from_rows_search_and_bodies(db: PgPool) {
    let service = Service::start(db.clone()).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    // Its number in a body that cannot be identified.
    let quarantined = json!({ "phone": SITI, "note": "kembali besok" }).to_string();
    service.post(quarantined).await;
    let before = service.count("message").await;
    let printed = erase(&db, &["--phone", "0812-0001-0001", "--dry-run"]).await;
    assert!(printed.contains("room: 1 row(s) would be erased\n"), "{printed}");
    assert_eq!(service.count("message").await, before);
    assert!(everything(&service).await.contains(SITI));

    let printed = erase(&db, &["--phone", "0812-0001-0001"]).await;
    assert!(printed.contains("room: 1 row(s) erased\n"), "{printed}");
    assert_eq!(service.get(&format!("/v1/rooms/{SITI_ROOM}")).await.status, StatusCode::NOT_FOUND);
    let text = everything(&service).await;
    for secret in [SITI, "Siti Rahmawati", "081200010001", SITI_ROOM, "kembali besok"] {
        assert!(!text.contains(secret), "{secret}");
    }
    // Others are not.
    assert!(service.count("message").await > 0);
    assert!(text.contains("Budi Santoso"));
    let (kind, subject): (String, String) =
        sqlx::query_as("select kind, subject from erasure").fetch_one(&db).await.unwrap();
    assert_eq!((kind.as_str(), subject.as_str()), ("phone", "6281••••••001"));
    let printed = erase(&db, &["--phone", SITI]).await;
    assert!(printed.lines().all(|line| line.contains(": 0 row(s) erased")), "{printed}");
}

#[sqlx::test]
async fn redelivery_and_replay_bring_nothing_back(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let first = service.post(body("01")).await.json();
    service.post(body("31")).await;
    erase(&db, &["--phone", SITI]).await;
    let rooms = json!([]);
    let again = service.post(body("01")).await.json();
    assert_eq!(again["data"]["duplicate"], true, "{again}");
    assert_eq!(again["data"]["event_id"], first["data"]["event_id"]);
    assert_eq!(service.data("/v1/rooms").await, rooms);

    let settings = settings(&db.connect_options());
    let replayed = run(&settings, &["replay", "--all"]).await;
    let printed = String::from_utf8(replayed.stdout).unwrap();
    assert!(printed.contains("1 event(s) replayed, 0 with another outcome"), "{printed}");
    assert_eq!(service.data("/v1/rooms").await, rooms);
    let id = first["data"]["event_id"].as_str().unwrap();
    let one = run(&settings, &["replay", "--id", id]).await;
    assert!(one.status.success(), "{one:?}");
    assert_eq!(service.data("/v1/rooms").await, rooms);
    let path = format!("/v1/events/{id}");
    assert_eq!(service.data(&path).await["outcome"], "applied");
    let body = service.get(&format!("{path}/body")).await;
    assert_eq!(body.status, StatusCode::NOT_FOUND);
}

#[sqlx::test]
async fn contact_is_erased_by_its_id(db: PgPool) {
    let service = Service::start(db.clone()).await;
    for file in ["01", "07", "54"] {
        service.post(body(file)).await;
    }
    let messages = service.data("/v1/messages").await;
    let of_siti = |message: &&Value| {
        message["room_id"] == SITI_ROOM && message["participant_type"] == "customer"
    };
    let messages = messages.as_array().unwrap();
    let contact = messages.iter().find(of_siti).unwrap()["sender_id"].as_str().unwrap();
    let printed = erase(&db, &["--contact", contact]).await;
    assert!(printed.contains("message: 2 row(s) erased\n"), "{printed}");
    assert!(!everything(&service).await.contains("Siti Rahmawati"));
    assert_eq!(service.count("room").await, 1);
}

#[sqlx::test]
async fn organization_is_erased_from_every_table(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let other = String::from_utf8(body("01")).unwrap();
    let other = other.replace(ORGANIZATION, "another-organization").replace("1b6321cd", "aaaaaaaa");
    service.post(other).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    let printed = erase(&db, &["--organization", ORGANIZATION, "--dry-run"]).await;
    assert!(printed.contains("event: "), "{printed}");
    erase(&db, &["--organization", ORGANIZATION]).await;
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text from information_schema.columns
         where column_name in ('organization', 'organization_id') and table_schema = 'public'
             and table_name not like 'event%' and table_name <> 'organization'",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    for (table, column) in tables {
        let value = match column.as_str() {
            "organization" => format!("organization_number('{ORGANIZATION}')"),
            _ => format!("'{ORGANIZATION}'"),
        };
        let rows = service.count(&format!("{table} where {column} = {value}")).await;
        assert_eq!(rows, 0, "{table}");
    }
    let own = format!("event where organization = organization_number('{ORGANIZATION}')");
    assert!(service.count(&own).await > 0);
    let left = format!("{own} and length(body) > 0");
    assert_eq!(service.count(&left).await, 0);
    assert_eq!(
        service
            .count("room where organization = organization_number('another-organization')")
            .await,
        1
    );
}
