//! Encryption and credentials, with real nodes: what fits is used, what does not fit is named, and no secret
//! is logged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;

use super::nodes::Nodes;
use super::{counts, message, of_process};
use crate::binary::{Process, post, run};
use crate::spool::wait_until;

type Environment = BTreeMap<String, String>;

const PASSWORD: &str = "the-secret-password";

/// Files of a certificate authority, and of a node with a certificate of it.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        let certificates = Self(tempfile::tempdir().unwrap());
        let extensions =
            "subjectAltName=IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3\nbasicConstraints=CA:FALSE\n";
        std::fs::write(certificates.file("extensions"), extensions).unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let commands = [
            format!("req -x509 {key} -days 30 -subj /CN=authority -keyout ca.key -out ca.pem"),
            format!("req {key} -subj /CN=node -keyout node.key -out node.csr"),
            "x509 -req -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
             -extfile extensions -out node.pem"
                .to_owned(),
        ];
        for command in commands {
            let mut openssl = Command::new("openssl");
            openssl.args(command.split_whitespace()).current_dir(&certificates.0);
            let output = openssl.output().expect("openssl should be installed");
            assert!(output.status.success(), "{output:?}");
        }
        certificates
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Settings of nodes that accept encrypted connections only.
    fn of_nodes(&self) -> String {
        let [certificate, key] = ["node.pem", "node.key"].map(|name| self.file(name));
        format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\n")
    }
}

/// Settings of a process that accepts webhooks into NATS.
fn environment(db: &PgPool, nodes: &Nodes, changed: &[(&str, &str)]) -> Environment {
    let mut environment = of_process(db, &nodes.settings());
    environment.insert("RECEIVER__SPOOL__FIRST".into(), "true".into());
    // Whatever is logged at most.
    environment.insert("RECEIVER__LOG__FILTER".into(), "debug,async_nats=trace".into());
    for (name, value) in changed {
        let name = match name.strip_prefix("SPOOL__") {
            Some(name) => format!("RECEIVER__SPOOL__{name}"),
            None => (*name).to_owned(),
        };
        environment.insert(name, (*value).to_owned());
    }
    environment
}

fn encrypted(environment: &mut Environment) {
    let servers = environment.get_mut("RECEIVER__SPOOL__SERVERS").unwrap();
    *servers = servers.replace("nats://", "tls://");
}

fn assert_no_secret(text: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!text.contains(secret), "a secret is shown: {text}");
    }
}

/// Runs a service, which stores a webhook in NATS first, and `check`.
async fn assert_used(db: &PgPool, environment: &Environment, secrets: &[&str]) {
    let service = Process::start(environment.clone()).await;
    let client = reqwest::Client::new();
    let status = post(&client, &service.url, message("one").into_bytes()).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    wait_until(async || counts(db).await == (1, 1, 1)).await;
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
    assert!(log.iter().any(|line| line.contains("spooled events committed")), "{log:?}");
    assert_no_secret(&log.join("\n"), secrets);
    let (found, text) = checked(environment).await;
    assert!(found.iter().all(|check| check["state"] == "ok") && found.len() == 4, "{found:?}");
    assert_no_secret(&text, secrets);
}

/// Lines of `check` about NATS, and its whole output.
async fn checked(environment: &Environment) -> (Vec<Value>, String) {
    let output = run(environment, &["check", "--json"]).await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    let found = checks.filter(|check| check["name"] == "nats").cloned().collect();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (found, text.concat())
}

/// `check` names what is wrong.
async fn assert_named(environment: Environment, expected: &[&str], secrets: &[&str]) {
    let (found, text) = checked(&environment).await;
    let line = found[0]["text"].as_str().unwrap();
    assert_eq!(found[0]["state"], "fail", "{line}");
    for expected in expected {
        assert!(line.contains(expected), "expected {expected:?} in {line:?}");
    }
    assert_no_secret(&text, secrets);
}

