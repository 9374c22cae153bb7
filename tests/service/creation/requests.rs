//! Requests that are refused before anything is sent.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::super::binary::{Process, run};
use super::super::harness::{KEY_OF_ALL, settings};
use super::super::qontak_client::FakeQontak;
use super::{Setup, WRITER, contact_list, request, sha256, template, writing};

/// A template with a field changed; null removes it.
fn template_with(place: &str, value: Value) -> Value {
    let mut template = template("promo");
    *template.pointer_mut(place).unwrap() = value;
    template
}

#[sqlx::test]
async fn invalid_requests_name_every_field_at_fault_and_are_not_sent(db: PgPool) {
    let setup = Setup::start(db).await;
    let body = |text: &str| template_with("/components/1/text", text.into());
    let name = "name: must consist of lower-case letters, digits and _";
    for (request, expected) in [
        (json!([]), vec!["body: must be a JSON object"]),
        (
            json!({}),
            vec![
                "name: is missing",
                "category: is missing",
                "language: is missing",
                "components: is missing",
            ],
        ),
        (template_with("/name", "Promo".into()), vec![name]),
        (template_with("/name", "promo gajian".into()), vec![name]),
        (template_with("/name", 7.into()), vec!["name: must be a text of 1 to 512 characters"]),
        (
            template_with("/name", "a".repeat(513).into()),
            vec!["name: must be a text of 1 to 512 characters"],
        ),
        (
            template_with("/category", "marketing".into()),
            vec!["category: must be one of AUTHENTICATION, MARKETING, UTILITY"],
        ),
        (
            template_with("/language", "Indonesia".into()),
            vec!["language: must be a language such as id or en_US"],
        ),
        (template_with("/components", "BODY".into()), vec!["components: must be an array"]),
        (
            template_with("/components/1/type", "FOOTER".into()),
            vec!["components: must contain one of type BODY"],
        ),
        (
            template_with("/components/0/type", "BODY".into()),
            vec!["components[1].type: must not occur twice"],
        ),
        (
            template_with("/components/2/type", "CAROUSEL".into()),
            vec!["components[2].type: must be one of HEADER, BODY, FOOTER, BUTTONS"],
        ),
        (
            template_with("/components/2/buttons", Value::Null),
            vec!["components[2].buttons: is missing"],
        ),
        (template_with("/components/1/text", Value::Null), vec!["components[1].text: is missing"]),
        (
            body(&"é".repeat(1025)),
            vec!["components[1].text: must be a text of 1 to 1024 characters"],
        ),
        (body("a\nb"), vec!["components[1].text: must not contain line breaks or tabs"]),
        (body("a\tb"), vec!["components[1].text: must not contain line breaks or tabs"]),
        (body("a     b"), vec!["components[1].text: must not contain more than 4 spaces in a row"]),
        (
            json!({ "name": "A", "category": "X", "language": "id", "komponents": [], "components": [7] }),
            vec![
                name,
                "category: must be one of AUTHENTICATION, MARKETING, UTILITY",
                "komponents: unknown field; known are name, category, language, components",
                "components[0]: must be a JSON object",
                "components: must contain one of type BODY",
            ],
        ),
    ] {
        let answer = setup.post("/v1/templates", "key", &request).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{request}: {answer:?}");
        assert_eq!(answer.body["error"]["messages"], json!(expected), "{request}");
    }
    let csv = |text: &str| json!({ "name": "a", "source_type": "spreadsheet", "csv": text });
    for (request, expected) in [
        (json!({}), vec!["name: is missing", "source_type: is missing"]),
        (
            json!({ "name": "a\r\nb", "source_type": "CRM", "source_id": "\n1" }),
            vec![
                "name: must not contain control characters",
                "source_type: must consist of lower-case letters, digits and _",
                "source_id: must not contain control characters",
            ],
        ),
        (json!({ "name": "a", "source_type": "spreadsheet" }), vec!["csv: is missing"]),
        (
            json!({ "name": "a", "source_type": "crm_dynamic", "csv": "a\nb\n" }),
            vec![
                "source_id: is missing; only a spreadsheet has none",
                "csv: must be absent unless source_type is spreadsheet",
            ],
        ),
        (csv("phone_number\n"), vec!["csv: must have a header and at least one contact"]),
        (
            csv("a,b\n1,2\n6281200010001\n"),
            vec!["csv: contact 2 must have as many cells as the header"],
        ),
        (csv("a,,b\n1,2,3\n"), vec!["csv: must have a name for each column"]),
    ] {
        let answer = setup.post("/v1/contact-lists", "key", &request).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{request}: {answer:?}");
        assert_eq!(answer.body["error"]["messages"], json!(expected), "{request}");
    }
    for key in ["", "a key", &"k".repeat(256)] {
        let answer = setup.post("/v1/templates", key, &template("promo")).await;
        let expected =
            "Idempotency-Key: is needed as a header, 1 to 255 characters of ASCII without spaces";
        assert_eq!(answer.message(), expected, "{answer:?}");
    }
    let mut large = contact_list("large");
    large["csv"] = "a\n".repeat(5 << 20).into();
    let answer = setup.post("/v1/contact-lists", "key", &large).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
    large["csv"] = format!("a\n{}", "é".repeat(2 << 20)).into();
    let answer = setup.post("/v1/contact-lists", "key", &large).await;
    assert_eq!(answer.message(), "csv: must have at most 4194304 bytes", "{answer:?}");
    let rows = setup.number("select count(*) from creation").await;
    assert_eq!((setup.calls(), rows), (0, 0));
    // What is at the limit of a rule passes.
    large["csv"] = "\"\"\"\"\"a\"\n".repeat(1 << 19).into();
    let answer = setup.post("/v1/contact-lists", "large", &large).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let text = format!("{}    {}", "😀".repeat(500), "a".repeat(520));
    let answer = setup.post("/v1/templates", "key", &body(&text)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
}

#[sqlx::test]
async fn creating_needs_the_setting_the_scope_and_the_organisation(db: PgPool) {
    let (qontak, other) = (FakeQontak::start().await, FakeQontak::start_with(8).await);
    let mut settings = writing(&db, &qontak);
    let key = "a-key-of-one-organisation";
    for (name, value) in [
        ("SHA256", sha256(key)),
        ("SCOPES", "write".to_owned()),
        ("ORGANIZATIONS", qontak.credentials().organization_id),
    ] {
        settings.insert(format!("RECEIVER__KEY__NARROW__{name}"), value);
    }
    settings.extend(
        other
            .hmac()
            .into_iter()
            .map(|(name, value)| (name.replace("__SHOP__", "__OTHER__"), value)),
    );
    let service = Process::start(settings.clone()).await;
    let send = async |key: &str, path: &str| {
        let client = reqwest::Client::new().post(format!("{}{path}", service.url));
        let request = client.bearer_auth(key).header("idempotency-key", "1");
        let response = request.json(&template("promo")).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        let message = body["error"]["messages"][0].as_str().unwrap_or_default().to_owned();
        (status, message)
    };
    let (status, message) = send(KEY_OF_ALL, "/v1/templates").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(message, "API key lacks the scope `write`");
    let (status, message) = send(WRITER, "/v1/templates").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(message, "organization_id: is needed; there are several");
    let of = |qontak: &FakeQontak| {
        format!("/v1/templates?organization_id={}", qontak.credentials().organization_id)
    };
    assert_eq!(send(key, &of(&other)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(WRITER, "/v1/templates?organization_id=none").await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(key, "/v1/templates").await.0, StatusCode::CREATED);
    assert_eq!(send(WRITER, &of(&other)).await.0, StatusCode::CREATED);
    let created = |qontak: &FakeQontak| qontak.show()["created"].take();
    assert_eq!((created(&qontak), created(&other)), (json!(1), json!(1)));

    // One that cannot be reached is in the way only if it could be meant.
    for id in [None, Some("an-organization")] {
        let mut settings = settings.clone();
        let url = "http://127.0.0.1:9".to_owned();
        settings.insert("RECEIVER__QONTAK__OTHER__BASE_URL".into(), url);
        if let Some(id) = id {
            settings.insert("RECEIVER__QONTAK__OTHER__ORGANIZATION_ID".into(), id.into());
        }
        let service = Process::start(settings).await;
        let path = of(&qontak);
        let body = template(&format!("promo_{}", id.is_some()));
        let answer = request(&service.url, &path, &format!("{id:?}"), &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let answer = request(&service.url, "/v1/templates", "any", &body).await;
        let expected = match id {
            None => StatusCode::SERVICE_UNAVAILABLE,
            Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        assert_eq!(answer.status, expected, "{answer:?}");
    }

    // A creation of another organisation is not shown.
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("select creation_id from creation where organization_id = $1")
            .bind(other.credentials().organization_id)
            .fetch_all(&db)
            .await
            .unwrap();
    for (key, expected) in [(key, StatusCode::NOT_FOUND), (WRITER, StatusCode::OK)] {
        let url = format!("{}/v1/creations/{}", service.url, ids[0]);
        let response = reqwest::Client::new().get(url).bearer_auth(key).send().await.unwrap();
        assert_eq!(response.status(), expected);
    }

    settings.insert("RECEIVER__API__WRITE".into(), "false".into());
    let off = Process::start(settings).await;
    let answer = request(&off.url, "/v1/templates", "2", &template("promo")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    assert_eq!(answer.message(), "nothing may be created at Qontak; set api.write = true");
}

#[sqlx::test]
async fn check_and_start_tell_settings_that_cannot_work(db: PgPool) {
    let mut alone = settings(&db.connect_options());
    alone.insert("RECEIVER__API__WRITE".into(), "true".into());
    let output = run(&alone, &["check"]).await;
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("api.write: needs an organisation in [qontak]"), "{text}");

    let qontak = FakeQontak::start().await;
    let mut settings = writing(&db, &qontak);
    let check = async |settings: &_| {
        let output = run(settings, &["check"]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find(|line| line.contains("write") && !line.contains("test event"));
        line.unwrap_or_default().to_owned()
    };
    let line = check(&settings).await;
    assert!(line.starts_with("ok") && line.contains("1 key(s) may create"), "{line}");
    settings.insert("RECEIVER__API__WRITE".into(), "false".into());
    let line = check(&settings).await;
    assert!(line.starts_with("warn") && line.contains("api.write is off"), "{line}");
    settings.insert("RECEIVER__API__WRITE".into(), "true".into());
    settings.insert("RECEIVER__KEY__WRITER__SCOPES".into(), "read".into());
    let line = check(&settings).await;
    assert!(line.starts_with("warn") && line.contains("no key has the scope write"), "{line}");
    // Such a key can be created.
    let arguments = ["key", "create", "--name", "w", "--scope", "write", "--organization", "*"];
    let output = run(&settings, &arguments).await;
    assert!(output.status.success(), "{output:?}");
    let line = check(&settings).await;
    assert!(line.starts_with("ok"), "{line}");
}
