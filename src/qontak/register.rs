//! Registers a webhook URL at Qontak. Running it again changes nothing.

use serde_json::json;

use super::client::{Body, Client, Route};
use super::error::Error;
use super::hook::{CATEGORIES, Category, Hooks};
use super::preflight;
pub use super::preflight::PreflightError;
use super::transport::Transport;
use crate::config::{HookEvent, WebhookUrl};

/// What to register.
#[derive(Clone, Copy)]
pub struct Registration<'a> {
    /// The organisation.
    pub client: &'a Client,
    /// URL of this service.
    pub url: &'a WebhookUrl,
    /// Events that must be on.
    pub events: &'a [HookEvent],
}

/// Why a registration failed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The URL cannot be registered; nothing was changed.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The settings cannot be read; nothing was changed.
    #[error("{0}; nothing was changed")]
    Read(Error),
    /// A category could not be changed.
    #[error("{}{category} not changed: {error}; {}", state(.changed), next(.changed))]
    Write {
        /// The category.
        category: &'static str,
        /// Those changed before.
        changed: Vec<&'static str>,
        /// The cause.
        error: Error,
    },
    /// The settings could not be read again.
    #[error("changed, but not verified: {0}; run it again")]
    Verify(Error),
}

impl RegisterError {
    /// The call that failed; `None` if the URL is the problem.
    pub const fn call(&self) -> Option<&Error> {
        match self {
            Self::Preflight(_) => None,
            Self::Read(error) | Self::Write { error, .. } | Self::Verify(error) => Some(error),
        }
    }
}

/// What a failed registration has done already.
fn state(changed: &[&str]) -> String {
    match changed {
        [] => String::new(),
        changed => format!("registration is incomplete: {} changed, but ", changed.join(", ")),
    }
}

const fn next(changed: &[&str]) -> &'static str {
    match changed {
        [] => "nothing was changed",
        _ => "run it again to complete it; until then only these events arrive",
    }
}

/// Result of a registration.
pub struct Report {
    /// Categories that were changed, or that a dry run would change.
    pub changed: Vec<&'static str>,
    /// The settings afterwards; before, of a dry run.
    pub hooks: Hooks,
}

impl Registration<'_> {
    /// Tests the URL and the credentials, and returns the settings before any change.
    pub async fn prepare(&self, transport: &Transport) -> Result<Hooks, RegisterError> {
        preflight::check(transport, self.url).await?;
        self.client.check_organization().await.map_err(RegisterError::Read)?;
        Hooks::fetch(self.client).await.map_err(RegisterError::Read)
    }

    /// Registers the URL where it is missing and switches wanted events on.
    pub async fn run(&self, before: &Hooks) -> Result<Report, RegisterError> {
        let mut changed = Vec::new();
        for category in self.outdated(before) {
            let body = self.flags(before, category);
            if let Err(error) = self.client.call(Route::put(category.name), Some(&body)).await {
                return Err(RegisterError::Write { category: category.name, changed, error });
            }
            changed.push(category.name);
        }
        let hooks = Hooks::fetch(self.client).await.map_err(RegisterError::Verify)?;
        Ok(Report { changed, hooks })
    }

    /// Removes another URL, after this one is registered. Should Qontak switch events off with it, they
    /// are switched on again.
    pub async fn remove(&self, old: &WebhookUrl, before: &Hooks) -> Result<Report, RegisterError> {
        let mut changed = Vec::new();
        for category in CATEGORIES {
            if before.count(category, old.expose()) == 0 {
                continue;
            }
            let known = category.events.iter().filter(|event| before.is_enabled(**event).is_some());
            let body = with_url(known.map(|event| (event.as_str(), false)), old);
            if let Err(error) = self.client.call(Route::put(category.name), Some(&body)).await {
                return Err(RegisterError::Write { category: category.name, changed, error });
            }
            changed.push(category.name);
            let now = Hooks::fetch(self.client).await.map_err(RegisterError::Verify)?;
            let went_off = |event: &HookEvent| {
                before.is_enabled(*event) == Some(true) && now.is_enabled(*event) == Some(false)
            };
            if category.events.iter().any(went_off) {
                let body = self.flags(before, category);
                let restored = self.client.call(Route::put(category.name), Some(&body)).await;
                restored.map_err(RegisterError::Verify)?;
            }
        }
        let hooks = Hooks::fetch(self.client).await.map_err(RegisterError::Verify)?;
        Ok(Report { changed, hooks })
    }

    /// Categories in which something is missing. One that cannot be read is always set.
    pub fn outdated(&self, hooks: &Hooks) -> Vec<Category> {
        let is_outdated = |category: &Category| {
            let mut wanted = category.events.iter().filter(|event| self.events.contains(event));
            let is_off = |event: &HookEvent| hooks.is_enabled(*event) != Some(true);
            let has_wanted = category.events.iter().any(|event| self.events.contains(event));
            has_wanted && (hooks.count(*category, self.url.expose()) == 0 || wanted.any(is_off))
        };
        CATEGORIES.into_iter().filter(is_outdated).collect()
    }

    /// What is on, and what is wanted.
    fn flags(&self, hooks: &Hooks, category: Category) -> Body {
        let flags = category.events.iter().filter_map(|event| {
            let is_enabled = hooks.is_enabled(*event);
            let is_wanted = self.events.contains(event);
            // An event that Qontak does not show may not exist there.
            let is_known = is_enabled.is_some() || is_wanted;
            is_known.then_some((event.as_str(), is_wanted || is_enabled == Some(true)))
        });
        with_url(flags, self.url)
    }
}

fn with_url(flags: impl Iterator<Item = (&'static str, bool)>, url: &WebhookUrl) -> Body {
    let mut body = json!({ "url": url.expose() });
    for (event, is_on) in flags {
        body[event] = is_on.into();
    }
    Body::Json(body)
}
