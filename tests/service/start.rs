//! Start of the binary: settings that it refuses, and what it logs.

use serde_json::Value;
use sqlx::PgPool;

use super::binary::{Process, post, run};
use super::harness::{TOKEN, settings};

#[sqlx::test(migrations = false)]
async fn invalid_settings_stop_the_start_with_a_one_line_error(db: PgPool) {
    let valid = settings(&db.connect_options());
    let cases = [
        ("RECEIVER__WRITER__MAX_BTACH", "3", "max_btach"),
        ("RECEIVER__HTTP__LISTEN", "nowhere", "http.listen"),
        ("DATABASE_URL", "", "DATABASE_URL"),
        ("RECEIVER__ENDPOINT__QONTAK__TOKENS", "short", "endpoint.qontak.tokens"),
        ("RECEIVER__LOG__FILTER", "a=b=c", "log.filter"),
        ("RECEIVER__LOG__FORMAT", "xml", "log.format: expected text or json"),
        ("DATABASE_URL", "postgres://localhost:1/none", "check DATABASE_URL"),
    ];
    for (name, value, named) in cases {
        let mut settings = valid.clone();
        settings.insert(name.into(), value.into());
        let output = run(&settings, &[]).await;
        assert!(!output.status.success());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(named), "{stderr}");
        assert!(!stderr.contains(TOKEN), "{stderr}");
    }
}

#[sqlx::test(migrations = false)]
async fn start_logs_version_and_settings_and_its_error_is_json_too(db: PgPool) {
    let mut settings = settings(&db.connect_options());
    let service = Process::start(settings.clone()).await;
    let client = reqwest::Client::new();
    client.get(format!("{}/v1/rooms", service.url)).send().await.unwrap();
    post(&client, &service.url, vec![b' '; 2 << 20]).await.unwrap();
    service.signal("TERM");
    let (_, log) = service.wait_for_exit().await;
    let starting: Value = serde_json::from_str(&log[0]).unwrap();
    assert_eq!((&starting["message"], &starting["version"]), (&"starting".into(), &"0.1.0".into()));
    assert_eq!(starting["settings.endpoint"], r#"["bound", "qontak"]"#);
    for (name, shown) in [("http", "max_connections: 2048"), ("writer", "commit_timeout: 6s")] {
        let section = starting[format!("settings.{name}")].as_str().unwrap();
        assert!(section.contains(shown), "{section}");
    }
    assert!(!log[0].contains(TOKEN) && !log[0].contains("postgres:"), "{}", log[0]);
    for reason in ["unauthorized", "body_too_large"] {
        let line = format!("\"reason\":\"{reason}\"");
        assert!(log.iter().any(|it| it.contains(&line) && it.contains("\"INFO\"")), "{log:?}");
    }

    settings.insert("RECEIVER__LOG__FORMAT".into(), "json".into());
    for (name, value, expected) in [
        ("RECEIVER__WRITER__TASKS", "many", "writer.tasks: expected an integer"),
        ("RECEIVER__HTTP__LISTEN", "192.0.2.1:0", "http.listen: cannot listen on 192.0.2.1:0"),
    ] {
        let mut settings = settings.clone();
        settings.insert(name.into(), value.into());
        let output = run(&settings, &[]).await;
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &b""[..]));
        let lines = String::from_utf8(output.stdout).unwrap();
        let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!((&last["level"], &last["message"]), (&"ERROR".into(), &"service ended".into()));
        assert!(last["error"].as_str().unwrap().starts_with(expected), "{last}");
    }
}
