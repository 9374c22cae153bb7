//! Search with the parameter `q`: messages by words, rooms by names and numbers.

use axum::http::StatusCode;
use qontak_receiver::store::{self, search};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::harness::{KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, ORGANIZATION, Service};
use super::read::read_all_pages;

/// Service with rooms of these names and accounts, each with a message of this text.
async fn service_with_rooms(db: PgPool, rooms: &[(&str, &str, &str)]) -> Service {
    search::sync_indexes(&db, true).await.unwrap();
    let service = Service::start(db).await;
    for (n, (name, account, text)) in rooms.iter().enumerate() {
        let at = format!("2025-06-12T02:{n:02}:00.000Z");
        let body = json!({
            "data_event": "receive_message_from_customer", "id": format!("m{n}"), "type": "text",
            "room_id": format!("r{n}"), "organization_id": ORGANIZATION, "text": text,
            "sender_type": "Models::Contact", "participant_type": "customer", "status": "created",
            "created_at": at,
            "room": {"id": format!("r{n}"), "name": name, "account_uniq_id": account,
                "organization_id": ORGANIZATION, "last_activity_at": at, "updated_at": at},
        });
        assert_eq!(service.post(body.to_string()).await.json()["data"]["outcome"], "applied");
    }
    service
}

async fn ids(service: &Service, path: &str, q: &str) -> Vec<String> {
    let q: String = q.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let rows = service.data(&format!("{path}q={q}")).await;
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[sqlx::test]
async fn message_search_finds_words_and_numbers_newest_first(db: PgPool) {
    let texts = [
        "Halo Kak, kemeja batik ukuran L masih ada?",
        "ok",
        "Oke, terima kasih!",
        "Ya. OK😊",
        "yang mana? hubungi 081234567890",
        "it's café-style, isn't it",
        "nomor saya +6281234567890",
        "Pesanan 2025-06-0012 tanggal 12/06/2025, Rp 1.500.000",
        "hubungi 0812-7777-8888, resi 0123-4567-8901",
    ];
    let rooms: Vec<_> = texts.iter().map(|text| ("Siti", "1", *text)).collect();
    let service = service_with_rooms(db, &rooms).await;
    let cases: [(&str, &[&str]); 22] = [
        // A short word matches a whole word, a longer one a prefix, at any position.
        ("ok", &["m3", "m1"]),
        ("ya", &["m3"]),
        ("Terima kas", &["m2"]),
        ("BATIK halo", &["m0"]),
        ("batik ok", &[]),
        ("atik", &[]),
        ("kak,", &["m0"]),
        ("café", &["m5"]),
        // A phone number matches in any format.
        ("081234567890", &["m6", "m4"]),
        ("+62 812-3456-7890", &["m6", "m4"]),
        ("6281234", &["m6", "m4"]),
        ("it's", &["m5"]),
        ("zzz", &[]),
        // Numbers match as they are written in the text.
        ("2025-06-0012", &["m7"]),
        ("12/06/2025", &["m7"]),
        ("1.500.000", &["m7"]),
        ("0812-7777-8888", &["m8"]),
        ("0123-4567-8901", &["m8"]),
        ("Pesanan 2025-06-0012", &["m7"]),
        ("2025-06-0013", &[]),
        ("1,500,000", &["m7"]),
        ("0123-4567", &["m8"]),
    ];
    for (q, expected) in cases {
        assert_eq!(ids(&service, "/v1/messages?", q).await, expected, "{q}");
    }
    assert_eq!(ids(&service, "/v1/messages?room_id=r1&", "ok").await, ["m1"]);
    service
        .execute(
            "update message set external_id = 'wamid.' || message_id;
             insert into message_channel_id (hash, organization, message_id)
             select hashtextextended(external_id, 0), organization, message_id from message",
        )
        .await;
    assert_eq!(ids(&service, "/v1/messages?external_id=wamid.m1&", "ok").await, ["m1"]);
    assert_eq!(ids(&service, "/v1/messages?external_id=wamid.m2&", "ok").await, [""; 0]);
    assert_eq!(ids(&service, "/v1/messages?direction=out&", "ok").await, [""; 0]);
    for (key, expected) in [(KEY_OF_ORGANIZATION, 2), (KEY_OF_ANOTHER, 0)] {
        let found = service.get_with(key, "/v1/messages?q=ok").await.json();
        assert_eq!(found["data"].as_array().unwrap().len(), expected, "{key}");
    }
}

#[sqlx::test]
async fn message_search_pages_within_a_room_are_complete_in_either_direction(db: PgPool) {
    let rooms: Vec<_> = (0..12).map(|n| ("Siti", "1", ["ok", "halo", "ya ok"][n % 3])).collect();
    let service = service_with_rooms(db, &rooms).await;
    service.execute("update message set room_id = 'r0' where message_id <> 'm11'").await;
    for limit in 1..=4 {
        let path = format!("/v1/messages?room_id=r0&q=ok&limit={limit}");
        let (forward, backward) = read_all_pages(&service, &path).await;
        let ids: Vec<_> = forward.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["m9", "m8", "m6", "m5", "m3", "m2", "m0"]);
        assert_eq!(backward, forward);
    }
}

