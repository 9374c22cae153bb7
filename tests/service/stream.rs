//! What is applied, told as it commits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::header::AUTHORIZATION;
use axum::http::{Request, StatusCode};
use futures_util::StreamExt;
use qontak_receiver::event::EventId;
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::batch;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::binary::{DEADLINE, Process, post};
use super::fixtures::{ALL, BROADCAST, SITI, body};
use super::harness::{
    KEY_OF_ALL, KEY_OF_ANOTHER, KEY_OF_ORGANIZATION, KEY_WITHOUT_SCOPE, ORGANIZATION, Service,
    settings,
};
use super::{key, openapi};

/// One who listens.
pub struct Listener {
    body: BodyDataStream,
    unread: String,
    /// Where it is, as an `EventSource` knows it.
    last_event_id: String,
}

/// What it is told: an event, or something beside it.
#[derive(Debug, PartialEq)]
enum Told {
    Event(String, Value),
    Comment(String),
    Nothing,
}

fn request(key: &str, query: &str, last_event_id: Option<&str>) -> Request<Body> {
    let request =
        Request::get(format!("/v1/stream{query}")).header(AUTHORIZATION, format!("Bearer {key}"));
    let request = match last_event_id {
        Some(id) => request.header("last-event-id", id),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

impl Listener {
    /// Listens with all that a client may say, and reads what it is greeted with.
    pub async fn start_with(service: &Service, key: &str, query: &str, last: Option<&str>) -> Self {
        let response = service.respond(request(key, query, last)).await;
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body().into_data_stream();
        Self { body, unread: String::new(), last_event_id: String::new() }
    }

    async fn start(service: &Service, query: &str) -> Self {
        let mut listener = Self::start_with(service, KEY_OF_ALL, query, None).await;
        assert_eq!(listener.next().await, Some(Told::Nothing));
        listener
    }

    /// Goes on from where it was, perhaps at another replica.
    async fn go_on(self, service: &Service, query: &str) -> Self {
        let last = self.last_event_id;
        let mut listener = Self::start_with(service, KEY_OF_ALL, query, Some(&last)).await;
        assert_eq!(listener.next().await, Some(Told::Nothing));
        assert_eq!(listener.last_event_id, last);
        listener
    }

    async fn next(&mut self) -> Option<Told> {
        let block = loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let block = block.to_owned();
                self.unread = rest.to_owned();
                break block;
            }
            let bytes = timeout(DEADLINE, self.body.next()).await.expect("nothing is told")?;
            self.unread.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        };
        let (mut event, mut data, mut comment) = (String::new(), None, None);
        for line in block.lines() {
            let (name, value) = line.split_once(':').unwrap();
            let value = value.trim_start().to_owned();
            match name {
                "id" => self.last_event_id = value,
                "event" => event = value,
                "data" => data = Some(serde_json::from_str(&value).unwrap()),
                "" => comment = Some(value),
                "retry" => assert_eq!(value, "2000"),
                other => panic!("{other}"),
            }
        }
        Some(match (data, comment) {
            (Some(data), None) => Told::Event(event, data),
            (None, Some(comment)) => Told::Comment(comment),
            (None, None) => Told::Nothing,
            (Some(_), Some(_)) => panic!("{block}"),
        })
    }

    /// The next event, whatever else is said before it.
    pub async fn event(&mut self) -> Value {
        loop {
            match self.next().await.expect("it is over") {
                Told::Event(name, data) => {
                    assert_eq!(data["kind"], json!(name));
                    return data;
                }
                Told::Comment(_) | Told::Nothing => {}
            }
        }
    }

    async fn subjects(&mut self, count: usize) -> Vec<String> {
        let mut subjects = Vec::new();
        for _ in 0..count {
            subjects.push(self.event().await["subject_id"].as_str().unwrap().to_owned());
        }
        subjects
    }
}

fn message(id: &str) -> String {
    let message = json!({"data_event": "status_message", "id": id, "room_id": "r",
        "organization_id": ORGANIZATION, "status": "sent"});
    message.to_string()
}

