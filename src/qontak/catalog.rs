//! Keeps the names of agents, templates, channel integrations, divisions and contact lists: once an
//! interval, and within a minute when webhooks mention an id that is not known.

use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::PgPool;
use tokio::sync::watch::Receiver;
use tracing::{info, warn};

use super::Clients;
use super::client::Client;
use super::error::Error;
use super::list::Walk;
use super::repeat::repeat;
use crate::config::Config;
use crate::model::Timestamp;
use crate::store::Failure;
use crate::store::catalog::{self, Entry, Kind};
use crate::store::qontak_check::{self, Check, claim, finish};

/// Longest poll interval for unknown ids.
const MAX_TICK: Duration = Duration::from_secs(60);

/// Sync of all organisations.
pub struct Catalog {
    clients: Clients,
    interval: Duration,
    db: PgPool,
}

/// A list of Qontak.
struct List {
    kind: Kind,
    path: &'static str,
    /// Fields that may have the name, the first one first.
    names: &'static [&'static str],
    /// Fields that are stored; no field that can contain a secret.
    fields: &'static [&'static str],
}

const LISTS: [List; 5] = [
    List {
        kind: Kind::Agent,
        path: "users",
        names: &["full_name", "name"],
        fields: &["email", "role", "is_online"],
    },
    List {
        kind: Kind::Template,
        path: "templates/whatsapp",
        names: &["name"],
        fields: &[
            "language",
            "header",
            "body",
            "footer",
            "buttons",
            "status",
            "category",
            "quality_rating",
            "quality_rating_text",
        ],
    },
    List {
        kind: Kind::Channel,
        path: "integrations",
        names: &["settings.account_name"],
        fields: &["target_channel", "settings.phone_number", "is_active"],
    },
    List { kind: Kind::Division, path: "divisions", names: &["name"], fields: &["name"] },
    List {
        kind: Kind::ContactList,
        path: "contacts/contact_lists",
        names: &["name"],
        // Not `error_messages`, which can quote contacts.
        fields: &[
            "name",
            "source_type",
            "source_id",
            "contacts_count",
            "contacts_count_success",
            "contacts_count_failed",
            "contact_variables",
            "progress",
            "created_at",
            "updated_at",
            "finished_at",
        ],
    },
];

/// The fields of a row of one of Qontak's lists that are stored; `None` if it has no id.
pub fn entry(kind: Kind, row: &Value) -> Option<Entry> {
    LISTS.iter().find(|list| list.kind == kind)?.entry(row)
}

#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error(transparent)]
    Qontak(#[from] Error),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Catalog {
    /// The sync of all organisations of the settings; `None` without any.
    pub fn new(config: &Config, clients: Clients, db: PgPool) -> Option<Self> {
        let interval = config.catalog.interval;
        (!clients.is_empty()).then_some(Self { clients, interval, db })
    }

    /// Syncs until `stopping`.
    pub async fn run(self, stopping: Receiver<bool>) {
        let pause = self.interval.min(MAX_TICK);
        repeat(pause, stopping, "sync of names interrupted", || self.sync_all()).await;
    }

    /// Syncs each organisation that is due. Fails only if the database does.
    async fn sync_all(&self) -> Result<(), Failure> {
        for client in self.clients.values() {
            let check = Check { name: client.name(), kind: qontak_check::Kind::Catalog };
            let result = match self.is_due(client, check).await {
                Ok(false) => continue,
                Ok(true) => self.sync(client).await,
                Err(error) => Err(error),
            };
            let error = match result {
                Ok(()) => None,
                Err(SyncError::Database(cause)) => return Err(cause.into()),
                Err(error) => Some(error.to_string()),
            };
            if finish(&self.db, check, error.as_deref()).await? {
                match error {
                    Some(error) => warn!(organization = check.name, error, "sync of names failed"),
                    None => info!(organization = check.name, "sync of names succeeds again"),
                }
            }
        }
        Ok(())
    }

    /// Claims the sync of an organisation for this replica, if an interval is over, or a minute and an id
    /// is unknown.
    async fn is_due(&self, client: &Client, check: Check<'_>) -> Result<bool, SyncError> {
        if claim(&self.db, check, self.interval.mul_f64(0.9)).await? {
            return Ok(true);
        }
        let Some(organization_id) = client.organization_id().await? else { return Ok(false) };
        Ok(catalog::has_unknown(&self.db, &organization_id).await?
            && claim(&self.db, check, self.interval.min(MAX_TICK).mul_f64(0.9)).await?)
    }

    async fn sync(&self, client: &Client) -> Result<(), SyncError> {
        let Some(organization_id) = client.organization_id().await? else { return Ok(()) };
        for list in &LISTS {
            let mut walk = Walk::new(client, list.path, list.path.to_owned());
            let mut asked_at = Timestamp::now();
            loop {
                let rows = match walk.next().await {
                    Ok(Some(rows)) => rows,
                    Ok(None) => break,
                    // Credentials that suffice for the rest may not do for contacts.
                    Err(Error::NotFound { .. } | Error::Forbidden { .. })
                        if list.kind == Kind::ContactList =>
                    {
                        break;
                    }
                    Err(error) => return Err(error.into()),
                };
                let entries: Vec<Entry> = rows.iter().filter_map(|row| list.entry(row)).collect();
                catalog::store(&self.db, &organization_id, list.kind, &entries, asked_at).await?;
                asked_at = Timestamp::now();
            }
        }
        Ok(catalog::note_unlisted(&self.db, &organization_id).await?)
    }
}

impl List {
    fn entry(&self, row: &Value) -> Option<Entry> {
        let id = row["id"].as_str()?.to_owned();
        let field = |path: &str| {
            let value = path.split('.').fold(row, |value, name| &value[name]);
            Some(value.clone()).filter(|value| !value.is_null())
        };
        let name =
            self.names.iter().find_map(|path| Some(field(path)?.as_str()?.trim().to_owned()));
        let fields = self.fields.iter().filter_map(|path| {
            let name = path.rsplit('.').next().unwrap_or(path);
            let value = field(path)?;
            // Numbers may be texts.
            let number = value.as_str().filter(|_| name.starts_with("contacts_count"));
            let number = number.and_then(|text| text.trim().parse::<i64>().ok());
            Some((name.to_owned(), number.map_or(value, Value::from)))
        });
        let data: Map<String, Value> = fields.collect();
        let name = name.filter(|name| !name.is_empty());
        Some(Entry { id, name, data: Value::Object(data) })
    }
}
