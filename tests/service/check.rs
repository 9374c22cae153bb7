//! `check` on broken set-ups: each problem is one line that says what to do.

mod cases;
mod pooler;

use std::collections::BTreeMap;
use std::process::Output;

use axum::Router;
use axum::response::Redirect;
use axum::routing::any;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use self::cases::{CASES, Case};
use self::pooler::{Fake, Mode};
use super::binary::{Process, run, run_by_shell};
use super::harness::{TOKEN, settings};

type Settings = BTreeMap<String, String>;

/// Checks of a JSON report that are not fine, each as `STATE NAME: TEXT`.
fn problems(output: &Output) -> (bool, Vec<String>) {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ok = report["ok"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!ok)), "{report}");
    let checks = report["checks"].as_array().unwrap().iter().map(|check| {
        let [name, state, text] = ["name", "state", "text"].map(|it| check[it].as_str().unwrap());
        assert!(!text.contains('\n') && !text.contains(TOKEN), "{text}");
        format!("{state} {name}: {text}")
    });
    (ok, checks.filter(|check| !check.starts_with("ok ")).collect())
}

/// Problems of a set-up. The test server does without fsync, and the tests without a spool.
async fn check(settings: &Settings, arguments: &[&str]) -> (bool, Vec<String>) {
    let arguments = [&["check", "--json"], arguments].concat();
    let (ok, mut problems) = problems(&run(settings, &arguments).await);
    problems
        .retain(|it| !it.starts_with("fail durability: ") && !it.starts_with("warn spool: none"));
    (ok, problems)
}

fn assert_names(expected: &str, found: &[String]) {
    let is_named = found.iter().any(|problem| problem.starts_with(expected));
    assert!(is_named, "expected {expected:?} among {found:#?}");
}

async fn execute(db: &PgConnectOptions, sql: &str) {
    let mut connection = PgConnection::connect_with(db).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

fn set(settings: &mut Settings, changes: &[(&str, &str)]) {
    for (name, value) in changes {
        let value = value.replace("{token}", TOKEN);
        // An empty value removes the setting.
        match value.as_str() {
            "" => _ = settings.remove(*name),
            _ => _ = settings.insert((*name).to_owned(), value),
        }
    }
}

#[sqlx::test(migrations = false)]
async fn broken_set_ups_are_found(db: PgPool) {
    let database = (*db.connect_options()).clone();
    let valid = settings(&database);
    assert!(run(&valid, &["migrate"]).await.status.success());
    assert_eq!(check(&valid, &[]).await.1, Vec::<String>::new());
    for Case { changes, sql, undo, expected } in CASES {
        // Each session has the settings of its database.
        execute(&database, sql).await;
        let mut settings = valid.clone();
        set(&mut settings, changes);
        let (_, found) = check(&settings, &[]).await;
        assert_names(expected, &found);
        execute(&database, undo).await;
    }
    assert_eq!(check(&valid, &[]).await.1, Vec::<String>::new());
    assert!(CASES.len() >= 40, "{}", CASES.len());
}

#[sqlx::test(migrations = false)]
async fn database_that_was_never_migrated_is_found(db: PgPool) {
    let (_, found) = check(&settings(&db.connect_options()), &[]).await;
    assert_names("fail schema: migrations are pending; run `qontak-receiver migrate`", &found);
}

#[sqlx::test(migrations = false)]
async fn unlogged_tables_are_found(db: PgPool) {
    let settings = settings(&db.connect_options());
    assert!(run(&settings, &["migrate"]).await.status.success());
    let change = "alter table message set unlogged; create unlogged table other_cache (i int)";
    execute(&db.connect_options(), change).await;
    let (_, found) = problems(&run(&settings, &["check", "--json"]).await);
    let problem = "message is unlogged; run: alter table message set logged";
    assert!(found.iter().any(|found| found.contains(problem)), "{found:#?}");
    assert!(!found.iter().any(|found| found.contains("other_cache")), "{found:#?}");
}

#[sqlx::test(migrations = false)]
async fn database_with_another_encoding_is_found_and_refused(db: PgPool) {
    let name = format!("ascii_{}", std::process::id());
    let create =
        format!("create database {name} encoding 'SQL_ASCII' locale 'C' template template0");
    execute(&db.connect_options(), &create).await;
    let settings = settings(&(*db.connect_options()).clone().database(&name));
    let (_, found) = check(&settings, &[]).await;
    assert_names("fail encoding: SQL_ASCII; create the database with: create database", &found);
    let output = run(&settings, &[]).await;
    execute(&db.connect_options(), &format!("drop database {name} with (force)")).await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("qontak-receiver: encoding: SQL_ASCII; "), "{stderr}");
}

