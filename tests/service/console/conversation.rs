//! Conversations: list, filters, messages, pages, and refreshes.

use axum::http::StatusCode;
use qontak_receiver::store::search;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::browser::{Browser, ENABLED, start};
use crate::fixtures::{ALL, SITI_ROOM, body};
use crate::harness::{KEY_OF_ALL, Service};

/// Posts the message of fixture 01 with some fields replaced.
async fn post_message(service: &Service, changed: &[(&str, Value)]) {
    let mut message: Value = serde_json::from_slice(&body("01-")).unwrap();
    for (name, value) in changed {
        message[*name] = value.clone();
    }
    assert_eq!(service.post(message.to_string()).await.status, StatusCode::OK);
}

/// Posts this many messages to the room of fixture 01, a minute apart.
async fn post_messages(service: &Service, count: usize) {
    for i in 0..count {
        let at = format!("2025-06-12T{:02}:{:02}:00.000Z", 3 + i / 60, i % 60);
        let changed = [
            ("id", json!(format!("message-{i}"))),
            ("text", json!(format!("Text {i}."))),
            ("created_at", json!(at)),
        ];
        post_message(service, &changed).await;
    }
}

#[sqlx::test]
async fn conversation_shows_messages_media_statuses_and_the_life_of_the_room(db: PgPool) {
    let service = start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html =
        browser.text(&format!("/console/conversations/{SITI_ROOM}?time_zone=Asia/Jakarta")).await;
    for part in [
        "Siti Rahmawati",
        "Halo Kak, kemeja batik ukuran L masih ada?",
        "12 Jun 2025",
        // An answer of an agent that was read, with the time by WhatsApp's clock.
        "class=\"ticks read\"",
        // The reply quotes the message.
        "href=\"#m-bbad9ab7-b270-4339-a60f-aba6c2fac7a7\"",
        "https://cdn.example.com/uploads/message/file/4c021f14-62ec-4c49-a0e9-e80c31f743cc/bukti-transfer.pdf",
        "84 KB",
        "Rumah Siti",
        "mlat=-7.797068",
        "class=\"failure\"",
        "class=\"life\"",
    ] {
        assert!(html.contains(part), "{part}\n{html}");
    }
    let at = |text: &str| html.find(text).unwrap();
    assert!(at("Halo Kak, kemeja batik") < at("Rumah Siti"), "oldest first");
}

#[sqlx::test]
async fn conversations_are_filtered_and_searched_with_their_messages(db: PgPool) {
    let service = start(db).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    search::sync_indexes(&service.db, true).await.unwrap();
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let rows = async |query: &str| {
        let html = browser.text(&format!("/console/conversations?{query}")).await;
        html.matches("id=\"room-").count()
    };
    let all = rows("").await;
    assert!(all > 3);
    assert_eq!(rows("status=&channel=&q=").await, all, "fields that are not filled in");
    let on_web_chat = rows("channel=web_chat").await;
    assert!(0 < on_web_chat && on_web_chat < all);
    let html = browser.text("/console/conversations?q=kemeja").await;
    assert!(html.contains("<mark>kemeja</mark> batik ukuran L"));
    let wrong = browser.get("/console/conversations?session=never").await;
    assert_eq!(wrong.status, StatusCode::OK);
    assert!(wrong.text().contains("A filter is not valid."));
}

#[sqlx::test]
async fn older_messages_are_on_further_pages_without_gaps_or_repeats(db: PgPool) {
    let service = start(db).await;
    post_messages(&service, 120).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let mut path = format!("/console/conversations/{SITI_ROOM}");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let html = browser.text(&path).await;
        let mut ids = numbers(&html);
        assert!(ids.is_sorted(), "{ids:?}");
        ids.extend(seen);
        seen = ids;
        let Some((_, link)) = html.split_once("id=\"older\"") else { break };
        path = link.split('"').nth(3).unwrap().replace("&amp;", "&");
    }
    assert_eq!(seen, (0..120).collect::<Vec<_>>());
}

