//! Notifications: an outgoing webhook, signed, or text for Slack.
//!
//! What a notification is due about is in the table `problem`, so a notification that fails is repeated in
//! the next round, by whichever replica does it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use hmac::{Hmac, KeyInit, Mac};
use metrics::counter;
use secrecy::ExposeSecret;
use serde::Serialize;
use sha2::Sha256;
use sqlx::PgPool;
use uuid::Uuid;

use crate::config::{Notify, NotifyFormat, NotifyUrl, StrongSecret};
use crate::model::Timestamp;
use crate::qontak::{Error, Transport};
use crate::store::problem::{self, ProblemRow};
use crate::store::qontak_status::{self, StatusRow};
use crate::telemetry::fault::Fault;

static FAILED: Fault = Fault::error("notification not delivered");

/// Pauses between the attempts of one round.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Sends notifications about problems.
pub struct Notifier {
    url: NotifyUrl,
    format: NotifyFormat,
    secret: Option<StrongSecret>,
    cool_down: Duration,
    transport: Transport,
}

/// Body of a notification.
#[derive(Serialize)]
struct Notification<'a> {
    /// The same in each attempt.
    id: Uuid,
    sent_at: Timestamp,
    /// Problems that began, and those that ended (`ended_at`).
    problems: &'a [ProblemRow],
    /// What Qontak's status page reports meanwhile.
    incidents: &'a [StatusRow],
}

#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error(transparent)]
    Transport(#[from] Error),
    #[error("notify.url answered {0}")]
    Rejected(StatusCode),
}

impl Notifier {
    /// `None` if nobody is to be told.
    pub fn new(settings: &Notify) -> Option<Self> {
        let Notify { url, format, secret, cool_down, timeout } = settings.clone();
        let transport = Transport::default().with_timeout(timeout);
        Some(Self { url: url?, format, secret, cool_down, transport })
    }

    /// Sends what is due in one notification. Fails only if the database does.
    pub async fn run(&self, db: &PgPool) -> sqlx::Result<()> {
        let problems = problem::due(db, self.cool_down).await?;
        if problems.is_empty() {
            return Ok(());
        }
        let incidents = qontak_status::list(db).await?;
        let body = self.body(&problems, &incidents);
        let result = self.send(&body).await;
        let word = if result.is_ok() { "sent" } else { "failed" };
        counter!("qontak_receiver_notifications_total", "result" => word).increment(1);
        match result {
            Ok(()) => problem::set_notified(db, &problems).await,
            Err(cause) => {
                FAILED.occurred(cause);
                Ok(())
            }
        }
    }

    fn body(&self, problems: &[ProblemRow], incidents: &[StatusRow]) -> Vec<u8> {
        let (id, sent_at) = (Uuid::now_v7(), Timestamp::now());
        let body = match self.format {
            NotifyFormat::Json => {
                serde_json::to_vec(&Notification { id, sent_at, problems, incidents })
            }
            NotifyFormat::Slack => {
                serde_json::to_vec(&serde_json::json!({ "text": text(problems, incidents) }))
            }
        };
        body.expect("structs of texts are JSON")
    }

    async fn send(&self, body: &[u8]) -> Result<(), NotifyError> {
        let mut pauses = PAUSES.iter();
        loop {
            let cause = match self.attempt(body).await {
                Ok(()) => return Ok(()),
                Err(cause) => cause,
            };
            let Some(pause) = pauses.next() else { return Err(cause) };
            tokio::time::sleep(*pause).await;
        }
    }

    async fn attempt(&self, body: &[u8]) -> Result<(), NotifyError> {
        let mut headers = HeaderMap::new();
        if let Some(StrongSecret(secret)) = &self.secret {
            let signature = sign(secret.expose_secret(), Timestamp::now(), body);
            if let Ok(value) = HeaderValue::from_str(&signature) {
                headers.insert("x-receiver-signature", value);
            }
        }
        let (url, body) = (self.url.expose(), Some(body.to_vec()));
        let answer = self.transport.send(Method::POST, url, headers, body).await?;
        if answer.status.is_success() { Ok(()) } else { Err(NotifyError::Rejected(answer.status)) }
    }
}

/// Value of the header `x-receiver-signature`.
fn sign(secret: &str, now: Timestamp, body: &[u8]) -> String {
    let time = now.0.timestamp();
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|it| format!("{it:02x}")).collect();
    format!("t={time},v1={hex}")
}

/// One line per problem.
fn text(problems: &[ProblemRow], incidents: &[StatusRow]) -> String {
    let line = |row: &ProblemRow| {
        let state = if row.ended_at.is_some() { "ended" } else { "began" };
        let about = [row.organization_id.as_str(), row.subject.as_str()].join(" ");
        let (code, detail, since) = (&row.code, &row.detail, row.since);
        format!("{code} {state}: {} since {since}: {detail}", about.trim())
    };
    let incident = |row: &StatusRow| {
        format!("Qontak reports: {} {}", row.name, row.url.as_deref().unwrap_or_default())
    };
    let lines = problems.iter().map(line).chain(incidents.iter().map(incident));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_for_slack_has_a_line_per_problem_and_no_markup() {
        let row = |ended_at| ProblemRow {
            code: "silence".to_owned(),
            organization_id: "an-organization".to_owned(),
            subject: "wa_cloud <!channel>".to_owned(),
            detail: "no event for 47m, 23 minutes with events are usual at least".to_owned(),
            since: Timestamp::from_unix(1_800_000_000).unwrap(),
            ended_at,
        };
        let problems = [row(None), row(Some(Timestamp::default()))];
        let text = text(&problems, &[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "silence began: an-organization wa_cloud &lt;!channel&gt; since \
             2027-01-15T08:00:00.000Z: no event for 47m, 23 minutes with events are usual at least"
        );
        assert!(lines[1].starts_with("silence ended: "), "{text}");
    }
}
