//! Qontak's own API, outbound: one client per organisation, registration of webhooks, drift watch,
//! backfill of what webhooks did not bring.
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
//! list.rs          walks a list page by page, from newest to oldest
//! backfill.rs      compares rooms, messages and broadcasts with what is stored, and stores the rest
//! catalog.rs       keeps the names of agents, templates, channels, divisions and contact lists
//! create.rs        creates templates and contact lists for callers of the API
//! recovery.rs      backfills by itself after an outage
//! repeat.rs        runs catalog.rs and recovery.rs at intervals
//! ```
//!
//! Nothing here is called while a webhook is processed, and no error, log line or metric contains a
//! credential, a webhook token or a response body.

pub mod backfill;
pub mod catalog;
mod cipher;
mod client;
pub mod create;
mod error;
mod hmac;
pub mod hook;
mod limit;
mod list;
pub mod preflight;
pub mod recovery;
pub mod register;
mod repeat;
mod response;
pub mod status_page;
mod token;
mod transport;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgPool;

pub use self::client::Client;
pub use self::error::Error;
pub use self::transport::Transport;
use crate::config::Config;

/// Clients of all organisations of the settings, by name. `db` holds their tokens.
pub type Clients = BTreeMap<String, Arc<Client>>;

/// Makes the clients: one per organisation, since its limits of calls are kept there.
pub fn clients(config: &Config, db: &PgPool) -> Clients {
    let client = |(name, settings): (&String, &crate::config::Qontak)| {
        (name.clone(), Arc::new(Client::new(name, settings, config, db.clone())))
    };
    config.qontak.iter().map(client).collect()
}