/// Numbers of the messages of a page, in its order.
fn numbers(html: &str) -> Vec<usize> {
    let ids = html.split("id=\"m-message-").skip(1);
    ids.map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
}

/// The attribute of the link with this id, or inside of the element with it.
fn attribute(html: &str, id: &str, name: &str) -> String {
    let element = html.split_once(&format!("id=\"{id}\"")).unwrap().1;
    let value = element.split_once(&format!(" {name}=\"")).unwrap().1.split('"').next().unwrap();
    value.replace("&amp;", "&")
}

#[sqlx::test]
async fn link_to_a_message_opens_the_conversation_there_and_leads_both_ways(db: PgPool) {
    let service = start(db).await;
    post_messages(&service, 120).await;
    search::sync_indexes(&service.db, true).await.unwrap();
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let found = browser.text("/console/conversations?q=%22Text%2040.%22").await;
    let hit = found.split("href=\"").find(|part| part.contains("#m-message-40\"")).unwrap();
    let hit = hit.split('"').next().unwrap().replace("&amp;", "&");
    assert!(hit.contains("message=message-40") && hit.contains("q="), "{hit}");
    let html = browser.text(hit.split('#').next().unwrap()).await;
    assert_eq!(numbers(&html), (16..66).collect::<Vec<_>>());
    let marked = html.split_once("message in hit").unwrap().1;
    assert!(marked.starts_with("\" id=\"m-message-40\""), "{marked}");
    // It is not live: new messages do not belong below these.
    assert!(attribute(&html, "newest", "hx-trigger") == "never");

    // The parts that the script loads have only messages that are not shown yet.
    let older = browser.text(&attribute(&html, "older", "hx-get")).await;
    assert_eq!(numbers(&older), (0..16).collect::<Vec<_>>());
    assert!(!older.contains("id=\"newer\"") && !older.contains("id=\"older\""));
    let newer = browser.text(&attribute(&html, "newer", "hx-get")).await;
    assert_eq!(numbers(&newer), (66..116).collect::<Vec<_>>());
    assert!(!newer.contains("id=\"older\""));
    let last = browser.text(&attribute(&newer, "newer", "hx-get")).await;
    assert_eq!(numbers(&last), (116..120).collect::<Vec<_>>());
    assert!(
        last.contains("Newest messages")
            && !last.contains(
                "hx-get=\"/console/conversations/24a60fba-3bc1-4694-9f51-66c4b74d1978?cursor"
            )
    );
    // Without the script, each is a page that leads both ways.
    let newer = browser.text(&attribute(&html, "newer", "href")).await;
    assert!(newer.contains("id=\"older\"") && newer.contains("id=\"newer\""));
}

#[sqlx::test]
async fn link_to_the_newest_message_is_live_and_one_to_no_message_says_so(db: PgPool) {
    let service = start(db).await;
    post_messages(&service, 30).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let page = format!("/console/conversations/{SITI_ROOM}");
    let html = browser.text(&format!("{page}?message=message-29")).await;
    assert_eq!(numbers(&html), (5..30).collect::<Vec<_>>());
    assert!(attribute(&html, "newest", "hx-trigger").starts_with("room-changed"));
    assert!(!html.contains("id=\"newer\""));
    let html = browser.text(&format!("{page}?message=nothing")).await;
    assert!(html.contains("is not in this conversation"));
    assert_eq!(numbers(&html), (0..30).collect::<Vec<_>>());
}

