//! Search finds what a chat shows, however it is written: letters of any case, composition and style,
//! emoji, numbers, names of files, and titles of buttons and lists.

use axum::http::StatusCode;
use qontak_receiver::store::search::{self, Query};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::harness::{ORGANIZATION, Service};

/// Service with search, and these messages as `m0`, `m1`, …, each in a room of its own.
async fn service_with(db: PgPool, messages: &[Value]) -> Service {
    search::sync_indexes(&db, true).await.unwrap();
    let service = Service::start(db).await;
    for (n, more) in messages.iter().enumerate() {
        let mut body = json!({"data_event": "receive_message_from_customer", "id": format!("m{n}"),
            "room_id": format!("r{n}"), "organization_id": ORGANIZATION, "type": "text",
            "participant_type": "customer", "created_at": format!("2025-06-12T02:{n:02}:00Z")});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(service.post(body.to_string()).await.json()["data"]["outcome"], "applied");
    }
    service
}

/// Asserts what each query finds: by a scan of the latest messages, and by the index beyond them.
async fn check(service: &Service, list: &str, cases: &[(&str, &[&str])]) {
    for path in ["scan", "index"] {
        for (q, expected) in cases {
            let encoded: String = q.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let rows = service.data(&format!("{list}?q={encoded}")).await;
            let rows = rows.as_array().unwrap().iter();
            let ids: Vec<&str> = rows.map(|row| row["id"].as_str().unwrap()).collect();
            assert_eq!(ids, *expected, "{path}: {q}");
        }
        service
            .execute(
                "insert into message (organization, message_id, received_at, text, text_rank)
                select (number_organizations(array['o']))[1], 'later' || n, now(), 'zzz', '00000000-0000-0000-0000-000000000001'
                from generate_series(1, 600) as n
                on conflict do nothing;
                call rebuild_derived_columns('message')",
            )
            .await;
    }
}

#[sqlx::test]
async fn text_is_found_regardless_of_case_composition_and_style(db: PgPool) {
    let texts = [
        "É: CAFÉ",
        "cafe\u{301} composed of two",
        "İSTANBUL, Straße, ΟΔΥΣΣΕΥΣ, ПРИВЕТ",
        "𝗣𝗥𝗢𝗠𝗢 𝓖𝓻𝓪𝓽𝓲𝓼 ＦＵＬＬ　１２３４５６７ ①②",
        "pro\u{200b}mo hari\u{a0}ini, hel\u{ad}lo",
        "ﬁnal ﷼ ｶﾀｶﾅ",
    ];
    let service = service_with(db, &texts.map(|text| json!({"text": text}))).await;
    let cases: &[(&str, &[&str])] = &[
        ("é", &["m0"]),
        ("É", &["m0"]),
        ("e\u{301}", &["m0"]),
        ("café", &["m1", "m0"]),
        ("CAFE\u{301}", &["m1", "m0"]),
        ("istanbul", &["m2"]),
        ("İstanbul", &["m2"]),
        ("STRASSE", &["m2"]),
        ("straße", &["m2"]),
        ("οδυσσευς", &["m2"]),
        ("привет", &["m2"]),
        ("ПРИВ", &["m2"]),
        ("promo", &["m4", "m3"]),
        ("𝐩𝐫𝐨𝐦𝐨", &["m4", "m3"]),
        ("gratis", &["m3"]),
        ("ｆｕｌｌ", &["m3"]),
        ("1234567", &["m3"]),
        ("１２３４－５６７", &["m3"]),
        ("hari ini", &["m4"]),
        ("hello", &["m4"]),
        ("final", &["m5"]),
        ("カタカナ", &["m5"]),
    ];
    check(&service, "/v1/messages", cases).await;
}

#[sqlx::test]
async fn each_emoji_of_a_text_is_found_by_itself(db: PgPool) {
    let texts = ["Terima kasih😊😊", "ok👍🏽 sip", "❤️ dari 🇮🇩", "👨‍👩‍👧 keluarga", "→ lihat ✓", "🇩🇪🇮🇳"];
    let service = service_with(db, &texts.map(|text| json!({"text": text}))).await;
    let cases: &[(&str, &[&str])] = &[
        ("😊", &["m0"]),
        ("😊😊😊😊😊😊😊😊😊😊", &["m0"]),
        ("kasih 😊", &["m0"]),
        ("kasih", &["m0"]),
        ("👍", &["m1"]),
        ("👍🏿", &["m1"]),
        ("ok", &["m1"]),
        ("❤", &["m2"]),
        ("❤️", &["m2"]),
        ("🇮🇩", &["m2"]),
        ("👧", &["m3"]),
        ("✓", &["m4"]),
        ("🎉", &[]),
    ];
    check(&service, "/v1/messages", cases).await;
}