#[sqlx::test]
async fn word_at_the_end_of_a_long_text_is_found(db: PgPool) {
    let long = "x ".repeat(1000) + "KANCING";
    let service = service_with_rooms(db, &[("Siti", "1", &long)]).await;
    for filter in ["", "room_id=r0&"] {
        let path = format!("/v1/messages?{filter}");
        assert_eq!(ids(&service, &path, "kancing").await, ["m0"], "{filter}");
    }
}

#[sqlx::test]
async fn old_messages_are_found_by_the_search_index(db: PgPool) {
    let service = service_with_rooms(db, &[]).await;
    // A frequent, a less frequent and a rare word, over two years.
    service
        .execute(
            "insert into message (organization, message_id, received_at, created_at, text, text_rank)
            select
                (number_organizations(array[
                    case when n % 1000 = 7 then 'another-organization' else 'o' end
                ]))[1],
                'm' || n, now(), timestamptz '2023-06-12Z' + n * interval '52 minutes',
                'halo' || case when n % 50 = 7 then ' pesanan' else '' end
                    || case when n % 10000 = 7 then ' kancing lepas' else '' end,
                '00000000-0000-0000-0000-000000000001'
            from generate_series(0, 20000) as n;
            call rebuild_derived_columns('message'); analyze message",
        )
        .await;
    for (key, q, expected) in [
        (KEY_OF_ANOTHER, "kancing", 3 - 1),
        (KEY_OF_ANOTHER, "halo", 20),
        ("hello", "lepas kancing", 2),
        ("hello", "pesanan", 400),
    ] {
        let mut seen: Vec<Value> = Vec::new();
        let path = format!("/v1/messages?limit=7&q={}", q.replace(' ', "+"));
        let mut page = service.get_with(key, &path).await.json();
        let mut backward: Vec<Value> = Vec::new();
        loop {
            seen.extend(page["data"].as_array().unwrap().iter().cloned());
            let Some(next) = page["meta"]["pagination"]["cursor"]["next"].as_str() else { break };
            page = service.get_with(key, &format!("{path}&cursor={next}")).await.json();
        }
        loop {
            let rows = page["data"].as_array().unwrap().iter().cloned();
            backward.splice(0..0, rows);
            let Some(prev) = page["meta"]["pagination"]["cursor"]["prev"].as_str() else { break };
            page = service.get_with(key, &format!("{path}&cursor={prev}")).await.json();
        }
        assert_eq!(seen.len(), expected, "{q}");
        assert_eq!(seen, backward, "{q}");
        assert!(
            seen.is_sorted_by(|one, two| one["created_at"].as_str() > two["created_at"].as_str())
        );
    }
}

