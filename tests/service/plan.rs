//! Query plans of every read route on large tables: rows read in proportion to the page size.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use qontak_receiver::event::{Kind, Outcome};
use qontak_receiver::read::page::EXPORTS;
use qontak_receiver::store;
use qontak_receiver::store::event::Selection;
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};

use super::cases::{self, CASES, Case, IDS, Ids, Shape};
use super::console::browser::{Browser, ENABLED};
use super::explain::{Plan, Plans, explained};
use super::harness::Service;
use super::stream::subscriber::Subscriber;

/// Page size, small enough that each big table has ten times the rows a page may read.
const ROWS: usize = 10;

const SIZES: [(&str, &str); 6] = [
    (":messages", "200000"),
    (":rooms", "20000"),
    (":logs", "100000"),
    (":broadcasts", "20"),
    (":parts", "1"),
    (":part", "0"),
];

/// Fills the database with the scripts of `benches/fill/`, at a small size.
async fn fill(db: &PgPool) {
    let steps = [
        include_str!("../../benches/fill/start.sql"),
        include_str!("../../benches/fill/messages.sql"),
        include_str!("../../benches/fill/rooms.sql"),
        include_str!("../../benches/fill/journal.sql"),
        include_str!("../../benches/fill/indexes.sql"),
        "vacuum (analyze, freeze)",
    ];
    for step in steps {
        let mut sql = step.to_owned();
        for (name, value) in SIZES {
            sql = sql.replace(name, value);
        }
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.unwrap();
    }
}

async fn get(service: &Service, case: &Case, path: &str) -> Value {
    let response = service.get_with(case.key, path).await;
    assert_eq!(response.status, StatusCode::OK, "{path}");
    serde_json::from_slice(&response.bytes).unwrap()
}

async fn find_ids(service: &Service) -> Ids {
    let mut ids = Ids::new();
    for (name, path, place) in IDS {
        let rows = get(service, &CASES[0], path).await["data"].take();
        let rows = rows.as_array().unwrap().iter();
        let found = rows.filter_map(|row| Some(row.pointer(place)?.as_str()?.to_owned()));
        ids.insert(name, found.collect());
    }
    ids
}

#[sqlx::test]
async fn no_query_reads_more_rows_than_its_page_needs(db: PgPool) {
    store::search::sync_indexes(&db, true).await.unwrap();
    fill(&db).await;
    let settings = cases::settings(&explained(db.connect_options().to_url_lossy().as_str()));
    let mut settings: Vec<_> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
    settings.push(ENABLED);
    let plans = Plans::default();
    let _subscriber = tracing::subscriber::set_default(plans.subscriber());
    let service = Service::start_with(db, &settings).await;
    let ids = find_ids(&service).await;

    let mut objections = Vec::new();
    for case in &CASES {
        let path = case.paths(&ids).swap_remove(0);
        let path = match case.shape {
            Shape::One | Shape::Sum => path,
            Shape::List | Shape::LongList => with(&path, "limit", &ROWS.to_string()),
        };
        let path = &path;
        plans.take();
        let first = get(&service, case, path).await;
        // Each contact has one room.
        if !path.contains("/histories") {
            assert_ne!(first["data"], Value::Array(Vec::new()), "{path}");
        }
        // The next page and back, often enough for Postgres to use a generic plan.
        if let Some(next) = first["meta"]["pagination"]["cursor"]["next"].as_str() {
            for _ in 0..8 {
                let second = get(&service, case, &with(path, "cursor", next)).await;
                // On Qontak's own routes the page after the last one is empty.
                if let Some(prev) = second["meta"]["pagination"]["cursor"]["prev"].as_str() {
                    get(&service, case, &with(path, "cursor", prev)).await;
                }
            }
        }
        // Needs no query, or reads a row per organisation.
        if ["/v1/me", "/v1/health"].contains(&path.as_str()) {
            continue;
        }
        // The plan of a statement that is left after its first row is logged after the response.
        let mut logged: Vec<Plan> = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !logged.iter().any(|plan| plan.cost().0 > 0.0) {
            assert!(Instant::now() < deadline, "{path}: no plan was logged");
            tokio::time::sleep(Duration::from_millis(20)).await;
            logged.extend(plans.take());
        }
        let objections_to = |plan: &Plan| plan.objections(case.most_rows(ROWS));
        let mut found: Vec<String> = logged.iter().flat_map(objections_to).collect();
        found.sort();
        found.dedup();
        objections
            .extend(found.iter().map(|objection| format!("{} {path}: {objection}", case.key)));
    }
    objections.extend(of_console(&service, &plans, &ids).await);
    objections.extend(of_replays(&service, &plans).await);
    // The stream has no end, so it is not among the cases: resume far back, read the first pages.
    plans.take();
    let mut subscriber = Subscriber::start_with(&service, CASES[0].key, "", None).await;
    subscriber.next().await.unwrap();
    let history = subscriber.last_event_id.split_once('.').unwrap().0;
    let early = format!("{history}.4.0");
    let mut subscriber = Subscriber::start_with(&service, CASES[0].key, "", Some(&early)).await;
    for _ in 0..1200 {
        subscriber.event().await;
    }
    let logged = plans.take();
    assert!(logged.iter().any(|plan| plan.cost().0 > 500.0), "no plan was logged");
    objections.extend(logged.iter().flat_map(|plan| plan.objections(1000.0)));
    assert!(objections.is_empty(), "{objections:#?}");
}

