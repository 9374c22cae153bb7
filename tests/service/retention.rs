//! Rows are deleted by age without disturbing webhooks: partitions of the journal, and other tables.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::{Days, NaiveDate};
use qontak_receiver::app::retention;
use qontak_receiver::config::Config;
use qontak_receiver::model::Timestamp;
use qontak_receiver::store::broadcast_log::hour_count;
use qontak_receiver::store::message::count;
use qontak_receiver::store::{partition, retention::Kind};
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool};
use tokio::task::JoinSet;

use super::binary::run;
use super::fixtures::body;
use super::harness::{Service, settings};
use super::spool::wait_until;

/// All ages are 90 days; the journal's is 60.
const AGES: [(&str, &str); 7] = [
    ("RECEIVER__RETENTION__EVENT_DAYS", "60"),
    ("RECEIVER__RETENTION__MESSAGE_DAYS", "90"),
    ("RECEIVER__RETENTION__BROADCAST_DAYS", "90"),
    ("RECEIVER__RETENTION__ROOM_DAYS", "90"),
    ("RECEIVER__RETENTION__ROOM_EVENT_DAYS", "90"),
    ("RECEIVER__RETENTION__COUNT_DAYS", "90"),
    ("RECEIVER__RETENTION__BATCH_ROWS", "3"),
];

/// Tables with an age.
const TABLES: [&str; 13] = [
    "event",
    "message",
    "message_channel_id",
    "response",
    "room",
    "room_word",
    "room_event",
    "resolution",
    "broadcast",
    "broadcast_log",
    "broadcast_count",
    "ledger",
    "message_count",
];

