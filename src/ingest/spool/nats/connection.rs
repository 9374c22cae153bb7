//! The connection to a NATS cluster: encryption, credentials, and what is logged about it.

use std::error::Error;
use std::io;
use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event};
use secrecy::{ExposeSecret, SecretString};
use tracing::info;

use crate::config;
use crate::telemetry::fault::Fault;

static DISCONNECTED: Fault = Fault::warn("nats server disconnected");
static UNREACHED: Fault = Fault::warn("nats server not reached");
static REPORTED: Fault = Fault::warn("nats server reports an error");

/// Timeout of a connection to a server.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// A client, which is connected or tries again and again.
pub struct Connected {
    pub client: Client,
    /// Why no server could be connected at first, and what to check.
    pub failure: Option<String>,
}

/// Connects to one of the servers. Fails if a setting cannot be used.
pub async fn connect(settings: &config::Spool) -> io::Result<Connected> {
    let servers: Vec<&str> = settings.servers.iter().map(|server| server.0.as_str()).collect();
    // Tries each server once. A client that tries again does not say why it has to.
    let failure = match options(settings)?.connect(&servers[..]).await {
        Ok(client) => return Ok(Connected { client, failure: None }),
        Err(error) => explain(&error),
    };
    let options = options(settings)?.retry_on_initial_connect();
    let client = options.connect(&servers[..]).await.map_err(io::Error::other)?;
    Ok(Connected { client, failure: Some(failure) })
}

/// What failed, and what to check.
fn explain(error: &ConnectError) -> String {
    let is_certificate =
        error.source().is_some_and(|source| source.to_string().contains("certificate"));
    let advice = match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            "spool.credentials, or spool.user and spool.password"
        }
        ConnectErrorKind::Tls => "spool.ca_path",
        _ if is_certificate => "spool.ca_path, and that the servers' certificates name their hosts",
        _ => "spool.servers and that NATS is running",
    };
    format!("{error}; check {advice}")
}

fn options(settings: &config::Spool) -> io::Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .name("qontak-receiver")
        .connection_timeout(CONNECTION_TIMEOUT)
        // A server that is frozen is left after two of them.
        .ping_interval(Duration::from_secs(1))
        .reconnect_delay_callback(|attempts| {
            // At once at first: each server is tried when the service starts.
            Duration::from_millis(50 * attempts.saturating_sub(1) as u64)
                .min(Duration::from_secs(1))
        })
        .event_callback(async |event| match event {
            Event::Connected => info!("nats server connected"),
            Event::Disconnected => DISCONNECTED.occurred("connection lost"),
            // The kind of the error only.
            Event::ClientError(error) => UNREACHED.occurred(error),
            Event::ServerError(error) => REPORTED.occurred(error),
            _ => {}
        });
    if let Some(file) = settings.ca_path() {
        options = options.add_root_certificates(file.to_owned());
    }
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        options = options.user_and_password(user.clone(), password.expose_secret().to_owned());
    }
    if let Some(credentials) = &settings.credentials {
        // The last line of a file is trimmed, and not found without its end.
        let text = SecretString::from(format!("{}\n", credentials.expose_secret()));
        let parsed = options.credentials(text.expose_secret());
        options =
            parsed.map_err(|error| io::Error::other(format!("spool.credentials: {error}")))?;
    }
    Ok(options)
}
