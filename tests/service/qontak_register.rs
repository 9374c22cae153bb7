//! `qontak-receiver register` and `check` against a fake of Qontak.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::response::Redirect;
use axum::routing::post;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::binary::{Process, run};
use super::harness::{TOKEN, settings};
use super::qontak_client::{FakeQontak, environment};

/// A running service, and the settings to register it.
struct Setup {
    qontak: FakeQontak,
    service: Process,
    settings: BTreeMap<String, String>,
}

impl Setup {
    async fn start(db: &PgPool) -> Self {
        let qontak = FakeQontak::start().await;
        let service = Process::start(settings(&db.connect_options())).await;
        let mut settings = settings(&db.connect_options());
        settings.extend(qontak.hmac());
        Self { qontak, service, settings }
    }

    fn url(&self) -> String {
        format!("{}/webhooks/qontak/{TOKEN}", self.service.url)
    }

    /// Runs the command; returns its exit code and everything it printed.
    async fn register(&self, arguments: &[&str]) -> (i32, String) {
        command(&self.settings, &[&["register"], arguments].concat()).await
    }
}

async fn command(settings: &BTreeMap<String, String>, arguments: &[&str]) -> (i32, String) {
    let output = run(settings, arguments).await;
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
}

/// URLs in a category of the fake.
fn urls(state: &Value, category: &str) -> Vec<String> {
    let rows = state["webhooks"][category].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["url"].as_str().unwrap().to_owned()).collect()
}

fn enabled(state: &Value) -> Vec<&str> {
    let events = state["enabled"].as_object().unwrap().iter();
    events.filter(|(_, is_on)| **is_on == json!(true)).map(|(event, _)| event.as_str()).collect()
}

#[sqlx::test(migrations = false)]
async fn register_adds_what_is_missing_and_changes_nothing_the_second_time(db: PgPool) {
    let setup = Setup::start(&db).await;
    let url = setup.url();
    let other = "https://crm.example/in/token-of-somebody-else";
    setup.qontak.change(json!({
        "on": ["room_created", "agent_handover_room"],
        "add": { "message_interactions": other },
    }));

    let (code, printed) = setup.register(&["--url", &url, "--dry-run"]).await;
    assert_eq!(code, 6, "{printed}");
    assert!(printed.contains("would change  message_interactions, room_"), "{printed}");
    assert_eq!(urls(&setup.qontak.show(), "message_interactions"), [other]);

    let (code, printed) = setup.register(&["--url", &url]).await;
    assert_eq!(code, 0, "{printed}");
    let state = setup.qontak.show();
    assert_eq!(urls(&state, "message_interactions"), [other, &url]);
    assert_eq!(urls(&state, "room_interactions"), [url.as_str()]);
    assert_eq!(urls(&state, "waba_interactions"), [url.as_str()]);
    let all = [
        "agent_handover_room",
        "broadcast_log_status",
        "receive_message_from_agent",
        "receive_message_from_customer",
        "room_created",
        "room_resolved",
        "status_message",
        "status_template",
    ];
    assert_eq!(enabled(&state), all);
    assert!(printed.contains("also receives message_interactions: https://crm.example/in/toke…"));
    assert!(printed.contains("Only Qontak's dashboard can switch on: agent_assigned_to_room"));
    assert!(!printed.contains(TOKEN) && !printed.contains("somebody-else"), "{printed}");

    let writes = state["requests"]["PUT message_interactions"].clone();
    let (code, printed) = setup.register(&["--url", &url]).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("changed       nothing"), "{printed}");
    assert_eq!(setup.qontak.show()["requests"]["PUT message_interactions"], writes);
    let (code, printed) = setup.register(&["--url", &url, "--dry-run"]).await;
    assert_eq!(code, 0, "{printed}");
}

#[sqlx::test(migrations = false)]
async fn settings_that_each_call_shows_only_for_its_category_are_registered(db: PgPool) {
    let setup = Setup::start(&db).await;
    setup.qontak.change(json!({ "is_split": true }));
    let arguments = ["--url", &setup.url(), "--events", "status_message,room_resolved"];
    for changed in ["message_interactions, room_interactions", "nothing"] {
        let (code, printed) = setup.register(&arguments).await;
        assert_eq!(code, 0, "{printed}");
        assert!(printed.contains(&format!("changed       {changed}\n")), "{printed}");
    }
    assert_eq!(enabled(&setup.qontak.show()), ["room_resolved", "status_message"]);
}

