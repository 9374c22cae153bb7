//! Cost of one page, and where a deep page begins.

use std::future::pending;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use qontak_receiver::app;
use qontak_receiver::config::Config;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use super::cases::{self, ALL, Case, IDS, Ids, Shape};
use super::explain::{Plan, Plans, explained};
use crate::process::{Server, free_address, listen_settings};
use crate::report::median;

/// Rows before page 10,000 of 10 rows.
const DEEP: usize = 99_990;

/// Largest page.
const MAX_LIMIT: usize = 500;

/// Default page size.
const DEFAULT_LIMIT: usize = 50;

/// Requests per measured page.
const SAMPLES: usize = 100;

/// Requests per explained page. Postgres plans each anew.
const EXPLAINED: usize = 4;

/// Cost of a page; rows and buffers are those of all its statements.
pub struct Cost {
    pub returned: usize,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub rows_read: f64,
    pub buffers: f64,
    pub objections: Vec<String>,
}

/// Two services on a database: one as delivered, and one in this process whose plans are logged.
pub struct Database {
    pub ids: Ids,
    client: reqwest::Client,
    delivered: String,
    explained: String,
    _server: Server,
}

impl Database {
    /// Starts the services and finds the ids to request.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let server = Server::start("receiver", cases::settings(url)).await?;
        let address = free_address()?;
        let mut settings = cases::settings(&explained(url));
        settings.extend(listen_settings(address)?);
        let config = Config::read(None, settings)?;
        let thread =
            thread::spawn(move || Runtime::new()?.block_on(app::serve(config, None, pending())));
        while TcpStream::connect(address).await.is_err() {
            ensure!(!thread.is_finished(), "service exited: {:?}", thread.join());
            sleep(Duration::from_millis(20)).await;
        }
        let mut database = Self {
            ids: Ids::new(),
            client: reqwest::Client::new(),
            delivered: format!("http://{}", server.address),
            explained: format!("http://{address}"),
            _server: server,
        };
        for (name, path, pointer) in IDS {
            let body = database.get(&database.delivered, ALL, path).await?;
            let rows = body["data"].as_array().context(path)?.iter();
            let ids = rows.filter_map(|row| Some(row.pointer(pointer)?.as_str()?.to_owned()));
            let ids: Vec<String> = ids.collect();
            ensure!(!ids.is_empty(), "{path}: no {pointer}");
            database.ids.insert(name, ids);
        }
        Ok(database)
    }

    /// Requests `paths` in turn.
    pub async fn measure(
        &self,
        case: &Case,
        paths: &[String],
        plans: &Plans,
    ) -> anyhow::Result<Cost> {
        // Once unmeasured, so that all is cached.
        for path in paths {
            self.send(&self.delivered, case.key, path).await?;
        }
        let mut times = Vec::with_capacity(SAMPLES);
        for path in paths.iter().cycle().take(SAMPLES) {
            let started = Instant::now();
            self.send(&self.delivered, case.key, path).await?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        plans.take();
        let mut returned = 0;
        for path in paths.iter().cycle().take(EXPLAINED) {
            let body = self.get(&self.explained, case.key, path).await?;
            // A single resource counts as a row.
            returned = body["data"].as_array().map_or(1, Vec::len);
        }
        // Plans of statements that are closed early are logged after the response.
        sleep(Duration::from_millis(20)).await;
        let plans = plans.take();
        let costs: Vec<_> = plans.iter().map(Plan::cost).collect();
        let most_rows = case.most_rows(DEFAULT_LIMIT);
        let mut objections: Vec<_> =
            plans.iter().flat_map(|plan| plan.objections(most_rows)).collect();
        objections.sort();
        objections.dedup();
        Ok(Cost {
            returned,
            p99_ms: times[SAMPLES * 99 / 100 - 1],
            p50_ms: median(times),
            rows_read: costs.iter().map(|cost| cost.0).sum::<f64>() / EXPLAINED as f64,
            buffers: costs.iter().map(|cost| cost.1).sum::<f64>() / EXPLAINED as f64,
            objections,
        })
    }

    /// Walks a long list to the page behind 99,990 rows, or to the one before the last.
    pub async fn deep_page(&self, case: &Case) -> anyhow::Result<Option<String>> {
        if case.shape != Shape::LongList {
            return Ok(None);
        }
        let first = case.paths(&self.ids).swap_remove(0);
        let (mut previous, mut here, mut passed) = (None, None::<String>, 0);
        while passed < DEEP {
            let limit = MAX_LIMIT.min(DEEP - passed);
            let path = with(here.as_ref().unwrap_or(&first), "limit", &limit.to_string());
            let page = self.get(&self.delivered, case.key, &path).await?;
            let Some(next) = page["meta"]["pagination"]["cursor"]["next"].as_str() else {
                // The last page may have few rows.
                return Ok(previous);
            };
            previous = here.replace(with(&first, "cursor", next));
            passed += limit;
        }
        Ok(here)
    }

    async fn get(&self, service: &str, key: &str, path: &str) -> anyhow::Result<Value> {
        let body = self.send(service, key, path).await?;
        // The body of an event need not be JSON.
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn send(&self, service: &str, key: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = self.client.get(format!("{service}{path}")).bearer_auth(key);
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body.into())
    }
}

fn with(path: &str, parameter: &str, value: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{parameter}={value}")
}