fn config(db: &PgPool) -> Config {
    let mut settings = settings(&db.connect_options());
    settings.extend(AGES.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Config::read(None, settings).unwrap()
}

/// A conversation and a broadcast of a day: a customer's message, its answer, a resolution, a recipient.
/// `number` makes the ids unique.
fn day_of(day: NaiveDate, number: usize) -> Vec<String> {
    let ids = [
        "1b6321cd-5091-4cd9-bd8b-91220cd20198",
        "bbad9ab7-b270-4339-a60f-aba6c2fac7a7",
        "24a60fba-3bc1-4694-9f51-66c4b74d1978",
        "e674cac5-f2d7-4066-8a5d-615e55f52d29",
        "fe115858-845d-4fd4-9e90-4129207696b4",
        "5ea8c3f9-65f3-494a-97f4-1ad64958d1dc",
        "wamid.",
    ];
    let bodies = ["01", "07", "08", "06", "19", "31"].map(|file| {
        let mut text = String::from_utf8(body(file)).unwrap();
        for id in ids {
            text = text.replace(id, &format!("{number}-{id}"));
        }
        text.replace("2025-06-12", &day.to_string())
    });
    bodies.into()
}

async fn execute(db: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.unwrap();
}

async fn post_all(service: &Service, bodies: Vec<String>) {
    for body in bodies {
        let response = service.post(body).await;
        assert_eq!(response.status, StatusCode::OK, "{:?}", response.json());
    }
}

/// Moves what was received just now to a day of the simulated past.
async fn received_on(db: &PgPool, day: NaiveDate) {
    let day_before = day - Days::new(1);
    let mut connection = db.acquire().await.unwrap();
    partition::create(&mut connection, [day].into_iter()).await.unwrap();
    execute(
        db,
        &format!(
            "insert into event
             select '{day}', organization, event_id, received_at, endpoint, kind, name, subject_id,
                 outcome, reasons, dedup_key, deliveries, body, dictionary, body_bytes, parser_version,
                 request_id
             from event where day > '{day_before}'::date + 400 or day = current_date
             on conflict do nothing;
             delete from event where day = (now() at time zone 'UTC')::date and day <> '{day}';
             update room_event set received_at = '{day}' where received_at > now() - interval '1 day';
             update ledger set hour = '{day}', writer_id = gen_random_uuid()
             where hour > now() - interval '1 day'"
        ),
    )
    .await;
}

#[sqlx::test]
async fn three_years_leave_bounded_tables_and_undisturbed_webhooks(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let config = config(&db);
    let today = Timestamp::now().day();
    let mut sizes = Vec::new();
    for month in 0..36_usize {
        let day = today - Days::new(30 * (36 - month as u64));
        post_all(&service, day_of(day, 2 * month)).await;
        received_on(&db, day).await;
        let now = Timestamp(day.and_hms_opt(12, 0, 0).unwrap().and_utc());
        let deleting = async {
            partition::drop_before(&db, day - Days::new(config.retention.event_days))
                .await
                .unwrap();
            retention::run(&db, &config.retention, now, || true).await.unwrap();
        };
        tokio::join!(deleting, post_all(&service, day_of(day, 2 * month + 1)));
        received_on(&db, day).await;
        // A loaded machine counts in two tasks, each with rows of its own until they are merged.
        count::compact(&db).await.unwrap();
        hour_count::compact(&db).await.unwrap();
        let mut size = Vec::new();
        for table in TABLES {
            size.push(service.count(table).await);
        }
        sizes.push(size);
    }
    let steady = &sizes[6];
    for (month, size) in sizes.iter().enumerate().skip(6) {
        for (table, (rows, steady)) in TABLES.iter().zip(size.iter().zip(steady)) {
            assert!(*steady > 0 && *rows <= steady + 3, "{table}, month {month}: {rows} {steady}");
        }
    }
    // What is deleted again by a statement that takes all at once would be nothing more.
    let old = today - Days::new(30 + 91);
    let left = format!(
        "select (select count(*) from message where at < '{old}')
             + (select count(*) from room where activity_at < '{old}')
             + (select count(*) from broadcast_log where at < '{old}')
             + (select count(*) from message_count where hour < '{old}')"
    );
    let left: i64 = sqlx::query_scalar(AssertSqlSafe(left)).fetch_one(&db).await.unwrap();
    assert_eq!(left, 0);
}

#[sqlx::test]
async fn counts_of_hours_outlive_the_rows_that_they_counted(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let mut config = config(&db);
    config.retention.count_days = 0;
    let day = Timestamp::now().day() - Days::new(100);
    post_all(&service, day_of(day, 1)).await;
    let path = format!("/v1/stats?start_date={day}&end_date={day}");
    let before = service.data(&path).await;
    let done = retention::run(&db, &config.retention, Timestamp::now(), || true).await.unwrap();
    assert!(done.iter().any(|(kind, rows)| *kind == Kind::BroadcastLog && *rows == 1), "{done:?}");
    for table in ["message", "message_channel_id", "room", "broadcast", "broadcast_log"] {
        assert_eq!(service.count(table).await, 0, "{table}");
    }
    let after = service.data(&path).await;
    for field in ["messages", "deliveries"] {
        assert_eq!(before[field], after[field], "{before} {after}");
    }
    let recipients = "recipient_count where count > 0";
    assert_eq!(service.count(recipients).await, 1);
}

/// Waits until a statement with these words waits for a transaction of a reader.
async fn wait_for_detach(db: &PgPool) {
    wait_until(async || {
        let sql = "select count(*) from pg_stat_activity
            where query like 'alter table event detach%' and wait_event_type = 'Lock'
                and datname = current_database()";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(db).await.unwrap() > 0
    })
    .await;
}

#[sqlx::test]
async fn long_reads_delay_dropping_a_partition_and_never_a_webhook(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let day = Timestamp::now().day() - Days::new(100);
    partition::create(&mut db.acquire().await.unwrap(), [day].into_iter()).await.unwrap();
    let mut reader = db.begin().await.unwrap();
    sqlx::query("select count(*) from event").execute(&mut *reader).await.unwrap();
    let mut dropping = JoinSet::new();
    let pool = db.clone();
    dropping.spawn(async move { partition::drop_before(&pool, day + Days::new(1)).await });
    wait_for_detach(&db).await;
    post_all(&service, day_of(Timestamp::now().day(), 1)).await;
    assert!(dropping.try_join_next().is_none());
    reader.commit().await.unwrap();
    let dropped = tokio::time::timeout(Duration::from_secs(60), dropping.join_next());
    assert_eq!(dropped.await.unwrap().unwrap().unwrap().unwrap(), [day]);
    assert!(!partition::list(&db).await.unwrap().contains(&day));
}

#[sqlx::test]
async fn interrupted_drop_of_a_partition_is_finished(db: PgPool) {
    let _service = Service::start(db.clone()).await;
    let day = Timestamp::now().day() - Days::new(100);
    let name = day.format("event_%Y%m%d").to_string();
    let by_hand = (day - Days::new(1)).format("event_%Y%m%d").to_string();
    let days = [day - Days::new(1), day].into_iter();
    partition::create(&mut db.acquire().await.unwrap(), days).await.unwrap();
    execute(&db, &format!("alter table event detach partition {by_hand}")).await;
    let mut reader = db.begin().await.unwrap();
    sqlx::query("select count(*) from event").execute(&mut *reader).await.unwrap();
    let mut connection = db.connect_options().connect().await.unwrap();
    sqlx::raw_sql("set statement_timeout = '200ms'").execute(&mut connection).await.unwrap();
    let detach = format!("alter table event detach partition {name} concurrently");
    let interrupted = sqlx::raw_sql(AssertSqlSafe(detach)).execute(&mut connection).await;
    assert!(interrupted.is_err());
    reader.commit().await.unwrap();
    let dropped = partition::drop_before(&db, day + Days::new(1)).await.unwrap();
    assert_eq!(dropped, [day]);
    // What somebody keeps as an archive stays.
    let kept =
        format!("select to_regclass('{by_hand}') is not null and to_regclass('{name}') is null");
    assert!(sqlx::query_scalar::<_, bool>(AssertSqlSafe(kept)).fetch_one(&db).await.unwrap());
}

#[sqlx::test]
async fn command_prints_what_it_would_delete_and_deletes_it(db: PgPool) {
    let service = Service::start(db.clone()).await;
    let day = Timestamp::now().day() - Days::new(100);
    partition::create(&mut db.acquire().await.unwrap(), [day].into_iter()).await.unwrap();
    post_all(&service, day_of(day, 1)).await;
    post_all(&service, day_of(Timestamp::now().day() - Days::new(1), 2)).await;
    let mut settings = settings(&db.connect_options());
    settings.extend(AGES.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let retention = async |arguments: &[&str]| {
        let output = run(&settings, arguments).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = retention(&["retention", "--dry-run"]).await;
    let messages = service.count("message").await;
    assert!(printed.contains("journal: 1 day(s) before "), "{printed}");
    assert!(printed.contains("\nroom: 1 row(s) before "), "{printed}");
    assert!(printed.contains("\nbroadcast: 1 row(s) before "), "{printed}");
    assert!(partition::list(&db).await.unwrap().contains(&day));
    let printed = retention(&["retention"]).await;
    assert!(printed.contains("journal: 1 day(s) before "), "{printed}");
    assert!(printed.contains("\nroom: 1 row(s)\n"), "{printed}");
    assert_eq!(service.count("message").await, messages / 2);
    assert!(!partition::list(&db).await.unwrap().contains(&day));
}
