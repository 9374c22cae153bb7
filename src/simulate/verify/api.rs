//! Client of the read API.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::simulate::client::{Address, Client};

/// Maximum time to retry while the API is unavailable.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// The read API of an installation.
#[derive(Clone, Debug)]
pub struct Api {
    address: Address,
    bearer: HeaderValue,
}

impl Api {
    /// The API at an address, read with a key.
    pub fn new(address: Address, key: &str) -> anyhow::Result<Self> {
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {key}")).context("--key: invalid key")?;
        bearer.set_sensitive(true);
        Ok(Self { address, bearer })
    }

    /// Opens a reader with its own connection.
    pub fn reader(&self) -> Reader {
        Reader { client: Client::new(self.address.clone()), bearer: self.bearer.clone() }
    }
}

/// Reader of the API over one connection.
pub struct Reader {
    client: Client,
    bearer: HeaderValue,
}

impl Reader {
    /// Gets one resource; `None` if it does not exist.
    pub async fn one<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<Option<T>> {
        Ok(self.get(path).await?.map(|response| response.data))
    }

    /// Gets all pages of a list.
    pub async fn all<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut rows = Vec::new();
        let mut page = format!("{path}?limit=500");
        while let Some(Response::<Vec<T>> { data, meta }) = self.get(&page).await? {
            rows.extend(data);
            let Some(next) = meta.and_then(|meta| meta.pagination.cursor.next) else {
                break;
            };
            page = format!("{path}?limit=500&cursor={next}");
        }
        Ok(rows)
    }

    async fn get<T: DeserializeOwned>(
        &mut self,
        path: &str,
    ) -> anyhow::Result<Option<Response<T>>> {
        let deadline = Instant::now() + RETRY_TIMEOUT;
        loop {
            let response = self.client.get(path, &self.bearer).await;
            match response {
                Ok((StatusCode::OK, body)) => {
                    let response = serde_json::from_slice(&body);
                    return response.map(Some).with_context(|| format!("GET {path}"));
                }
                Ok((StatusCode::NOT_FOUND, _)) => return Ok(None),
                Ok((StatusCode::SERVICE_UNAVAILABLE, _)) | Err(_) if Instant::now() < deadline => {
                    sleep(Duration::from_secs(1)).await;
                }
                Ok((status, _)) => bail!("GET {path}: unexpected status {status}"),
                Err(error) => return Err(error).with_context(|| format!("GET {path}")),
            }
        }
    }
}

#[derive(Deserialize)]
struct Response<T> {
    data: T,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    cursor: Cursor,
}

#[derive(Deserialize)]
struct Cursor {
    next: Option<String>,
}

/// Room in the API.
#[derive(Default, Deserialize)]
pub struct Room {
    pub status: Option<String>,
    pub unread_count: Option<i64>,
    pub activity_at: Option<String>,
    pub last_message: Option<Message>,
}

/// Message in the API.
#[derive(Deserialize)]
pub struct Message {
    pub id: String,
    pub status: Option<String>,
}

/// Recipient of a broadcast in the API.
#[derive(Default, Deserialize)]
pub struct Log {
    pub id: String,
    pub status: Option<String>,
    pub error_code: Option<i64>,
}

/// Broadcast in the API.
#[derive(Default, Deserialize)]
pub struct Broadcast {
    created: i64,
    pending: i64,
    sent: i64,
    delivered: i64,
    read: i64,
    failed: i64,
}

impl Broadcast {
    /// Number of recipients per status, in the order of `Status::VARIANTS`.
    pub const fn counts(&self) -> [i64; 6] {
        [self.created, self.pending, self.sent, self.delivered, self.read, self.failed]
    }
}