#[sqlx::test]
async fn encrypted_nodes_with_a_password_are_used_and_mistakes_are_named(db: PgPool) {
    let (certificates, others) = (Certificates::make(), Certificates::make());
    let user = format!("authorization {{ user: receiver, password: \"{PASSWORD}\" }}\n");
    let nodes = Nodes::start_with(certificates.of_nodes() + &user).await;
    let secrets = [PASSWORD, "wrong-password"];
    let password = certificates.file("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let (ca, other_ca) = (certificates.file("ca.pem"), others.file("ca.pem"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (ca, other_ca, password) = (path(&ca), path(&other_ca), path(&password));
    let right = [
        ("SPOOL__CA_PATH", ca.as_str()),
        ("SPOOL__USER", "receiver"),
        ("RECEIVER__SPOOL__PASSWORD_FILE", password.as_str()),
    ];
    let mut environment_of_right = environment(&db, &nodes, &right);
    assert_used(&db, &environment_of_right, &secrets).await;
    encrypted(&mut environment_of_right);
    let (found, _) = checked(&environment_of_right).await;
    assert!(found.iter().all(|check| check["state"] == "ok"), "{found:?}");

    let wrong = [right[0], right[1], ("SPOOL__PASSWORD", "wrong-password")];
    let credentials =
        ["authorization violation", "check spool.credentials, or spool.user and spool.pass"];
    let unknown = ["invalid peer certificate", "check spool.ca_path"];
    let with_ca = |file| [("SPOOL__CA_PATH", file), right[1], right[2]];
    let mut to_nobody = environment(&db, &nodes, &right);
    to_nobody.insert("RECEIVER__SPOOL__SERVERS".into(), "nats://127.0.0.1:1".into());
    futures_util::join!(
        assert_named(environment(&db, &nodes, &wrong), &credentials, &secrets),
        assert_named(environment(&db, &nodes, &right[..1]), &credentials, &secrets),
        assert_named(environment(&db, &nodes, &with_ca(&other_ca)), &unknown, &secrets),
        assert_named(environment(&db, &nodes, &right[1..]), &unknown, &secrets),
        assert_named(
            environment(&db, &nodes, &with_ca("/nowhere.pem")),
            &["No such file or directory", "check spool.ca_path"],
            &secrets,
        ),
        assert_named(to_nobody, &["Connection refused", "that NATS is running"], &secrets),
    );

    // A start goes on without NATS, and says why.
    let folder = tempfile::tempdir().unwrap();
    let mut environment = environment(&db, &nodes, &wrong);
    environment.insert("RECEIVER__SPOOL__FOLDER".into(), path(folder.path()));
    let service = Process::start(environment).await;
    let client = reqwest::Client::new();
    let status = post(&client, &service.url, message("two").into_bytes()).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
    for message in ["nats unavailable, starting without it", "nats server not reached"] {
        let is_named =
            |line: &String| line.contains(message) && line.contains("authorization violation");
        assert!(log.iter().any(is_named), "expected {message:?} in {log:?}");
    }
    assert_no_secret(&log.join("\n"), &secrets);
}

/// A signed token, as NATS' own tools make it.
fn token(issuer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let encode = |text: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(text);
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let (issuer_key, subject) = (issuer.public_key(), subject.public_key());
    let claims = json!({
        "jti": subject, "iat": 1_749_694_503, "iss": issuer_key, "sub": subject, "name": subject,
        "nats": claims,
    });
    let signed = [header, claims].map(|part| encode(part.to_string().as_bytes())).join(".");
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", encode(&signature))
}

/// Content of a credentials file of a new user, and its seed.
fn credentials(account: &KeyPair) -> (String, String) {
    let user = KeyPair::new_user();
    let claims = json!({
        "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
    });
    let (token, seed) = (token(account, &user, &claims), user.seed().unwrap());
    let file = format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    (file, seed)
}

#[sqlx::test]
async fn nodes_with_accounts_are_used_with_a_credentials_file(db: PgPool) {
    let operator = KeyPair::new_operator();
    let [system, account, unknown] = [(); 3].map(|()| KeyPair::new_account());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = |account: &KeyPair, limits: &Value| {
        let claims = json!({"type": "account", "version": 2, "limits": limits});
        format!("{}: {}", account.public_key(), token(&operator, account, &claims))
    };
    let mut of_system = limits.clone();
    of_system["disk_storage"] = json!(0);
    of_system["mem_storage"] = json!(0);
    let settings = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n{}\n{}\n}}\n",
        token(&operator, &operator, &json!({"type": "operator", "version": 2})),
        system.public_key(),
        of_account(&system, &of_system),
        of_account(&account, &limits),
    );
    let nodes = Nodes::start_with(settings).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    let file = file.to_str().unwrap();
    let with_file = [("RECEIVER__SPOOL__CREDENTIALS_FILE", file)];
    let (right, seed) = credentials(&account);
    std::fs::write(file, &right).unwrap();
    assert_used(&db, &environment(&db, &nodes, &with_file), &[&seed]).await;

    let (of_unknown, seed) = credentials(&unknown);
    std::fs::write(file, &of_unknown).unwrap();
    let violation = ["authorization violation", "check spool.credentials"];
    assert_named(environment(&db, &nodes, &with_file), &violation, &[&seed]).await;
    std::fs::write(file, seed.clone()).unwrap();
    let malformed = ["spool.credentials: cannot parse user JWT from the credentials file"];
    assert_named(environment(&db, &nodes, &with_file), &malformed, &[&seed]).await;
}
