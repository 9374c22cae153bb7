//! State of the read API.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::http::HeaderValue;
use sqlx::PgPool;

use super::keys::Keys;
use super::replica::Replica;
use super::stream::event_tail::EventTail;
use crate::config::Config;
use crate::ingest::Ingest;
use crate::media::Storage;
use crate::qontak::create::Creations;
use crate::store;

/// Shared by all requests of the read API; cheap to clone.
#[derive(Clone)]
pub struct ReadState(Arc<Parts>);

/// Shared parts of the state.
pub struct Parts {
    /// Connections for reading from the primary.
    pub primary: PgPool,
    /// A hot standby to read from; `None` if none is configured.
    pub replica: Option<Arc<Replica>>,
    /// Stores replayed events.
    pub ingest: Ingest,
    /// API keys.
    pub keys: Keys,
    /// Recently applied events, for the stream.
    pub event_tail: Arc<EventTail>,
    /// Whether `search.enabled` is set.
    pub search_enabled: bool,
    /// Timeout of a request.
    pub read_timeout: Duration,
    /// Origins whose pages may read the API.
    pub cors_origins: Vec<HeaderValue>,
    /// `audit.reads`.
    pub audit_reads: bool,
    /// Copies of the files of messages; `None` if none are made.
    pub media: Option<Storage>,
    /// Creates templates and contact lists at Qontak; `None` unless `api.write` is set.
    pub creations: Option<Creations>,
}

impl Deref for ReadState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<ReadState> for PgPool {
    fn from_ref(state: &ReadState) -> Self {
        state.db().clone()
    }
}

impl Parts {
    /// Connections for reading: of the standby while it can be used. Keys and the stream use the primary.
    pub fn db(&self) -> &PgPool {
        self.replica.as_ref().and_then(|replica| replica.usable()).unwrap_or(&self.primary)
    }
}

impl ReadState {
    /// Takes limits and keys from the settings; `primary` are connections for reading. Fails if
    /// `database.read_url` cannot be parsed.
    pub fn new(
        config: &Config,
        primary: PgPool,
        ingest: Ingest,
        creations: Option<Creations>,
    ) -> sqlx::Result<Self> {
        let replica = match config.database.of_replica() {
            Some(settings) => {
                let db = store::connect_to_read(&settings, settings.read_connections)?;
                Some(Arc::new(Replica::new(db, settings.max_read_lag)))
            }
            None => None,
        };
        // One wait for a connection and one statement: no response needs several slow ones.
        let read_timeout = config.database.acquire_timeout + config.database.statement_timeout;
        let cors_origins = config.api.cors_origins.iter().map(|origin| origin.0.clone());
        Ok(Self(Arc::new(Parts {
            keys: Keys::new(&config.key, &config.api, primary.clone()),
            event_tail: Arc::new(EventTail::new(primary.clone(), read_timeout, config.stream)),
            primary,
            replica,
            ingest,
            search_enabled: config.search.enabled,
            read_timeout,
            cors_origins: cors_origins.collect(),
            audit_reads: config.audit.reads,
            media: Storage::new(&config.media),
            creations,
        })))
    }
}
