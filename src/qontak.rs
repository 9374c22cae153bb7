//! Qontak's own API, outbound: one client per organisation, registration of webhooks.
//!
//! ```text
//! client.rs        a call: authentication, limits, retries, metrics; response → JSON
//!   hmac.rs          signatures of Mekari's gateway
//!   token.rs         bearer tokens: refreshed by one replica, stored encrypted (cipher.rs) before use
//!   limit.rs         calls per second and minute
//!   response.rs      what a response means, and how long to wait after a 429
//!   transport.rs     HTTP with TLS, timeouts and a size limit
//! hook.rs          Qontak's webhook settings: which events are on, which URLs receive them
//! register.rs      registers a URL (preflight.rs tests it first)
//! ```
//!
//! Nothing here is called while a webhook is processed, and no error, log line or metric contains a
//! credential, a webhook token or a response body.

mod cipher;
mod client;
mod error;
mod hmac;
pub mod hook;
mod limit;
mod preflight;
pub mod register;
mod response;
mod token;
mod transport;

pub use self::client::Client;
pub use self::error::Error;
pub use self::transport::Transport;