#[sqlx::test]
async fn numbers_are_found_as_they_stand_in_the_text(db: PgPool) {
    let texts = [
        "Pesanan 2025-06-0012, kirim 12-06-2025, total Rp 1.500.000, hubungi 0812-7777-8888, resi 0123-4567-8901",
        "Total Rp1.250.000,- lunas (jam 14:30:00)",
        "INV/2025/06/00417 resi JNE0098123456",
        "Meja 3",
    ];
    let service = service_with(db, &texts.map(|text| json!({"text": text}))).await;
    let cases: &[(&str, &[&str])] = &[
        ("2025-06-0012", &["m0"]),
        ("12-06-2025", &["m0"]),
        ("1.500.000", &["m0"]),
        ("Rp 1.500.000", &["m0"]),
        ("0812-7777-8888", &["m0"]),
        ("0123-4567-8901", &["m0"]),
        ("Pesanan 2025-06-0012", &["m0"]),
        ("1.250.000", &["m1"]),
        ("Rp1.250.000", &["m1"]),
        ("Rp 1.250.000", &["m1"]),
        ("rp. 1.250.000", &["m1"]),
        ("total rp 1.250", &["m1"]),
        ("1.250.000,-", &["m1"]),
        ("14:30:00", &["m1"]),
        ("INV/2025/06/00417", &["m2"]),
        ("JNE0098123456", &["m2"]),
        ("2025/06/00417", &["m2"]),
        ("2025-06-0013", &[]),
    ];
    check(&service, "/v1/messages", cases).await;
}

#[sqlx::test]
async fn file_names_captions_and_titles_are_found(db: PgPool) {
    let messages = [
        json!({"type": "document", "text": null, "file": {"filename": "Faktur-2025_Juni.PDF",
            "url": "https://cdn.example.com/unsearched.pdf"}}),
        json!({"type": "image", "text": "Foto kemeja", "file": {"filename": "IMG-0042.jpg"}}),
        json!({"text": "Pilih satu", "buttons": [{"type": "quick_reply", "text": "Ya, \"lanjut\""},
            {"type": "reply", "reply": {"id": "no", "title": "Batal\nsaja"}}, "Nanti dulu"]}),
        json!({"type": "interactive", "text": null, "raw_message": {
            "contacts": [{"profile": {"name": "Profil"}, "wa_id": "6281200010001"}],
            "messages": [{"id": "wamid.1", "type": "interactive", "interactive": {"type": "list_reply",
                "list_reply": {"id": "row-7", "title": "Paket Hemat", "description": "Tiga helai"}}}]}}),
        json!({"type": "button", "text": null, "raw_message": {"messages": [{"type": "button",
            "button": {"payload": "opaque", "text": "Hubungi CS"}}]}}),
        json!({"type": "image", "text": null, "raw_message": {"messages": [{"type": "image",
            "image": {"caption": "Warna Cokelat", "mime_type": "image/jpeg"}}]}}),
        json!({"type": "location", "text": null, "raw_message": {"messages": [{"type": "location",
            "location": {"name": "Toko Maju", "address": "Jalan Braga 7", "latitude": -6.9}}]}}),
        json!({"type": "unsupported", "text": null, "raw_message": {"messages": [{"errors": [
            {"code": 131_051, "title": "Message type unknown"}]}]}}),
        json!({"type": "contacts", "text": null, "raw_message": {"messages": [{"type": "contacts",
            "contacts": [{"name": {"formatted_name": "Kantor Sales"}, "phones": [
                {"phone": "+62 813-5555-0099", "wa_id": "6281355550099", "type": "WORK"},
                {"phone": "0361 222387"}]}]}]}}),
    ];
    let service = service_with(db, &messages).await;
    let cases: &[(&str, &[&str])] = &[
        ("faktur", &["m0"]),
        ("faktur-2025_juni.pdf", &["m0"]),
        ("unsearched", &[]),
        ("IMG-0042", &["m1"]),
        ("kemeja img", &["m1"]),
        ("lanjut", &["m2"]),
        ("saja", &["m2"]),
        ("batal satu", &["m2"]),
        ("nanti", &["m2"]),
        ("quick", &[]),
        ("paket hemat", &["m3"]),
        ("helai", &["m3"]),
        ("PAKET", &["m3"]),
        ("profil", &[]),
        ("row", &[]),
        ("hubungi cs", &["m4"]),
        ("opaque", &[]),
        ("081355550099", &["m8"]),
        ("+62 813-5555-0099", &["m8"]),
        ("813-5555-0099", &["m8"]),
        ("0361 222387", &["m8"]),
        ("kantor 0361", &["m8"]),
        ("cokelat", &["m5"]),
        ("braga", &["m6"]),
        ("toko maju", &["m6"]),
        ("unknown", &[]),
    ];
    check(&service, "/v1/messages", cases).await;
}

