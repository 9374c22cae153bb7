//! What will hurt later, found before the first webhook: by `check`, and at each start.
//!
//! One problem is one line that says what to do. A start refuses what makes every webhook fail, and logs
//! the rest; `check` shows all of it.

pub mod database;
pub mod disk;
pub mod nats;
pub mod port;
pub mod replica;

use serde::Serialize;

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Fine.
    Ok,
    /// Will or may hurt; the service works.
    Warn,
    /// To be corrected before the service is used.
    Fail,
}

/// A check with its result.
#[derive(Debug, Serialize)]
pub struct Check {
    /// What was checked, one word.
    pub name: &'static str,
    /// Result.
    pub state: State,
    /// One line; what to do if it is not fine.
    pub text: String,
}

impl Check {
    /// A check that found nothing.
    pub fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, state: State::Ok, text: text.into() }
    }

    /// A problem that leaves the service working.
    pub fn warn(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, state: State::Warn, text: text.into() }
    }

    /// A problem to correct first.
    pub fn fail(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, state: State::Fail, text: text.into() }
    }
}
