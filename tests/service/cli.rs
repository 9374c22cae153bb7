//! Commands: their output when nobody reads it, and the settings that they need.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::PgPool;

use super::binary::{run, run_unread};
use super::fixtures::ALL;
use super::harness::{Service, settings};

#[sqlx::test]
async fn commands_end_silently_if_nobody_reads_their_output(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start(db).await;
    for fixture in &ALL[..5] {
        service.post(fixture.body()).await;
    }
    let event = service.data("/v1/events?limit=1").await[0]["event_id"].take();
    let body = ["body", event.as_str().unwrap()];
    let commands: [&[&str]; 7] = [
        &["replay", "--all"],
        &["replay", "--all", "--dry-run"],
        &["key", "list"],
        &["key", "create", "--name", "a", "--scope", "read", "--organization", "*"],
        &["check"],
        &["openapi"],
        &body,
    ];
    for command in commands {
        let output = run_unread(&settings, command).await;
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(141), "{command:?}: {errors}");
        assert!(!errors.contains("panic"), "{command:?}: {errors}");
    }
}

#[sqlx::test(migrations = false)]
async fn only_serve_and_check_need_a_webhook_token(db: PgPool) {
    let mut settings: BTreeMap<String, String> = settings(&db.connect_options());
    settings.retain(|name, _| !name.starts_with("RECEIVER__ENDPOINT__"));
    let event = "01900000-0000-7000-8000-000000000000";
    for (command, code, error) in [
        (&["migrate"][..], 0, ""),
        (&["key", "list"], 0, ""),
        (&["replay", "--all"], 0, ""),
        (&["body", event], 1, "event not found in the journal"),
        // Nothing listens there.
        (&["healthcheck"], 1, "request failed"),
        (&["serve"], 1, "endpoint: no webhook token is set"),
        (&["check"], 1, "endpoint: no webhook token is set"),
    ] {
        let output = run(&settings, command).await;
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{command:?}: {errors}");
        assert!(errors.contains(error), "{command:?}: {errors}");
    }
}

#[sqlx::test]
async fn dry_run_does_not_log_that_it_quarantined_an_event(db: PgPool) {
    let settings = settings(&db.connect_options());
    let service = Service::start(db).await;
    service.post(json!({"data_event": "status_message", "id": "m"}).to_string()).await;
    service
        .execute(
            "create function refuse() returns trigger language plpgsql
                 as 'begin raise exception ''refused''; end';
             create trigger refuse before insert on message for each row execute function refuse();",
        )
        .await;
    let printed = async |arguments: &[&str]| {
        let output = run(&settings, arguments).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let logged = "event rejected by the database, quarantined";
    let dry_run = printed(&["replay", "--all", "--dry-run"]).await;
    assert!(dry_run.contains(": applied -> quarantined\n"), "{dry_run}");
    assert!(!dry_run.contains(logged), "{dry_run}");
    let replay = printed(&["replay", "--all"]).await;
    assert!(replay.contains(": applied -> quarantined\n"), "{replay}");
    assert!(replay.contains(logged), "{replay}");
}