#[sqlx::test]
async fn every_kind_of_message_is_shown(db: PgPool) {
    let service = start(db).await;
    let raw = |part: Value| json!({ "messages": [part] });
    let at = |second: u32| json!(format!("2025-06-12T03:00:{second:02}.000Z"));
    let messages = [
        vec![("id", json!("asked")), ("external_id", json!("wamid.asked"))],
        vec![
            ("id", json!("reacted")),
            ("type", json!("reaction")),
            ("text", json!("")),
            (
                "raw_message",
                raw(
                    json!({"type": "reaction", "reaction": {"message_id": "wamid.asked", "emoji": "👍"}}),
                ),
            ),
        ],
        vec![
            ("id", json!("replied")),
            ("reply", json!({"id": "elsewhere", "text": "Quoted text."})),
        ],
        vec![("id", json!("edited")), ("is_edited", json!(true)), ("text", json!("After edit."))],
        vec![("id", json!("deleted")), ("status", json!("deleted"))],
        vec![
            ("id", json!("buttons")),
            ("buttons", json!([{"type": "QUICK_REPLY", "text": "Lihat katalog"}, "Batal"])),
        ],
        vec![
            ("id", json!("chosen")),
            ("type", json!("interactive")),
            ("text", json!("")),
            (
                "raw_message",
                raw(json!({"type": "interactive", "interactive": {"type": "list_reply",
                    "list_reply": {"id": "1", "title": "Ukuran L", "description": "Dada 110 cm"}}})),
            ),
        ],
        vec![
            ("id", json!("voice")),
            ("type", json!("audio")),
            ("text", json!("")),
            ("file", json!({"filename": "suara.ogg", "url": "https://cdn.example.com/suara.ogg"})),
        ],
        vec![
            ("id", json!("place")),
            ("type", json!("location")),
            ("text", json!("")),
            (
                "raw_message",
                raw(json!({"type": "location",
                    "location": {"latitude": -6.2, "longitude": 106.8, "name": "Toko"}})),
            ),
        ],
        vec![
            ("id", json!("person")),
            ("type", json!("contacts")),
            ("text", json!("")),
            (
                "raw_message",
                raw(
                    json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Ibu Ani"},
                    "phones": [{"phone": "+62 812-0002-0002"}]}]}),
                ),
            ),
        ],
    ];
    for (second, changed) in messages.into_iter().enumerate() {
        let mut changed = changed;
        changed.push(("created_at", at(second as u32)));
        post_message(&service, &changed).await;
    }
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text(&format!("/console/conversations/{SITI_ROOM}")).await;
    let of = |id: &str| {
        let message =
            html.split_once(&format!("id=\"m-{id}\"")).unwrap_or_else(|| panic!("no {id}"));
        message.1.split("<li class=\"message").next().unwrap().to_owned()
    };
    for (id, parts) in [
        ("asked", &["class=\"reactions\"", "👍"][..]),
        ("replied", &["class=\"quote\"", "Quoted text."]),
        ("edited", &["After edit.", ">edited<"]),
        ("deleted", &[">deleted<"]),
        ("buttons", &["Lihat katalog", "Batal"]),
        ("chosen", &["Ukuran L", "Dada 110 cm"]),
        ("voice", &["suara.ogg"]),
        ("place", &["Toko", "mlat=-6.2"]),
        ("person", &["Ibu Ani", "+62 812-0002-0002"]),
    ] {
        for part in parts {
            assert!(of(id).contains(part), "{id}: no {part} in {}", of(id));
        }
    }
    // It is shown at the message that it is about.
    assert!(!html.contains("id=\"m-reacted\""));
}

#[sqlx::test]
async fn refresh_begins_with_the_oldest_message_shown(db: PgPool) {
    let service = start(db).await;
    post_messages(&service, 70).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let first = browser.text(&format!("/console/conversations/{SITI_ROOM}")).await;
    let refresh = first.split_once("id=\"newest\"").unwrap().1;
    let refresh = refresh.split("hx-get=\"").nth(1).unwrap().split('"').next().unwrap();
    post_message(
        &service,
        &[
            ("id", json!("another")),
            ("text", json!("New.")),
            ("created_at", json!("2025-06-12T08:00:00Z")),
        ],
    )
    .await;
    let html = browser.text(&refresh.replace("&amp;", "&")).await;
    assert!(html.contains("New."));
    assert_eq!(html.matches("id=\"m-").count(), first.matches("id=\"m-").count() + 1);
    assert!(html.contains("Text 20.") && !html.contains("Text 19."));
}