#[sqlx::test]
async fn rooms_are_found_by_names_of_any_script(db: PgPool) {
    let names =
        ["Toko 🌸 Bunga", "ÉMILIE Renée", "Иван Петров", "𝓢𝓲𝓽𝓲 Rahma", "山田太郎", "Toko Budi"];
    let rooms = names.map(|name| json!({"text": "a", "room": {"name": name}}));
    let rooms: Vec<Value> = (0..)
        .zip(rooms)
        .map(|(n, mut message)| {
            message["room"]["id"] = json!(format!("r{n}"));
            message["room"]["organization_id"] = json!(ORGANIZATION);
            message["room"]["last_activity_at"] = json!(format!("2025-06-12T02:{n:02}:00Z"));
            message
        })
        .collect();
    let service = service_with(db, &rooms).await;
    let cases: &[(&str, &[&str])] = &[
        ("🌸", &["r0"]),
        ("bunga", &["r0"]),
        ("toko 🌸", &["r0"]),
        ("toko", &["r5", "r0"]),
        ("émilie", &["r1"]),
        ("E\u{301}MILIE", &["r1"]),
        ("RENÉE", &["r1"]),
        ("ren", &["r1"]),
        ("иван", &["r2"]),
        ("ПЕТРОВ", &["r2"]),
        ("и", &["r2"]),
        ("siti", &["r3"]),
        ("太郎", &["r4"]),
        ("🎉", &[]),
        ("Иванна", &[]),
    ];
    check(&service, "/v1/rooms", cases).await;
}

#[sqlx::test]
async fn query_with_too_many_words_or_none_after_folding_is_refused(db: PgPool) {
    let service = service_with(db, &[]).await;
    let allowed =
        "q: must have 1 to 8 words of letters, digits or emoji, and at most 256 characters";
    for q in ["😀😁😂🤣😃😄😅😆😉", "ﷺ ﷺ ﷺ", "\u{34f}", "«»", "\u{200b}"]
    {
        for list in ["/v1/messages", "/v1/rooms", "/api/open/v1/rooms"] {
            let name = if list.starts_with("/api") { "query" } else { "q" };
            let q: String = q.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let response = service.get(&format!("{list}?{name}={q}")).await;
            assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{list} {q}");
            let expected = json!([allowed.replacen('q', name, 1)]);
            assert_eq!(response.json()["error"]["messages"], expected, "{list} {q}");
        }
    }
}

#[sqlx::test]
async fn service_and_database_split_every_character_alike(db: PgPool) {
    let sql = format!(
        "select code, search_fold('a' || chr(code) || '1b'),
            array(
                select substr(word.lexeme, 2)
                from unnest(message_words(0, '1970-01-01Z', 'a' || chr(code) || '1b', null, null, null))
                    as word
                where word.lexeme !~ '^0(~|$)'
            ),
            chr(code) ~ $p${}$p$
        from generate_series(1, x'1ffff'::int) as code
        where code not between x'd800'::int and x'dfff'::int",
        Query::PATTERN
    );
    let rows: Vec<(i32, String, Vec<String>, bool)> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&db).await.unwrap();
    let mut accepted = 0;
    for (code, folded, mut by_database, matches) in rows {
        let Some(Query::Words(mut words)) = Query::parse(&folded) else { panic!("{code:x}") };
        words.sort();
        by_database.sort();
        words.dedup();
        assert_eq!(by_database, words, "{code:x}");
        let character = char::from_u32(code as u32).unwrap();
        let is_accepted = Query::parse(&character.to_string()).is_some();
        assert_eq!(is_accepted, matches, "{code:x}");
        accepted += i32::from(is_accepted);
    }
    assert!(accepted > 100_000);
}
