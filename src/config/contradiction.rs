//! Settings that contradict each other.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{bail, ensure};
use secrecy::ExposeSecret;

use super::Config;

/// Time reserved for each spool after the database has failed to store a webhook: a part of
/// `writer.answer_timeout`.
pub const SPOOL_TIMEOUT: Duration = Duration::from_millis(400);

/// Fails on settings with which the service would work wrongly.
pub fn refuse(settings: &Config) -> anyhow::Result<()> {
    let Config { http, api, ops, writer, spool, media, .. } = settings;
    ensure!(
        http.max_reading_bytes >= http.max_body_bytes,
        "http.max_reading_bytes: must be at least http.max_body_bytes"
    );
    ensure!(
        http.listen.port() == 0 || http.listen != ops.listen,
        "ops.listen: must differ from http.listen; write another port, such as 0.0.0.0:9090"
    );
    ensure!(
        api.listen.is_none_or(|api| api.port() == 0 || (api != http.listen && api != ops.listen)),
        "api.listen: must differ from http.listen and ops.listen; write another port, such as \
         0.0.0.0:8081, or leave it empty"
    );
    ensure!(
        spool.places() == 0 || writer.answer_timeout > SPOOL_TIMEOUT * spool.places(),
        "writer.answer_timeout: must be above {:?} if there is a spool, such as 1400ms",
        SPOOL_TIMEOUT * spool.places().max(1)
    );
    spool.check()?;
    ensure!(
        media.folder().is_none() || media.folder() != spool.folder(),
        "media.folder: must differ from spool.folder, which belongs to one process"
    );
    media.check()?;
    ensure!(
        !api.write || !settings.qontak.is_empty(),
        "api.write: needs an organisation in [qontak], such as RECEIVER__QONTAK__SHOP__CLIENT_ID"
    );
    refuse_short_ages(settings)?;
    refuse_shared_tokens(settings)?;
    refuse_repeated_keys(settings)
}

/// A replay would bring rows back that were deleted for their age.
fn refuse_short_ages(settings: &Config) -> anyhow::Result<()> {
    let retention = &settings.retention;
    let ages = [
        ("message_days", retention.message_days),
        ("broadcast_days", retention.broadcast_days),
        ("room_days", retention.room_days),
        ("room_event_days", retention.room_event_days),
    ];
    for (name, days) in ages {
        ensure!(
            days == 0 || days >= retention.event_days,
            "retention.{name}: must be 0 or at least retention.event_days ({}); a replay would bring the \
             rows back",
            retention.event_days,
        );
    }
    Ok(())
}

/// The endpoint of a webhook would be a matter of chance.
fn refuse_shared_tokens(settings: &Config) -> anyhow::Result<()> {
    let mut endpoints: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, endpoint) in &settings.endpoint {
        for token in &endpoint.tokens {
            if let Some(other) = endpoints.insert(token.expose_secret(), name)
                && other != name
            {
                bail!(
                    "endpoint.{name}.tokens: a token is also one of endpoint.{other}; replace one"
                );
            }
        }
    }
    Ok(())
}

/// The scopes of a request would be a matter of chance.
fn refuse_repeated_keys(settings: &Config) -> anyhow::Result<()> {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for (name, key) in &settings.key {
        if let Some(other) = names.insert(key.sha256.to_ascii_lowercase(), name) {
            bail!("key.{name}.sha256: the same as key.{other}.sha256; remove one");
        }
    }
    Ok(())
}

/// What is allowed, but probably not meant.
pub fn warnings(settings: &Config) -> Vec<String> {
    let Config { http, database, writer, stream, .. } = settings;
    let cases = [
        (
            writer.commit_timeout <= database.statement_timeout,
            "writer.commit_timeout: should be above database.statement_timeout; connections are closed \
             before Postgres cancels a statement",
        ),
        (
            http.idle_timeout < http.header_timeout,
            "http.idle_timeout: should be at least http.header_timeout",
        ),
        (
            stream.max_listeners >= http.max_connections,
            "stream.max_listeners: should be below http.max_connections; subscribers can take all \
             connections",
        ),
    ];
    cases.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned()).collect()
}