#[sqlx::test(migrations = false)]
async fn replaced_url_is_removed_after_the_new_one_and_its_events_stay_on(db: PgPool) {
    for is_removal_off in [false, true] {
        let setup = Setup::start(&db).await;
        setup.qontak.change(json!({ "is_removal_off": is_removal_off }));
        let (url, old) = (setup.url(), "http://127.0.0.1:9/webhooks/qontak/old-token");
        setup.qontak.change(json!({
            "on": ["receive_message_from_customer", "status_message", "room_resolved"],
            "add": { "message_interactions": old, "room_interactions": old },
        }));
        let arguments = ["--url", &url, "--remove", old];
        let (code, printed) = setup.register(&[&arguments[..], &["--dry-run"]].concat()).await;
        assert_eq!(code, 6, "{printed}");
        assert!(printed.contains("to be removed message_interactions: "), "{printed}");

        let (code, printed) = setup.register(&arguments).await;
        assert_eq!(code, 0, "{printed}");
        let state = setup.qontak.show();
        assert_eq!(urls(&state, "message_interactions"), [url.as_str()]);
        assert_eq!(urls(&state, "room_interactions"), [url.as_str()]);
        assert_eq!(enabled(&state).len(), 6, "{state}");

        let (code, printed) = setup.register(&["--url", &url, "--remove", &url]).await;
        assert_eq!(code, 1, "{printed}");
        assert!(printed.contains("--remove: is the URL to register"), "{printed}");
    }
}

#[sqlx::test(migrations = false)]
async fn url_that_is_registered_twice_is_reported(db: PgPool) {
    let setup = Setup::start(&db).await;
    let url = setup.url();
    setup.register(&["--url", &url]).await;
    setup.qontak.change(json!({ "add": { "room_interactions": url } }));
    let (code, printed) = setup.register(&["--url", &url]).await;
    assert_eq!(code, 5, "{printed}");
    assert!(printed.contains("FAIL: the URL is registered twice"), "{printed}");
}