#[sqlx::test]
async fn texts_of_others_run_nothing_and_stay_in_their_place(db: PgPool) {
    let service = start(db).await;
    const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{202e}\"'><script>alert(1)</script>";
    let mut message: Value = serde_json::from_slice(&body("01-")).unwrap();
    message["id"] = json!("hostile\"><script>");
    message["text"] = json!(format!("{HOSTILE} javascript://x *<b>* {}", "x".repeat(100_000)));
    message["sender"]["name"] = json!(HOSTILE);
    message["reply"] = json!({ "text": HOSTILE });
    message["buttons"] = json!([{ "text": HOSTILE }]);
    message["file"] = json!({ "filename": HOSTILE, "url": "javascript:alert(1)", "size": "large" });
    message["room"]["name"] = json!(HOSTILE);
    message["room"]["tags"] = json!([HOSTILE]);
    assert_eq!(service.post(message.to_string()).await.status, StatusCode::OK);
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    for path in [
        "/console/conversations".to_owned(),
        format!("/console/conversations/{SITI_ROOM}"),
        "/console".to_owned(),
    ] {
        let html = browser.text(&path).await;
        assert!(html.contains("&lt;img src=x"), "{path}");
        for dangerous in ["<img src=x", "<script>alert", "\"javascript:", "<b>"] {
            assert!(!html.contains(dangerous), "{path}: {dangerous}");
        }
        assert!(html.len() < 60_000, "{path}: {} bytes", html.len());
    }
}

#[sqlx::test]
async fn copied_images_are_shown_and_served_by_the_console_itself(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let setting = ("RECEIVER__MEDIA__FOLDER", folder.path().to_str().unwrap());
    let service = Service::start_with(db, &[ENABLED, setting]).await;
    let image = "61f93a66-1a2f-4abe-a984-c4be2d245c61";
    for fixture in ["11-", "13-"] {
        service.post(body(fixture)).await;
    }
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let page = format!("/console/conversations/{SITI_ROOM}");
    let link = "href=\"https://cdn.example.com/uploads/message/file/4724d89a";
    let shown = format!("<img src=\"/console/files/{image}\"");
    let html = browser.text(&page).await;
    assert!(html.contains(link) && !html.contains(&shown), "{html}");
    assert_eq!(browser.get(&format!("/console/files/{image}")).await.status, StatusCode::NOT_FOUND);

    std::fs::create_dir(folder.path().join("ab")).unwrap();
    std::fs::write(folder.path().join("ab/abcd"), b"an image").unwrap();
    let sql = "insert into media (organization_id, message_id, state, sha256, content_type, bytes) \
               select organization_id(organization), message_id, 'stored', 'abcd', 'image/jpeg', 8 from message \
               where file ->> 'filename' = 'batik-parang.jpg'";
    service.execute(sql).await;
    let html = browser.text(&page).await;
    assert!(html.contains(&shown) && !html.contains(link), "{html}");
    // The other one has no copy.
    assert!(html.contains("bukti-transfer.pdf\" target=\"_blank\""), "{html}");
    let mut request = browser.request(&format!("/console/files/{image}"));
    request.headers_mut().insert("range", "bytes=3-".parse().unwrap());
    let response = service.send(request).await;
    assert_eq!(response.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(response.bytes, b"image");
    assert_eq!(response.headers["content-type"], "image/jpeg");
    let policy = browser.get(&page).await.headers["content-security-policy"].clone();
    assert!(policy.to_str().unwrap().contains("img-src 'self';"), "{policy:?}");
}
