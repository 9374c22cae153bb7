//! The service on a database: as it is delivered, to be measured; and in this process, where its
//! plans can be heard.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use qontak_receiver::app;
use qontak_receiver::config::Config;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::cases;
use super::explain::explained;

/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running service and who asks it.
pub struct Service {
    url: String,
    client: reqwest::Client,
    /// None if it is this one.
    _process: Option<Child>,
}

impl Service {
    /// Starts the binary.
    pub async fn start(database_url: &str) -> anyhow::Result<Self> {
        let listen = free_address()?;
        let mut settings = cases::settings(database_url);
        settings.insert("RECEIVER__HTTP__LISTEN".to_owned(), listen.to_string());
        settings.insert("RECEIVER__OPS__LISTEN".to_owned(), free_address()?.to_string());
        let mut child = Command::new(env!("CARGO_BIN_EXE_qontak-receiver"))
            .env_clear()
            .envs(settings)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot be started")?;
        let began = Instant::now();
        while TcpStream::connect(listen).await.is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the service ended at its start: {status}");
            }
            ensure!(began.elapsed() < PATIENCE, "does not listen after {PATIENCE:?}");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self::at(listen, Some(child)))
    }

    /// Starts it in this process, on connections whose plans are told.
    pub async fn start_explained(database_url: &str) -> anyhow::Result<Self> {
        let listen = free_address()?;
        let mut settings = cases::settings(&explained(database_url));
        settings.insert("RECEIVER__HTTP__LISTEN".to_owned(), listen.to_string());
        settings.insert("RECEIVER__OPS__LISTEN".to_owned(), free_address()?.to_string());
        let config = Config::read(None, settings)?;
        // It ends with this process.
        let thread = std::thread::spawn(move || {
            Runtime::new()?.block_on(app::serve(config, std::future::pending()))
        });
        while TcpStream::connect(listen).await.is_err() {
            ensure!(!thread.is_finished(), "the service ended at its start: {:?}", thread.join());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self::at(listen, None))
    }

    fn at(listen: SocketAddr, process: Option<Child>) -> Self {
        let url = format!("http://{listen}");
        Self { url, client: reqwest::Client::new(), _process: process }
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

/// An address that nobody listens on now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
