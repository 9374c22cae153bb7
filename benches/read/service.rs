//! The service on a database: as it is delivered, to be measured; and in this process, where its
//! plans can be heard.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use qontak_receiver::app;
use qontak_receiver::config::Config;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::cases;
use super::explain::explained;
use crate::running::{self, Running, this_as};

/// A running service and who asks it.
pub struct Service {
    url: String,
    client: reqwest::Client,
    /// None if it is this one.
    _running: Option<Running>,
}

impl Service {
    /// Starts it in a process of its own.
    pub async fn start(database_url: &str) -> anyhow::Result<Self> {
        let running = Running::start(this_as("receiver")?, cases::settings(database_url)).await?;
        Ok(Self::at(running.address, Some(running)))
    }

    /// Starts it in this process, on connections whose plans are told.
    pub async fn start_explained(database_url: &str) -> anyhow::Result<Self> {
        let address = running::free_address()?;
        let mut settings = cases::settings(&explained(database_url));
        settings.extend(running::listening(address)?);
        let config = Config::read(None, settings)?;
        // It ends with this process.
        let thread = std::thread::spawn(move || {
            Runtime::new()?.block_on(app::serve(config, std::future::pending()))
        });
        while TcpStream::connect(address).await.is_err() {
            ensure!(!thread.is_finished(), "the service ended at its start: {:?}", thread.join());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self::at(address, None))
    }

    fn at(address: SocketAddr, running: Option<Running>) -> Self {
        let url = format!("http://{address}");
        Self { url, client: reqwest::Client::new(), _running: running }
    }

    /// What it answers, and how long that took: a round trip on a connection that is kept.
    pub async fn get(&self, key: &str, path: &str) -> anyhow::Result<(Vec<u8>, Duration)> {
        let began = Instant::now();
        let answer = self.client.get(format!("{}{path}", self.url)).bearer_auth(key).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        let took = began.elapsed();
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok((body.into(), took))
    }

    /// The same as JSON.
    pub async fn json(&self, key: &str, path: &str) -> anyhow::Result<Value> {
        let (body, _) = self.get(key, path).await?;
        serde_json::from_slice(&body).with_context(|| path.to_owned())
    }
}