#[sqlx::test]
async fn stream_sends_every_applied_event_once_in_the_same_order_on_every_replica(db: PgPool) {
    let replicas = [Service::start(db.clone()).await, Service::start(db).await];
    let mut listeners = Vec::new();
    for replica in &replicas {
        listeners.push(Listener::start(replica, "").await);
    }
    for (i, fixture) in ALL.iter().enumerate() {
        replicas[i % 2].post(fixture.body()).await;
        replicas[(i + 1) % 2].post(fixture.body()).await;
    }
    let applied = replicas[0].data("/v1/events?outcome=applied&limit=500").await;
    let expected: BTreeSet<&str> =
        applied.as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap()).collect();
    let mut told = Vec::new();
    for listener in &mut listeners {
        let mut events = Vec::new();
        for _ in 0..expected.len() {
            events.push(listener.event().await);
        }
        told.push(events);
    }
    assert_eq!(told[0], told[1]);
    let ids: BTreeSet<&str> = told[0].iter().map(|row| row["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids, expected);

    // Only what the API shows of an event as well, and where to look.
    let first = &told[0][0];
    let shown =
        replicas[0].data(&format!("/v1/events/{}", first["event_id"].as_str().unwrap())).await;
    for name in ["received_at", "kind", "name", "organization_id", "subject_id"] {
        assert_eq!(first[name], shown[name], "{name}");
    }
    assert_eq!(first["room_id"], SITI);
    assert_eq!(first["broadcast_id"], Value::Null);
    told[0].iter().for_each(assert_documented);
    let log = told[0].iter().find(|row| row["kind"] == "broadcast_log_status").unwrap();
    assert_eq!((&log["room_id"], &log["broadcast_id"]), (&Value::Null, &json!(BROADCAST)));
}

fn assert_documented(data: &Value) {
    let document = openapi::document();
    let response = &document["paths"]["/v1/stream"]["get"]["responses"]["200"];
    let schema = &response["content"]["text/event-stream"]["schema"];
    openapi::assert_fits(&document, schema, data, "an event of the stream");
}

/// Lets listeners ask, some times.
async fn pass() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}

#[sqlx::test]
async fn stream_does_not_skip_events_that_commit_late(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut live = Listener::start(&service, "").await;
    service.post(message("first")).await;
    assert_eq!(live.subjects(1).await, ["first"]);
    // As a replica writes it that takes its time.
    let mut late = db.begin().await.unwrap();
    let id = EventId::next(Timestamp::now()).0;
    for sql in [
        "insert into batch (event_ids) values (array[$1])",
        "insert into event (day, event_id, received_at, endpoint, kind, organization_id,
             subject_id, outcome, reasons, dedup_key, deliveries, body, parser_version, request_id)
         select day, $1, received_at, endpoint, kind, organization_id,
             'late', outcome, reasons, 'late', deliveries, body, parser_version, request_id
         from event",
    ] {
        sqlx::query(sql).bind(id).execute(&mut *late).await.unwrap();
    }
    service.post(message("soon")).await;
    pass().await;
    let mut resumed = Listener::start(&service, "").await;
    late.commit().await.unwrap();
    assert_eq!(live.subjects(2).await, ["late", "soon"]);
    assert_eq!(resumed.subjects(2).await, ["late", "soon"]);
}

#[sqlx::test]
async fn stream_resumes_on_any_replica_without_gaps_or_duplicates(db: PgPool) {
    const EVENTS: usize = 600;
    // It has to read from the database as well as from what is held.
    let settings = [("RECEIVER__STREAM__MAX_BEHIND", "20")];
    let replicas = [
        Arc::new(Service::start_with(db.clone(), &settings).await),
        Arc::new(Service::start_with(db.clone(), &settings).await),
    ];
    let mut listener = Listener::start(&replicas[0], "").await;
    let mut writing = JoinSet::new();
    for (r, replica) in replicas.iter().enumerate() {
        for client in 0..5 {
            let replica = replica.clone();
            writing.spawn(async move {
                for i in 0..EVENTS / 10 {
                    let answer = replica.post(message(&format!("{r}-{client}-{i:02}"))).await;
                    assert_eq!(answer.status, StatusCode::OK);
                }
            });
        }
    }
    let mut told = Vec::new();
    let mut turn = 0;
    while told.len() < EVENTS {
        let some = (1 + turn * 7 % 40).min(EVENTS - told.len());
        told.extend(listener.subjects(some).await);
        turn += 1;
        listener = listener.go_on(&replicas[turn % 2], "").await;
    }
    writing.join_all().await;
    let distinct: BTreeSet<&String> = told.iter().collect();
    assert_eq!(distinct.len(), EVENTS);
    // Nothing else comes, before what is new.
    replicas[0].post(message("last")).await;
    assert_eq!(listener.subjects(1).await, ["last"]);
}

