//! Why a call failed: one sentence each, without credentials and bodies.

use std::time::Duration;

use axum::http::StatusCode;

/// Why a call failed. `Display` says what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document them")]
pub enum Error {
    #[error("cannot connect to {host}; check the address, DNS and the firewall")]
    Connect { host: String },
    #[error(
        "certificate of {host} is not trusted, or it speaks no TLS; check the address and the clock"
    )]
    Tls { host: String },
    #[error("connection to {host} was lost")]
    Lost { host: String },
    #[error("{host} did not respond within {}s", .limit.as_secs())]
    Timeout { host: String, limit: Duration },
    #[error("response of {host} is larger than {limit} bytes")]
    TooLarge { host: String, limit: usize },
    #[error("{host} redirects; set the address that it redirects to")]
    Redirected { host: String },
    #[error("{host} answered {status} without JSON; check base_url")]
    NotJson { host: String, status: StatusCode },
    #[error("{host} rejected the credentials; check client_id and client_secret, or the tokens")]
    Unauthorized { host: String },
    #[error("{host} rejected the signature: the clock differs by {seconds}s; synchronise it")]
    Clock { host: String, seconds: i64 },
    #[error("{host} rejected the refresh token; create another one and set refresh_token")]
    RefreshRejected { host: String },
    #[error("{host} forbids the call ({messages}); check the role or scope of the credentials")]
    Forbidden { host: String, messages: String },
    #[error("{host} does not know {route}")]
    NotFound { host: String, route: &'static str },
    #[error("rate limit of {host} exceeded; retry in {}s", .wait.as_secs())]
    RateLimited { host: String, wait: Duration },
    #[error("{host} rejected the request with {status}: {messages}")]
    Rejected { host: String, status: StatusCode, messages: String, fields: String },
    #[error("{host} is unavailable ({status}); retry later")]
    Unavailable { host: String, status: StatusCode },
    #[error("the credentials belong to organisation {found}, not {expected}")]
    OtherOrganization { expected: String, found: String },
    #[error("response of {route} has an unknown form: {problem}")]
    UnknownForm { route: &'static str, problem: &'static str },
    #[error("stored tokens cannot be decrypted; check database.encryption_key")]
    Decrypt,
    // Without the cause: callers of the API read it.
    #[error("stored tokens cannot be read or written; check the database")]
    Database(#[from] sqlx::Error),
    #[error("calls wait too long for the rate limit, the tokens or an answer; retry later")]
    Late,
    #[error("another replica is refreshing the tokens for too long; retry later")]
    RefreshBusy,
    #[error("tokens cannot be refreshed: {0}")]
    Refresh(Box<Self>),
}

impl Error {
    /// Whether repeating a call that only reads may help at once.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refresh(cause) => cause.is_temporary(),
            Self::Connect { .. }
            | Self::Lost { .. }
            | Self::Timeout { .. }
            | Self::NotJson { .. }
            | Self::RateLimited { .. }
            | Self::Unavailable { .. } => true,
            _ => false,
        }
    }

    /// An error of a refresh of tokens as one of the call that needs them. That call was not sent, so neither
    /// its effect is unknown nor was it rejected.
    pub fn of_refresh(self) -> Self {
        match self {
            error @ Self::Rejected { .. } => Self::Refresh(Box::new(error)),
            error if error.may_have_effect() => Self::Refresh(Box::new(error)),
            error => error,
        }
    }

    /// The error without Qontak's messages, which may quote contacts: only the names of the fields at fault.
    pub fn without_messages(&self) -> String {
        match self {
            Self::Rejected { host, status, fields, .. } if fields.is_empty() => {
                format!("{host} rejected the request with {status}")
            }
            Self::Rejected { host, status, fields, .. } => {
                format!("{host} rejected the request with {status}; fields: {fields}")
            }
            Self::Forbidden { host, .. } => {
                format!("{host} forbids the call; check the role or scope of the credentials")
            }
            other => other.to_string(),
        }
    }

    /// Whether a call that creates may have had an effect although it failed. Some servers redirect after
    /// they have created something.
    pub const fn may_have_effect(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. }
                | Self::Timeout { .. }
                | Self::TooLarge { .. }
                | Self::Redirected { .. }
                | Self::NotJson { .. }
                | Self::Unavailable { .. }
                | Self::UnknownForm { .. }
        )
    }

    /// Whether the credentials or the clock are the cause.
    pub const fn is_about_credentials(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. }
                | Self::Clock { .. }
                | Self::RefreshRejected { .. }
                | Self::Forbidden { .. }
                | Self::OtherOrganization { .. }
                | Self::Decrypt
        )
    }
}
