//! Asks Qontak about creations that it is processing.

use futures_util::future::join_all;
use futures_util::stream::StreamExt;
use sqlx::PgPool;

use super::answer::{assess, created};
use super::{count, describe, store, targets};
use crate::qontak::Clients;
use crate::qontak::client::Route;
use crate::qontak::error::Error;
use crate::store::Failure;
use crate::store::creation::{self, Attempt, Kind, Pending, Report, State};
use crate::telemetry::fault::Fault;

static NOT_CHECKED: Fault = Fault::warn("state of creations not checked");

/// Asks Qontak about creations that it is processing, and marks those that were interrupted.
pub async fn check(db: PgPool, clients: Clients) {
    let pending = async {
        for _ in 0..creation::note_interrupted(&db).await? {
            count(State::Unknown);
        }
        creation::take_pending(&db).await
    };
    match pending.await {
        // At once: those of one organisation must not wait for another one's.
        Ok(pending) => {
            let checks = pending.into_iter().map(async |pending| {
                if let Err(error) = check_one(&db, &clients, pending).await {
                    NOT_CHECKED.occurred(error);
                }
            });
            join_all(checks).await;
        }
        Err(cause) => NOT_CHECKED.occurred(Failure::from(cause)),
    }
}

async fn check_one(db: &PgPool, clients: &Clients, pending: Pending) -> Result<(), String> {
    let Pending { creation_id, attempt, organization_id, kind, qontak_id, is_old } = pending;
    let mut targets = targets(clients);
    let client = loop {
        match targets.next().await {
            Some(Ok(target)) if target.organization_id == organization_id => break target.client,
            Some(_) => {}
            None => return Ok(()),
        }
    };
    // Qontak's own id, but a path must not depend on that.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !qontak_id.chars().all(is_plain) {
        return Ok(());
    }
    let route = match kind {
        Kind::Template => Route::get_path(
            "templates/{id}/whatsapp",
            format!("templates/{qontak_id}/whatsapp"),
            String::new(),
        ),
        Kind::ContactList => Route::get_path(
            "contacts/contact_lists/{id}",
            format!("contacts/contact_lists/{qontak_id}"),
            String::new(),
        ),
    };
    let report = match client.call(route, None).await {
        Ok(answer) => match created(&answer) {
            Some(row) => assess(kind, row),
            None => return Ok(()),
        },
        // What was just created may not be shown yet.
        Err(Error::NotFound { .. }) if !is_old => return Ok(()),
        Err(Error::NotFound { .. }) => {
            Report::of_error(State::Failed, "Qontak does not have it any more".to_owned())
        }
        Err(error) => return Err(describe(kind, &error)),
    };
    let attempt = Attempt { creation_id, attempt };
    let stored = store(db, attempt, kind, &report).await;
    let stored = stored.map_err(|cause| Failure::from(cause).to_string())?;
    if stored.is_some() && report.state != State::Processing {
        count(report.state);
    }
    Ok(())
}
