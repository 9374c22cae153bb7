//! Rows that older versions wrote keep their meaning after a migration.

use std::borrow::Cow;

use qontak_receiver::model::Timestamp;
use qontak_receiver::store;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use uuid::Uuid;

use super::harness::{ORGANIZATION, Service};

/// Runs the migrations up to this version.
async fn migrate_to(db: &PgPool, version: i64) {
    let mut migrator: Migrator = sqlx::migrate!();
    let older = migrator.iter().filter(|migration| migration.version <= version).cloned();
    migrator.migrations = Cow::Owned(older.collect());
    migrator.run(db).await.unwrap();
}

/// Fold key before version 32: clock and earlier time in microseconds since 2015, rank of the status.
fn old_key(clock: Timestamp, earlier: Timestamp, rank: u128) -> Uuid {
    let micros = |time: Timestamp| {
        u128::from((time.0.timestamp_micros() - 1_420_070_400_000_000 + 1).unsigned_abs())
    };
    Uuid::from_u128(((micros(clock) << 52 | micros(earlier)) << 3 | rank) << 21 | 0x1f_ffff)
}

#[sqlx::test(migrations = false)]
async fn rooms_and_messages_written_before_version_32_are_merged_with_newer_events(db: PgPool) {
    migrate_to(&db, 31).await;
    let at = |minute: u8| format!("2025-06-12T02:{minute:02}:00.000Z");
    let time = |minute| Timestamp::parse(&at(minute)).unwrap();
    let ahead = Timestamp(Timestamp::now().0 + chrono::TimeDelta::hours(7));
    let insert =
        "insert into room (organization_id, room_id, received_at, clock, name, status, key,
            fields, key_fields, keys)
        values ($1, $2, now(), $3, 'old', $4, $5, 5, $6, $7)";
    // The name is from an older snapshot than the status.
    let lagging: Vec<Option<Uuid>> = std::iter::once(Some(old_key(time(5), time(5), 0)))
        .chain(std::iter::repeat_n(None, 30))
        .collect();
    for (room, clock, earlier, key_fields, keys) in [
        ("plain", time(10), time(5), 5, None),
        ("lagging", time(10), time(10), 4, Some(lagging)),
        ("ahead", ahead, ahead, 5, None),
    ] {
        sqlx::query(insert)
            .bind(ORGANIZATION)
            .bind(room)
            .bind(clock)
            .bind("assigned")
            .bind(old_key(clock, earlier, 3))
            .bind(key_fields)
            .bind(keys)
            .execute(&db)
            .await
            .unwrap();
    }
    sqlx::raw_sql(
        "insert into message (organization_id, message_id, room_id, received_at, created_at, text,
            text_rank, sender_id, sent_seen_at)
         values ('', 'edited', 'plain', now(), '2025-06-12T02:20Z', 'old',
                '0197a1b2-0000-7000-8000-000000000000', 'z', now()),
            ('', 'sent', 'plain', now(), '2025-06-12T02:20Z', 'old',
                '00000000-0000-0000-0000-000000000001', 'z', now());
         update message set organization_id = '7d3530db-085f-4a59-b83b-205d470ad746'",
    )
    .execute(&db)
    .await
    .unwrap();
    store::migrate(&db).await.unwrap();

    let service = Service::start(db).await;
    let snapshot = |room: &str, at: &str, more: Value| {
        let mut body = json!({"data_event": "room_updated", "id": room, "channel": "wa",
            "channel_integration_id": "c", "organization_id": ORGANIZATION,
            "last_activity_at": at});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let shown = async |room: &str| {
        let room = service.data(&format!("/v1/rooms/{room}")).await;
        (room["name"].clone(), room["status"].clone())
    };
    let named = |name: &str| json!({"name": name, "status": "unassigned"});
    assert_eq!(service.data("/v1/rooms/plain").await["activity_at"], at(20));
    service.post(snapshot("plain", &at(9), named("older"))).await;
    assert_eq!(shown("plain").await, (json!("old"), json!("assigned")));
    service.post(snapshot("lagging", &at(9), named("older"))).await;
    assert_eq!(shown("lagging").await, (json!("older"), json!("assigned")));
    for room in ["plain", "lagging"] {
        service.post(snapshot(room, &at(11), named("newer"))).await;
        assert_eq!(shown(room).await, (json!("newer"), json!("unassigned")), "{room}");
    }
    service.post(snapshot("ahead", &Timestamp::now().to_string(), named("newer"))).await;
    assert_eq!(shown("ahead").await, (json!("newer"), json!("unassigned")));

    for (message, is_edited) in [("edited", true), ("sent", false)] {
        let body = json!({"data_event": "status_message", "id": message, "status": "read",
            "organization_id": ORGANIZATION, "text": "new", "is_edited": is_edited,
            "sender_id": "a", "created_at": at(20), "room": {"id": "plain"}});
        service.post(body.to_string()).await;
        let message = service.data(&format!("/v1/messages/{message}")).await;
        assert_eq!((&message["text"], &message["sender_id"]), (&json!("new"), &json!("a")));
    }
}
