//! Building blocks shared by all HTTP routes. Defines no route.
//!
//! - [`error`]: every error response · [`extract`], [`query`]: path and query parameters
//! - [`conditional`]: ETag/304, compression, CORS · [`representation`]: JSON, NDJSON or CSV
//! - [`file`](mod@file): files with ranges
//! - [`server`]: accepts connections within limits · [`time_limit`]: request timeout
//! - [`trace`]: request ids and the log line of a request · [`metrics`]: their counts and durations

pub mod conditional;
pub mod error;
pub mod extract;
pub mod file;
pub mod metrics;
pub mod query;
pub mod representation;
pub mod server;
pub mod time_limit;
pub mod trace;

pub use self::error::Error;
