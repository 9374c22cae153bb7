//! Authors of messages.

use serde::Serialize;
use strum::IntoStaticStr;

/// Author of a message, as the fields of its sender tell. Ordered as its name in Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the variants say it")]
pub enum Author {
    Agent,
    Bot,
    Customer,
}

impl Author {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Direction of a message. Ordered as its name in Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, Serialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Direction {
    /// From a customer.
    In,
    /// To a customer.
    Out,
}

impl Direction {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
