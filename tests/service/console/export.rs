//! Exports: what each page shows, named by what it is.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use qontak_receiver::store::search;
use sqlx::PgPool;

use super::browser::{Browser, ENABLED};
use crate::fixtures::{ALL, BROADCAST, READ_MESSAGE, SITI_ROOM};
use crate::harness::{KEY_OF_ALL, KEY_OF_ANOTHER, Service};

const SCOPES: (&str, &str) = ("RECEIVER__KEY__ALL__SCOPES", "read,export");

async fn start(db: PgPool) -> Service {
    let service = Service::start_with(db, &[ENABLED, SCOPES]).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    service
}

#[sqlx::test]
async fn agents_export_has_the_figures_of_the_page(db: PgPool) {
    let service = start(db).await;
    service.execute("update response set at = now() where author = 'agent'").await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text("/console/agents?period=day").await;
    let path = "/console/agents/export?period=day";
    assert!(html.contains(path), "{html}");
    let response = browser.get(path).await;
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(response.headers[CONTENT_TYPE], "text/csv; charset=utf-8");
    assert!(response.headers[CONTENT_DISPOSITION].to_str().unwrap().contains("agents-"));
    let csv = response.text();
    assert!(csv.contains("open,") && csv.contains("opening_response.p50_seconds"), "{csv}");
    assert_eq!(csv.lines().count(), html.matches("data-row").count() + 1, "{csv}");
    let without = Browser::sign_in(&service, KEY_OF_ANOTHER).await;
    assert_eq!(without.get(path).await.status, StatusCode::FORBIDDEN);
}

#[sqlx::test]
async fn trace_export_has_its_timeline(db: PgPool) {
    let service = start(db).await;
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    let html = browser.text(&format!("/console/trace?id={READ_MESSAGE}")).await;
    let path = format!("/console/trace/export?id={READ_MESSAGE}");
    assert!(html.contains(&path), "{html}");
    let csv = browser.text(&path).await;
    assert!(csv.contains("at,source,subject,id,what"), "{csv}");
    assert_eq!(csv.lines().count(), html.matches("<time").count() + 1, "{csv}");
    let without = Browser::sign_in(&service, KEY_OF_ANOTHER).await;
    assert_eq!(without.get(&path).await.status, StatusCode::FORBIDDEN);
}

#[sqlx::test]
async fn exports_are_named_by_what_they_contain(db: PgPool) {
    let service = start(db).await;
    search::sync_indexes(&service.db, true).await.unwrap();
    let browser = Browser::sign_in(&service, KEY_OF_ALL).await;
    for (path, export, name) in [
        (format!("/console/broadcasts/{BROADCAST}"), "/logs", "Export recipients"),
        (format!("/console/conversations/{SITI_ROOM}"), "/messages", "Export messages"),
        (
            "/console/conversations?q=batik".into(),
            "/console/exports/messages?q=batik",
            "Export messages",
        ),
    ] {
        let html = browser.text(&path).await;
        let link = html.split("<a ").find(|one| one.contains(export)).unwrap_or_default();
        assert!(link.contains(name), "{path}: {link}");
        let href = link.split("href=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(browser.get(&href.replace("&amp;", "&")).await.status, StatusCode::OK, "{href}");
    }
}