#[sqlx::test]
async fn stream_sends_events_first_applied_by_a_replay(db: PgPool) {
    let service = Service::start(db.clone()).await;
    for id in ["a", "b"] {
        service.post(message(id)).await;
    }
    service.execute("update event set outcome = 'quarantined' where subject_id = 'a'").await;
    let mut listener = Listener::start_with(&service, KEY_OF_ALL, "", None).await;
    for id in ["b", "a"] {
        let rows = service.data(&format!("/v1/events?subject_id={id}")).await;
        let id = rows[0]["event_id"].as_str().unwrap();
        let request = Request::post(format!("/v1/events/{id}/replay"))
            .header(AUTHORIZATION, format!("Bearer {KEY_WITHOUT_SCOPE}"));
        let answer = service.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(listener.subjects(1).await, ["a"]);
}

#[sqlx::test]
async fn stream_filters_select_matching_events(db: PgPool) {
    let service = Service::start(db).await;
    let kind = "/v1/events?outcome=applied&kind=room_resolved";
    let queries = [
        ("".to_owned(), "/v1/events?outcome=applied"),
        ("?kind=room_resolved".to_owned(), kind),
        (format!("?kind=room_resolved&organization_id={ORGANIZATION}"), kind),
    ];
    let mut listeners = Vec::new();
    for (query, _) in &queries {
        listeners.push(Listener::start(&service, query).await);
    }
    let mut of_room = Listener::start(&service, &format!("?room_id={SITI}")).await;
    for fixture in &ALL {
        service.post(fixture.body()).await;
    }
    for (listener, (query, list)) in listeners.iter_mut().zip(&queries) {
        let rows = service.data(&format!("{list}&limit=500")).await;
        let rows = rows.as_array().unwrap().iter().rev();
        let rows =
            rows.filter(|row| !query.contains("org") || row["organization_id"] == ORGANIZATION);
        for row in rows {
            assert_eq!(listener.event().await["event_id"], row["event_id"], "{query}");
        }
    }
    // Its messages, their statuses, and its life.
    let mut kinds = BTreeSet::new();
    while !kinds.contains("room_resolved") {
        let event = of_room.event().await;
        assert_eq!(event["room_id"], SITI);
        kinds.insert(event["kind"].as_str().unwrap().to_owned());
    }
    for kind in ["receive_message_from_customer", "status_message", "agent_assigned_to_room"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}

#[sqlx::test]
async fn stream_sends_only_events_of_the_keys_organisations(db: PgPool) {
    let service = Service::start(db).await;
    let mut another = Listener::start_with(&service, KEY_OF_ANOTHER, "", None).await;
    let mut own = Listener::start_with(&service, KEY_OF_ORGANIZATION, "", None).await;
    // Of one that no organisation is known of, only a key for all hears.
    service.post(r#"{"data_event": "status_message", "id": "nobodys"}"#).await;
    service.post(message("own")).await;
    service.post(message("anothers").replace(ORGANIZATION, "another-organization")).await;
    assert_eq!(another.subjects(1).await, ["anothers"]);
    assert_eq!(own.subjects(1).await, ["own"]);
    for (key, status) in [
        (KEY_OF_ANOTHER, StatusCode::NOT_FOUND),
        (KEY_OF_ORGANIZATION, StatusCode::OK),
        (KEY_OF_ALL, StatusCode::OK),
        (KEY_WITHOUT_SCOPE, StatusCode::FORBIDDEN),
        ("wrong", StatusCode::UNAUTHORIZED),
    ] {
        let query = format!("?organization_id={ORGANIZATION}");
        assert_eq!(service.respond(request(key, &query, None)).await.status(), status, "{key}");
    }
}

#[sqlx::test]
async fn slow_stream_subscriber_is_disconnected_and_can_resume(db: PgPool) {
    let service = Service::start_with(db, &[("RECEIVER__STREAM__MAX_BEHIND", "10")]).await;
    let (mut slow, mut quick) =
        (Listener::start(&service, "").await, Listener::start(&service, "").await);
    let ids: Vec<String> = (0..20).map(|i| format!("{i:02}")).collect();
    // It takes the first and then nothing more, while the other one does.
    for (i, id) in ids.iter().enumerate() {
        service.post(message(id)).await;
        assert_eq!(quick.subjects(1).await, ids[i..=i]);
        if i == 0 {
            assert_eq!(slow.subjects(1).await, ids[..1]);
        }
    }
    assert!(matches!(slow.next().await, Some(Told::Comment(why)) if why.contains("too slow")));
    assert_eq!(slow.next().await, None);
    let mut slow = slow.go_on(&service, "").await;
    assert_eq!(slow.subjects(19).await, ids[1..]);
}

#[sqlx::test]
async fn stream_heartbeat_advances_the_last_event_id(db: PgPool) {
    let service = Service::start_with(db, &[("RECEIVER__STREAM__HEARTBEAT", "50ms")]).await;
    let mut listener = Listener::start(&service, "?room_id=quiet").await;
    let begun = listener.last_event_id.clone();
    service.post(message("elsewhere")).await;
    while listener.last_event_id == begun {
        assert_eq!(listener.next().await, Some(Told::Comment("heartbeat".into())));
    }
    service.post(message("quiet").replace(r#""r""#, r#""quiet""#)).await;
    let mut listener = listener.go_on(&service, "?room_id=quiet").await;
    assert_eq!(listener.subjects(1).await, ["quiet"]);
}

#[sqlx::test]
async fn stream_rejects_invalid_last_event_ids_and_parameters(db: PgPool) {
    let service = Service::start(db).await;
    const ALLOWED: &str = "must be an id that this stream gave";
    for id in
        ["1", "x.0", "1.0;drop table batch", "-1.0", "99999999999999999999.0", &"9".repeat(9999)]
    {
        let answer = service.send(request(KEY_OF_ALL, "", Some(id))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{id}");
        let messages = json!([format!("Last-Event-ID: {ALLOWED}")]);
        assert_eq!(answer.json()["error"]["messages"], messages);
    }
    let cases = [
        ("last_event_id=1", format!("last_event_id: {ALLOWED}")),
        ("last_event_id=a%00", "last_event_id: must not contain NUL".to_owned()),
        (
            "room=r",
            "room: unknown parameter; known are room_id, kind, organization_id, last_event_id"
                .to_owned(),
        ),
    ];
    for (query, message) in cases {
        let answer = service.get(&format!("/v1/stream?{query}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(answer.json()["error"]["messages"], json!([message]));
    }
}

#[sqlx::test]
async fn stream_resets_clients_beyond_retention(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut listener = Listener::start(&service, "").await;
    let mut ids = vec![listener.last_event_id.clone()];
    for id in ["a", "b", "c"] {
        service.post(message(id)).await;
        listener.event().await;
        ids.push(listener.last_event_id.clone());
    }
    service
        .execute(
            "update batch set at = at - interval '2 days' where xid <> (
        select xid from batch order by xid desc limit 1)",
        )
        .await;
    batch::forget(&db, Duration::from_secs(86400)).await.unwrap();
    // Of what is kept, the first tells from where on.
    assert_eq!(service.count("batch").await, 2);
    let far = format!("{}.0", i64::MAX);
    for (id, is_there) in [(&ids[0], false), (&ids[1], false), (&ids[2], true), (&far, false)] {
        let mut listener = Listener::start_with(&service, KEY_OF_ALL, "", Some(id)).await;
        let hello = listener.next().await.unwrap();
        if is_there {
            assert_eq!(hello, Told::Nothing);
            assert_eq!(listener.subjects(1).await, ["c"]);
        } else {
            let Told::Event(name, data) = hello else { panic!("{id}: {hello:?}") };
            assert_eq!(name, "reset");
            assert_documented(&data);
            let mut listener = listener.go_on(&service, "").await;
            let new = format!("after {id}");
            service.post(message(&new)).await;
            assert_eq!(listener.subjects(1).await, [new]);
        }
        service
            .execute(
                "delete from batch where xid > (
            select xid from batch order by xid offset 1 limit 1)",
            )
            .await;
    }
}

#[sqlx::test]
async fn stream_subscribers_above_the_limit_get_503(db: PgPool) {
    let service = Service::start_with(db, &[("RECEIVER__STREAM__MAX_LISTENERS", "1")]).await;
    let listener = Listener::start(&service, "").await;
    let refused = service.send(request(KEY_OF_ALL, "", None)).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "2");
    assert_eq!(refused.json()["error"]["messages"], json!(["too many listeners, try again later"]));
    drop(listener);
    Listener::start(&service, "").await;
}

/// When the service last asked the database anything.
async fn last_asked(db: &PgPool) -> Option<f64> {
    let sql = "select extract(epoch from max(state_change))::float8 from pg_stat_activity
        where datname = current_database() and application_name = 'qontak-receiver'";
    sqlx::query_scalar(sql).fetch_one(db).await.unwrap()
}

#[sqlx::test]
async fn stream_sends_no_queries_without_subscribers(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut listener = Listener::start(&service, "").await;
    let asked = last_asked(&db).await;
    // It is a listener who asks.
    timeout(Duration::from_millis(700), listener.next()).await.unwrap_err();
    assert_ne!(last_asked(&db).await, asked);
    drop(listener);
    pass().await;
    let asked = last_asked(&db).await;
    pass().await;
    assert_eq!(last_asked(&db).await, asked);
}

#[sqlx::test]
async fn batches_restored_from_another_server_are_deleted_at_start(db: PgPool) {
    let of_both = "insert into batch (xid, event_ids) values ('0', '{}'), ('1000000000000', '{}')";
    sqlx::raw_sql(of_both).execute(&db).await.unwrap();
    let service = Process::start(settings(&db.connect_options())).await;
    service.signal("TERM");
    assert_eq!(service.ended().await.0, Some(0));
    let sql = "select count(*) from batch where xid >= '1000000000000'";
    assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&db).await.unwrap(), 0);
}

#[sqlx::test(migrations = false)]
async fn graceful_shutdown_ends_every_stream_immediately(db: PgPool) {
    let service = Process::start(settings(&db.connect_options())).await;
    let client = reqwest::Client::new();
    let url = format!("{}/v1/stream", service.url);
    let mut stream = client.get(url).bearer_auth(KEY_OF_ALL).send().await.unwrap();
    post(&client, &service.url, body("01")).await.unwrap();
    let mut told = String::new();
    while !told.contains("event: receive_message_from_customer") {
        let bytes = timeout(DEADLINE, stream.chunk()).await.unwrap().unwrap().unwrap();
        told.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    service.signal("TERM");
    // To its end, not to where it was cut off.
    while timeout(DEADLINE, stream.chunk()).await.unwrap().unwrap().is_some() {}
    let (code, log) = service.ended().await;
    assert_eq!(code, Some(0), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("cut off")), "{log:?}");
}

#[sqlx::test]
async fn stream_ends_when_its_key_is_revoked(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start_with(db, &[("RECEIVER__STREAM__HEARTBEAT", "100ms")]).await;
    let key = key::create(&settings, &["--name", "dashboard"]).await;
    let mut listener = Listener::start_with(&service, &key, "", None).await;
    assert_eq!(listener.next().await, Some(Told::Nothing));
    for _ in 0..3 {
        assert_eq!(listener.next().await, Some(Told::Comment("heartbeat".into())));
    }
    service.execute("update api_key set revoked_at = now()").await;
    let end = async { while listener.next().await.is_some() {} };
    timeout(DEADLINE, end).await.expect("it still hears");
}