/// Pages of the console. They request what the cases do, but with filters and page sizes of their own.
const PAGES: [&str; 18] = [
    "/console/conversations",
    "/console/conversations?response_state=unanswered&session=expiring",
    "/console/conversations?q=terima",
    "/console/conversations/{busiest_room}",
    "/console/conversations/{busiest_room}?message={message}",
    "/console/broadcasts",
    "/console/broadcasts?name=gajian",
    "/console/deliveries",
    "/console/deliveries?status=any&phone=081232623793",
    "/console/events",
    "/console/events?has_reasons=true&outcome=quarantined",
    "/console/events?start_date={received}",
    "/console/events/{event}",
    "/console/ledger",
    "/console/templates",
    "/console/trace?id={message}",
    "/console/trace?id={log}",
    "/console/conversations?list=&agent=none&unread=true",
];
/// Pages with sums, which may read any number of rows, but by an index.
const SUMS: [&str; 4] = [
    "/console",
    "/console?period=week",
    "/console/broadcasts/{largest_broadcast}",
    "/console/agents",
];
/// Rows of a page of the console, about.
const PAGE_ROWS: usize = 50;

/// Objections to the queries of replays that select few of many events.
async fn of_replays(service: &Service, plans: &Plans) -> Vec<String> {
    let selections = [
        Selection { kind: Some(Kind::AgentHandoverRoom), ..Selection::default() },
        Selection { outcome: Some(Outcome::Quarantined), ..Selection::default() },
    ];
    let db = &service.app.qontak_db;
    let mut objections = Vec::new();
    for selection in &selections {
        plans.take();
        // Often enough for Postgres to use a generic plan.
        for _ in 0..7 {
            let count = store::event::count_selected(db, selection, None).await.unwrap();
            let page = store::event::select(db, selection, None, 1000).await.unwrap();
            assert_eq!((count > 0, count), (true, page.len() as i64));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let logged = plans.take();
        assert!(!logged.is_empty(), "no plan was logged");
        let found = logged.iter().flat_map(|plan| plan.objections(100.0));
        objections.extend(found.map(|objection| format!("{selection:?}: {objection}")));
    }
    objections
}

/// Objections to the plans of all pages of the console.
async fn of_console(service: &Service, plans: &Plans, ids: &Ids) -> Vec<String> {
    let browser = Browser::sign_in(service, CASES[0].key).await;
    let mut objections = Vec::new();
    let pages = PAGES.map(|path| Case { key: CASES[0].key, path, shape: Shape::List });
    let sums = SUMS.map(|path| Case { key: CASES[0].key, path, shape: Shape::Sum });
    for case in pages.into_iter().chain(sums) {
        let path = case.paths(ids).swap_remove(0);
        plans.take();
        // Often enough for Postgres to use a generic plan.
        for _ in 0..7 {
            let response = browser.get(&path).await;
            assert_eq!(response.status, StatusCode::OK, "{path}");
            assert!(
                !response.text().contains("role=\"alert\"><svg"),
                "{path}: {}",
                response.text()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let logged = plans.take();
        assert!(!logged.is_empty(), "{path}: no plan was logged");
        let found = logged.iter().flat_map(|plan| plan.objections(case.most_rows(PAGE_ROWS)));
        objections.extend(found.map(|objection| format!("{path}: {objection}")));
    }
    objections.sort();
    objections.dedup();
    objections
}

fn with(path: &str, parameter: &str, value: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}{parameter}={value}")
}

#[test]
fn every_read_route_has_a_query_plan_case() {
    // Exports have the queries of their lists; a replay or a creation is one row, for keys with another
    // scope; a file has two look-ups by key, and is no JSON.
    let others = ["/v1/stream", "/v1/replays/{id}", "/v1/creations/{id}", "/v1/messages/{id}/file"];
    let is_other = |route: &str| others.contains(&route);
    let has_query = |route: &String| !is_other(route) && !route.starts_with(EXPORTS);
    for route in super::openapi::routes("get").into_keys().filter(has_query) {
        let has_case = CASES.iter().any(|case| {
            let path = case.path.split('?').next().unwrap();
            let parts = || path.split('/').zip(route.split('/'));
            path.split('/').count() == route.split('/').count()
                && parts().all(|(in_case, part)| in_case == part || part.starts_with('{'))
        });
        assert!(has_case, "benches/read/cases.rs has no case for {route}");
    }
}