#[sqlx::test]
async fn search_pages_for_unevenly_distributed_words_are_complete_in_either_direction(db: PgPool) {
    let service = service_with_rooms(db, &[]).await;
    // One second apart, with a gap of five hours in the middle; the frequency of each word differs
    // between the parts.
    service
        .execute(
            "insert into message (organization, message_id, received_at, created_at, text, text_rank)
            select
                (number_organizations(array['organization-' || (n % 7 = 0)::int]))[1], 'm' || n, now(),
                timestamptz '2023-06-12Z' + n * interval '1 s'
                    + case when n > 2000 then interval '5 hours' else '0' end,
                'halo' || case when n % 20 = 7 and n < 1300 then ' ada' else '' end
                    || case when n % 25 = 7 and n > 1700 then ' kancing' else '' end
                    || case when n % 40 = 7 then ' lepas' else '' end,
                '00000000-0000-0000-0000-000000000001'
            from generate_series(0, 4000) as n;
            call rebuild_derived_columns('message'); analyze message",
        )
        .await;
    for q in ["ada", "kancing", "lepas"] {
        let has = format!("message where text like '% {q}%'");
        let expected = service.count(&has).await;
        for limit in [30, 60, 100] {
            let path = format!("/v1/messages?q={q}&limit={limit}");
            let (forward, backward) = read_all_pages(&service, &path).await;
            assert_eq!(forward.len() as i64, expected, "{path}");
            assert_eq!(forward, backward, "{path}");
            let at = |row: &Value| row["created_at"].as_str().unwrap().to_owned();
            assert!(forward.is_sorted_by(|one, two| at(one) > at(two)), "{path}");
        }
    }
}

#[sqlx::test]
async fn room_search_finds_names_with_typos_and_phone_numbers(db: PgPool) {
    let service = service_with_rooms(
        db,
        &[
            ("Siti Rahmawati", "6281200010001", "a"),
            ("Budi Santoso", "6281300020002", "a"),
            ("Al", "siti@example.com", "a"),
            ("Muhammad Alfarizi", "628120003", "a"),
        ],
    )
    .await;
    let cases: [(&str, &[&str]); 11] = [
        ("rahmawati", &["r0"]),
        ("Rahmawti", &["r0"]),
        ("sitti rahmawati", &["r0"]),
        ("rahmawati siti", &["r0"]),
        ("santos", &["r1"]),
        ("siti", &["r2", "r0"]),
        ("al", &["r3", "r2"]),
        ("081200010001", &["r0"]),
        ("+62 813-0002-0002", &["r1"]),
        ("62812000", &["r3", "r0"]),
        ("xyzzy", &[]),
    ];
    for (q, expected) in cases {
        assert_eq!(ids(&service, "/v1/rooms?", q).await, expected, "{q}");
    }
    assert_eq!(ids(&service, "/v1/rooms?status=none&", "siti").await, [""; 0]);
}

#[sqlx::test]
async fn room_search_does_not_depend_on_the_database_locale(db: PgPool) {
    let name = "qontak_receiver_test_locale";
    let create = format!(
        "create database {name} template template0 encoding 'UTF8' lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8'"
    );
    let drop = format!("drop database if exists {name} with (force)");
    for sql in [&drop, &create] {
        sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&db).await.unwrap();
    }
    let options = db.connect_options().as_ref().clone().database(name);
    let other_locale = PgPool::connect_with(options).await.unwrap();
    store::migrate(&other_locale).await.unwrap();
    // Too short for trigram similarity to find them.
    let rooms = [("ÉÈ", "1", "a"), ("Ii", "1", "a")];
    for db in [db.clone(), other_locale] {
        let service = service_with_rooms(db, &rooms).await;
        for (q, expected) in [("ÉÈ", "r0"), ("É", "r0"), ("II", "r1"), ("iI", "r1")] {
            assert_eq!(ids(&service, "/v1/rooms?", q).await, [expected], "{q}");
        }
    }
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&db).await.unwrap();
}