#[sqlx::test(migrations = false)]
async fn poolers_and_old_servers_are_found_and_refused_before_a_migration(db: PgPool) {
    let cases = [
        (
            Mode::Transactions,
            "150004",
            " is a pooler in transaction mode, which loses session settings",
        ),
        (
            Mode::NoSettings,
            "150004",
            " is a pooler that ignores session settings such as timeouts; set",
        ),
        (Mode::RejectsSettings, "150004", " is a pooler that ignores session settings such as"),
        (Mode::NoSettings, "140011", " is a pooler that ignores"),
        (Mode::Session, "140011", "PostgreSQL 14 is too old; upgrade it to 15 or newer"),
    ];
    for (mode, version, expected) in cases {
        let fake = Fake::start(&db.connect_options(), mode, version).await;
        let mut settings = settings(&db.connect_options());
        settings.insert("DATABASE_URL".into(), fake.url.clone());
        let (_, found) = check(&settings, &[]).await;
        let is_found =
            |problem: &String| problem.starts_with("fail database: ") && problem.contains(expected);
        assert!(found.iter().any(is_found), "{expected}: {found:?}");
        for command in ["serve", "migrate"] {
            let output = run(&settings, &[command]).await;
            assert_eq!(output.status.code(), Some(1));
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(stderr.contains(expected), "{command}: {stderr}");
        }
    }
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_class where relname = 'event'")
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(tables, 0);
}