/// Another program at `/in`, `/moved` and `/broken`.
async fn other_program(serving: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/in", post(async || "hello"))
        .route("/broken", post(async || axum::http::StatusCode::BAD_GATEWAY))
        .route("/moved", post(async || Redirect::permanent("/in")));
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[sqlx::test(migrations = false)]
async fn failed_registrations_change_nothing_and_say_why(db: PgPool) {
    let setup = Setup::start(&db).await;
    let mut serving = JoinSet::new();
    let other = other_program(&mut serving).await;
    let url = setup.url();
    let with = |values: &[(&str, &str)]| {
        let mut settings = setup.settings.clone();
        settings.extend(environment(values));
        settings
    };
    let as_set = with(&[]);
    let wrong_token = format!("{}/webhooks/qontak/another-token-of-nobody", setup.service.url);
    let no_host = "https://host.invalid/webhooks/qontak/token-of-no-host";
    let insecure = "http://hook.example/webhooks/qontak/insecure-token";
    for (settings, url, change, code, expected) in [
        (&as_set, format!("{other}/moved"), json!({}), 1, "redirects (308 Permanent Redirect)"),
        (&as_set, format!("{other}/in"), json!({}), 1, "did not repeat verify_info"),
        (&as_set, format!("{other}/broken"), json!({}), 1, "with 502 Bad Gateway instead of 200"),
        (&as_set, wrong_token, json!({}), 1, "answered 404; the path or its token"),
        (&as_set, no_host.into(), json!({}), 1, "cannot connect to host.invalid"),
        (
            &as_set,
            insecure.into(),
            json!({}),
            1,
            "--url: expected https://host/webhooks/qontak/TOKEN",
        ),
        (
            &with(&[("CLIENT_SECRET", "another-secret-of-the-client")]),
            url.clone(),
            json!({}),
            3,
            "rejected the credentials",
        ),
        (&as_set, url.clone(), json!({ "clock_offset": 900 }), 3, "the clock differs by"),
        (
            &with(&[("ORGANIZATION_ID", "another-organization")]),
            url.clone(),
            json!({ "clock_offset": 0 }),
            3,
            "not another-organization",
        ),
        (
            &as_set,
            url.clone(),
            json!({ "fault": "server_error", "times": 4 }),
            4,
            "is unavailable (500 Internal Server Error)",
        ),
        (&as_set, url.clone(), json!({ "fault": "html", "times": 4 }), 4, "without JSON"),
        (&as_set, url.clone(), json!({ "fault": "redirect" }), 1, "redirects; set the address"),
    ] {
        setup.qontak.change(change);
        let (found, printed) = command(settings, &["register", "--url", &url]).await;
        assert_eq!(found, code, "{printed}");
        assert!(printed.contains(expected), "{printed}");
        for secret in [TOKEN, "another-token-of-nobody", "insecure-token", "another-secret"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        let state = setup.qontak.show();
        assert_eq!(state["webhooks"], json!({}), "{expected}");
        assert_eq!(enabled(&state), [""; 0], "{expected}");
    }
}

#[sqlx::test(migrations = false)]
async fn registration_that_fails_halfway_says_what_is_registered_and_can_be_completed(db: PgPool) {
    let setup = Setup::start(&db).await;
    let url = setup.url();
    setup.register(&["--url", &url, "--dry-run"]).await;
    let reads: u64 = {
        let state = setup.qontak.show();
        let requests = state["requests"].as_object().unwrap().values();
        requests.map(|count| count.as_u64().unwrap()).sum()
    };
    // The reads and the first PUT succeed.
    setup.qontak.change(json!({ "fault": "pass", "times": reads + 1 }));
    setup.qontak.change(json!({ "fault": "server_error" }));
    let (code, printed) = setup.register(&["--url", &url]).await;
    assert_eq!(code, 5, "{printed}");
    let expected = "registration is incomplete: message_interactions changed, but \
                    room_interactions not changed: ";
    assert!(printed.contains(expected), "{printed}");
    let state = setup.qontak.show();
    assert_eq!(urls(&state, "message_interactions"), [url.as_str()]);
    assert_eq!(urls(&state, "room_interactions"), [""; 0]);

    let (code, printed) = setup.register(&["--url", &url]).await;
    assert_eq!(code, 0, "{printed}");
    assert_eq!(urls(&setup.qontak.show(), "room_interactions"), [url.as_str()]);
}

#[sqlx::test(migrations = false)]
async fn check_reports_credentials_clock_and_toggles(db: PgPool) {
    let mut setup = Setup::start(&db).await;
    let url = setup.url();
    let (_, printed) = command(&setup.settings, &["check"]).await;
    assert!(
        printed.contains("shop: credentials are valid, but not used; set qontak.shop.webhook_url"),
        "{printed}"
    );
    setup.settings.extend(environment(&[("WEBHOOK_URL", &url)]));
    let (code, printed) = command(&setup.settings, &["check"]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("status_message is off"), "{printed}");
    assert_eq!(setup.register(&[]).await.0, 0);
    let (_, printed) = command(&setup.settings, &["check"]).await;
    assert!(printed.contains("ok    qontak     shop: credentials are valid, the webhook is"));
    setup.qontak.change(json!({ "off": ["room_resolved"] }));
    let (code, printed) = command(&setup.settings, &["check"]).await;
    assert_eq!(code, 1, "{printed}");
    let expected = "FAIL  qontak     shop: room_resolved is off; run `qontak-receiver register`";
    assert!(printed.contains(expected), "{printed}");
    setup.qontak.change(json!({ "clock_offset": -900 }));
    let (code, printed) = command(&setup.settings, &["check"]).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("the clock differs by"), "{printed}");
}

/// Serves TLS with a certificate of its own making:
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 36500 -subj /CN=localhost …`.
async fn serve_untrusted(listener: TcpListener, connections: Arc<AtomicUsize>) {
    let certificate = CertificateDer::from(&include_bytes!("tls/certificate.der")[..]);
    let key = PrivateKeyDer::try_from(&include_bytes!("tls/key.der")[..]).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let server =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key);
    let acceptor = TlsAcceptor::from(Arc::new(server.unwrap()));
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::SeqCst);
        assert!(acceptor.accept(connection).await.is_err());
    }
}

#[sqlx::test(migrations = false)]
async fn server_with_an_untrusted_certificate_gets_no_credentials(db: PgPool) {
    let mut setup = Setup::start(&db).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("localhost:{}", listener.local_addr().unwrap().port());
    let (connections, mut serving) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    serving.spawn(serve_untrusted(listener, connections.clone()));
    setup.settings.extend(environment(&[("BASE_URL", &format!("https://{host}"))]));
    let url = setup.url();
    let (code, printed) = setup.register(&["--url", &url]).await;
    let expected = format!(
        "certificate of {host} is not trusted, or it speaks no TLS; check the address and the clock"
    );
    assert!(printed.contains(&expected), "{printed}");
    assert_eq!((code, connections.load(Ordering::SeqCst)), (1, 1), "{printed}");
    assert!(serving.try_join_next().is_none());
}