#[sqlx::test]
async fn search_handles_special_characters_and_oversized_text(db: PgPool) {
    let service = service_with_rooms(db, &[("Siti", "1", "ok")]).await;
    let allowed =
        "q: must have 1 to 8 words of letters, digits or emoji, and at most 256 characters";
    for path in ["/v1/messages", "/v1/rooms"] {
        for q in ["'", "%27%26%7C!:*", "%E2%80%A6", &"a".repeat(257), "a+b+c+d+e+f+g+h+i"] {
            let response = service.get(&format!("{path}?q={q}")).await;
            assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{q}");
            assert_eq!(response.json()["error"]["messages"], json!([allowed]), "{q}");
        }
        let nul = service.get(&format!("{path}?q=a%00")).await.json();
        assert_eq!(nul["error"]["messages"], json!(["q: must not contain NUL"]));
        for q in ["a'b", "%5C%5C'a", "a:*%26!(b", "%25_x", "';drop+table+message;--", "a%20%20b"] {
            assert_eq!(service.get(&format!("{path}?q={q}")).await.status, StatusCode::OK, "{q}");
        }
    }
    // Stored texts may be oversized too: a word of 5 KB, a text of 300 KB.
    for text in ["x".repeat(5000), "ya tidak ".repeat(33_000), "😊".repeat(600)] {
        let body = json!({"data_event": "status_message", "id": text.len().to_string(),
            "room_id": "r", "organization_id": ORGANIZATION, "text": text, "status": "sent"});
        assert_eq!(service.post(body.to_string()).await.json()["data"]["outcome"], "applied");
    }
    assert_eq!(ids(&service, "/v1/messages?", "tidak").await.len(), 1);
}

#[sqlx::test]
async fn search_can_be_disabled_and_enabled_again(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let response = service.get("/v1/messages?q=ok").await;
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers["retry-after"], "2");
    let messages = json!(["search indexes are being built, retry later"]);
    assert_eq!(response.json()["error"]["messages"], messages);
    // Two replicas create the indexes concurrently, and once more.
    let (one, two) = tokio::join!(search::sync_indexes(&db, true), search::sync_indexes(&db, true));
    one.and(two).unwrap();
    search::sync_indexes(&db, true).await.unwrap();
    assert_eq!(service.get("/v1/rooms?q=ok").await.status, StatusCode::OK);

    let off = Service::start_with(db.clone(), &[("RECEIVER__SEARCH__ENABLED", "false")]).await;
    search::sync_indexes(&db, false).await.unwrap();
    assert!(!search::is_ready(&db).await.unwrap());
    for path in ["/v1/messages", "/v1/rooms"] {
        let response = off.get(&format!("{path}?q=ok")).await;
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY);
        let messages = json!(["q: search is disabled by the setting search.enabled"]);
        assert_eq!(response.json()["error"]["messages"], messages);
    }
}

#[sqlx::test]
async fn rooms_are_found_by_numbers_in_their_names_as_written(db: PgPool) {
    let names = [
        ("Order 2025-06-7788", "2025-06-7788"),
        ("Pak 2025-99", "2025-99"),
        ("Budi 123 456 (789)", "123 456 (789)"),
        ("Batch 12/05/25", "12/05/25"),
        ("Resi 1.500.000", "1.500.000"),
        ("0899 1111 2222 Andi", "0899 1111 2222"),
        ("+62 811-2222-4444", "+62 811-2222-4444"),
    ];
    let rooms = names.map(|(name, _)| (name, "ID.1", "halo"));
    let service = service_with_rooms(db, &rooms).await;
    for (n, (_, number)) in names.iter().enumerate() {
        assert_eq!(ids(&service, "/v1/rooms?", number).await, [format!("r{n}")], "{number}");
    }
}
