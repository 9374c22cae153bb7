//! State of the console.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hmac::{Hmac, KeyInit};
use secrecy::ExposeSecret;
use sha2::Sha256;
use uuid::Uuid;

use crate::config::Config;
use crate::model::Timestamp;
use crate::read;
use crate::read::state::ReadState;

/// Makes a day of webhooks that ends at a time: when each arrives, and its body.
pub type DemoTraffic = fn(Timestamp) -> Vec<(Timestamp, Vec<u8>)>;

/// Shared by all requests of the console; cheap to clone.
#[derive(Clone)]
pub struct ConsoleState(Arc<Parts>);

/// Shared parts of the state.
pub struct Parts {
    /// The read API, called in process.
    pub api: Router,
    /// State of the read API.
    pub read: ReadState,
    /// Signs sessions.
    pub signer: Hmac<Sha256>,
    /// How long a session lasts.
    pub session_lifetime: Duration,
    /// Made-up traffic that visitors may play; `None` unless `console.demo` is set.
    pub demo: Option<DemoTraffic>,
    /// Currency of the prices.
    pub currency: String,
    /// Price of a billable message, by category.
    pub prices: BTreeMap<String, f64>,
    /// Whether the public port listens on a loopback address only.
    pub is_loopback: bool,
}

impl Deref for ConsoleState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl ConsoleState {
    /// `None` if the console is disabled. Without `console.session_key` a random one is used, so a
    /// restart signs everybody out.
    pub fn new(config: &Config, read: &ReadState, demo: Option<DemoTraffic>) -> Option<Self> {
        let settings = &config.console;
        if !settings.enabled {
            return None;
        }
        let signer = match &settings.session_key {
            Some(key) => Hmac::new_from_slice(key.0.expose_secret().as_bytes()),
            None => {
                // The same source of random numbers as for ids of requests, 244 bits of it.
                let bits = [Uuid::new_v4(), Uuid::new_v4()];
                Hmac::new_from_slice(&bits.map(Uuid::into_bytes).concat())
            }
        };
        let api = read::routes(read.read_timeout);
        Some(Self(Arc::new(Parts {
            api: Router::new()
                .nest("/v1", Router::from(api))
                .layer(from_fn_with_state(read.clone(), read::caller::middleware))
                .with_state(read.clone()),
            read: read.clone(),
            signer: signer.expect("a key may have any length"),
            session_lifetime: settings.session_lifetime,
            demo: demo.filter(|_| settings.demo),
            currency: settings.currency.clone(),
            prices: settings.price.clone(),
            is_loopback: config.api.listen.unwrap_or(config.http.listen).ip().is_loopback(),
        })))
    }
}
