//! Qontak's own API, outbound: one client per organisation, registration of webhooks, drift watch.
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
//! watch.rs         compares the settings with what is expected; status_page.rs
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
pub mod preflight;
pub mod register;
mod response;
pub mod status_page;
mod token;
mod transport;
pub mod watch;

pub use self::client::Client;
pub use self::error::Error;
pub use self::transport::Transport;
