//! The read API as a client sees it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::simulate::client::{Address, Client};

/// How long an API that is away may take to come back.
const PATIENCE: Duration = Duration::from_secs(30);

/// The read API of an installation.
#[derive(Clone, Debug)]
pub struct Api {
    address: Address,
    bearer: HeaderValue,
}

impl Api {
    /// The API at an address, for the holder of a key.
    pub fn new(address: Address, key: &str) -> anyhow::Result<Self> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {key}")).context("not a key")?;
        bearer.set_sensitive(true);
        Ok(Self { address, bearer })
    }

    /// Somebody who reads it.
    pub fn reader(&self) -> Reader {
        Reader { client: Client::new(self.address.clone()), bearer: self.bearer.clone() }
    }
}

/// One connection to the API.
pub struct Reader {
    client: Client,
    bearer: HeaderValue,
}

impl Reader {
    /// What a path shows; `None` if there is nothing.
    pub async fn one<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<Option<T>> {
        Ok(self.get(path).await?.map(|answer| answer.data))
    }

    /// All pages of a list.
    pub async fn all<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut rows = Vec::new();
        let mut page = format!("{path}?limit=500");
        while let Some(Answer::<Vec<T>> { data, meta }) = self.get(&page).await? {
            rows.extend(data);
            let Some(next) = meta.and_then(|meta| meta.pagination.cursor.next) else {
                break;
            };
            page = format!("{path}?limit=500&cursor={next}");
        }
        Ok(rows)
    }

    async fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<Option<Answer<T>>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.client.get(path, &self.bearer).await;
            match answer {
                Ok((StatusCode::OK, body)) => {
                    let answer = serde_json::from_slice(&body);
                    return answer.map(Some).with_context(|| format!("GET {path}"));
                }
                Ok((StatusCode::NOT_FOUND, _)) => return Ok(None),
                Ok((StatusCode::SERVICE_UNAVAILABLE, _)) | Err(_) if Instant::now() < deadline => {
                    sleep(Duration::from_secs(1)).await;
                }
                Ok((status, _)) => bail!("GET {path}: the API answers {status}"),
                Err(why) => return Err(why).with_context(|| format!("GET {path}")),
            }
        }
    }
}

#[derive(Deserialize)]
struct Answer<T> {
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

/// A room as the API shows it.
#[derive(Default, Deserialize)]
pub struct Room {
    pub status: Option<String>,
    pub last_message: Option<Message>,
}

/// A message as the API shows it.
#[derive(Deserialize)]
pub struct Message {
    pub id: String,
    pub status: Option<String>,
}

/// A recipient of a broadcast as the API shows it.
#[derive(Default, Deserialize)]
pub struct Log {
    pub id: String,
    pub status: Option<String>,
    pub error_code: Option<i64>,
}

/// A broadcast as the API shows it.
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
    /// How many recipients have each status, in the order of `Status::ALL`.
    pub const fn counts(&self) -> [i64; 6] {
        [self.created, self.pending, self.sent, self.delivered, self.read, self.failed]
    }
}