#[sqlx::test(migrations = false)]
async fn connection_without_encryption_is_a_warning(db: PgPool) {
    let fake = Fake::start(&db.connect_options(), Mode::Session, "150004").await;
    let mut settings = settings(&db.connect_options());
    assert!(run(&settings, &["migrate"]).await.status.success());
    settings.insert("DATABASE_URL".into(), fake.url.replace("127.0.0.1", "0.0.0.0"));
    let (_, found) = check(&settings, &[]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_names("warn encryption: none to 0.0.0.0:", &found);
}

#[sqlx::test(migrations = false)]
async fn ports_of_other_programs_and_of_this_service_are_told_apart(db: PgPool) {
    let mut settings = settings(&db.connect_options());
    assert!(run(&settings, &["migrate"]).await.status.success());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (name, setting) in [("HTTP", "http.listen"), ("OPS", "ops.listen")] {
        let name = format!("RECEIVER__{name}__LISTEN");
        let before = settings.insert(name.clone(), address.clone()).unwrap();
        let (ok, found) = check(&settings, &[]).await;
        assert!(!ok);
        assert_names(&format!("fail ports: {setting}: cannot listen on {address}: "), &found);
        settings.insert(name, before);
    }
    let service = Process::start(settings.clone()).await;
    for (name, url) in [("HTTP", &service.url), ("OPS", &service.ops)] {
        let address = url.strip_prefix("http://").unwrap().to_owned();
        settings.insert(format!("RECEIVER__{name}__LISTEN"), address);
    }
    assert_eq!(check(&settings, &[]).await.1, Vec::<String>::new());
}

#[sqlx::test(migrations = false)]
async fn too_few_open_files_are_found_and_refused(db: PgPool) {
    let settings = settings(&db.connect_options());
    let limited = async |command: &str| {
        run_by_shell(&settings, &format!("ulimit -n 300; exec \"$BINARY\" {command}")).await
    };
    let expected = "`ulimit -n` is 300, too low for http.max_connections (2048); raise it, or set that \
        to 161 at most";
    assert_names(&format!("fail files: {expected}"), &problems(&limited("check --json").await).1);
    let stderr = String::from_utf8(limited("serve").await.stderr).unwrap();
    assert_eq!(stderr, format!("qontak-receiver: files: {expected}\n"));
    // The soft limit is raised.
    let output = run_by_shell(&settings, "ulimit -Sn 300; exec \"$BINARY\" check --json").await;
    assert!(!problems(&output).1.iter().any(|it| it.contains("files")), "{output:?}");
}

#[sqlx::test(migrations = false)]
async fn public_url_is_tested(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Process::start(settings.clone()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = format!("http://{}", listener.local_addr().unwrap());
    let elsewhere = format!("{}/webhooks/qontak/{TOKEN}", service.url);
    let router = Router::new()
        .route("/moved/{token}", any(async move || Redirect::temporary(&elsewhere)))
        .fallback(async || "hello");
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (url, expected) in [
        (format!("{}/webhooks/qontak/{TOKEN}", service.url), ""),
        (
            format!("{}/webhooks/qontak/another-token-of-24-chars", service.url),
            "its token is not one of",
        ),
        (
            format!("{}/hooks/{TOKEN}", service.url),
            "webhook URL: answered 404; the path or its token",
        ),
        (format!("{other}/{TOKEN}"), "webhook URL: did not repeat verify_info; another program"),
        (format!("{other}/moved/{TOKEN}"), "webhook URL: redirects (307 Temporary Redirect)"),
        (format!("http://{unused}/webhooks/qontak/{TOKEN}"), "webhook URL: "),
        (format!("http://example.com/webhooks/qontak/{TOKEN}"), "--url: expected https://host/"),
    ] {
        let (_, found) = check(&settings, &["--url", &url]).await;
        match expected {
            "" => assert_eq!(found, Vec::<String>::new()),
            expected => assert_names(&format!("fail url: {expected}"), &found),
        }
    }
}

#[sqlx::test(migrations = false)]
async fn role_without_rights_for_partitions_is_warned_while_they_last(db: PgPool) {
    let owner = settings(&db.connect_options());
    assert!(run(&owner, &["migrate", "--days", "30"]).await.status.success());
    let role = format!("clerk_{}", std::process::id());
    let grant = format!(
        "create role {role} login;
         grant select, insert, update, delete on all tables in schema public to {role};
         grant usage on all sequences in schema public to {role}"
    );
    execute(&db.connect_options(), &grant).await;
    let settings = settings(&(*db.connect_options()).clone().username(&role));
    let (_, found) = check(&settings, &[]).await;
    let expected = format!(
        "warn partitions: {role} may not create them, and they end in 30 day(s); run `qontak-receiver \
         migrate --days 30` as the owner in a daily job, or: grant postgres to {role}; grant create on \
         schema public to {role}"
    );
    assert_eq!(found, [expected]);
    // It starts, also when the next one is missing.
    let drop = "select format('drop table %I', max(relname)) from pg_class
        where relname ~ '^event_[0-9]{8}$'
            and relname <= to_char(now() at time zone 'UTC' + interval '3 days', '\"event_\"YYYYMMDD')";
    let drop: String = sqlx::query_scalar(drop).fetch_one(&db).await.unwrap();
    execute(&db.connect_options(), &drop).await;
    let service = Process::start(settings).await;
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0));
    for said in ["partitions not created", "may not create them, and they end in 2 day(s)"] {
        assert!(log.iter().any(|line| line.contains(said)), "{said}: {log:?}");
    }
    execute(&db.connect_options(), &format!("drop owned by {role}; drop role {role}")).await;
}

#[sqlx::test(migrations = false)]
async fn report_as_json_has_the_checks_of_the_text(db: PgPool) {
    let settings = settings(&db.connect_options());
    assert!(run(&settings, &["migrate"]).await.status.success());
    let text = String::from_utf8(run(&settings, &["check"]).await.stdout).unwrap();
    let report: Value =
        serde_json::from_slice(&run(&settings, &["check", "--json"]).await.stdout).unwrap();
    let names: Vec<&str> =
        text.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.iter().map(|check| &check["name"]).collect::<Vec<_>>(), names);
    assert_eq!(
        checks[0],
        json!({"name": "settings", "state": "ok", "text": "2 endpoint(s), 2 token(s)"})
    );
}
