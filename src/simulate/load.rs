//! Load generator: sends traffic over several connections and measures latency.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Address, Client, RequestError};
use super::expected::{Claim, Expected};
use super::report::Report;
use super::traffic::Traffic;
use super::webhook::Webhook;

/// Pause after a failed request, so that few events are lost while the service restarts.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Target, concurrency, rate and duration of a run.
#[derive(Clone, Debug)]
pub struct Load {
    /// URL of the webhook.
    pub to: Address,
    /// Number of connections, each with one request in flight.
    pub connections: usize,
    /// Events per second; `None`: as many as the connections can send.
    pub rate: Option<f64>,
    /// End of the run.
    pub limit: Limit,
}

/// End of a run.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are sufficient")]
pub enum Limit {
    Count(u64),
    Time(Duration),
    EndOfTraffic,
}

/// State shared by all connections.
struct Run {
    load: Load,
    began: Instant,
    source: Mutex<Source>,
    results: Mutex<Results>,
    /// With a rate: one permit per event that is due.
    due: Semaphore,
}

struct Source {
    traffic: Traffic,
    taken: u64,
}

struct Results {
    report: Report,
    expected: Expected,
}

impl Load {
    /// Sends the traffic. Fails if the target cannot be reached at the start.
    pub async fn run(self, traffic: Traffic) -> anyhow::Result<(Report, Expected)> {
        let mut clients: Vec<Client> =
            (0..self.connections).map(|_| Client::new(self.to.clone())).collect();
        for client in &mut clients {
            client.connect().await?;
        }
        let expected = Expected::new(traffic.ids());
        let run = Arc::new(Run {
            load: self,
            began: Instant::now(),
            source: Mutex::new(Source { traffic, taken: 0 }),
            results: Mutex::new(Results { report: Report::default(), expected }),
            due: Semaphore::new(0),
        });
        let mut tasks = JoinSet::new();
        for client in clients {
            tasks.spawn(run.clone().send(client));
        }
        if run.load.rate.is_some() {
            let run = run.clone();
            tasks.spawn_blocking(move || run.schedule());
        }
        let mut progress = tokio::time::interval(Duration::from_secs(1));
        progress.tick().await;
        let mut before = 0;
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(ended) => ended?,
                },
                _ = progress.tick() => before = run.print_progress(before),
            }
        }
        let took = run.began.elapsed();
        let unsent = run.planned().map_or(0, |planned| planned - lock(&run.source).taken);
        let run = Arc::into_inner(run).expect("the tasks have ended");
        let mut results = run.results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.report.ended(took, unsent);
        Ok((results.report, results.expected))
    }
}

impl Run {
    /// Sends events over one connection, one after the other.
    async fn send(self: Arc<Self>, mut client: Client) {
        loop {
            if self.load.rate.is_some() {
                let Ok(due) = self.due.acquire().await else { return };
                due.forget();
            }
            let Some((Webhook { body, claim, is_truncated }, due)) = self.next() else {
                self.due.close();
                return;
            };
            let response = client.post(body).await;
            let has_failed = response.is_err();
            lock(&self.results).record(response, due.elapsed(), &claim, is_truncated);
            if has_failed {
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }

    /// The next event and the time it was due; `None` at the end.
    fn next(&self) -> Option<(Webhook, Instant)> {
        let mut source = lock(&self.source);
        let has_ended = match self.load.limit {
            Limit::Count(count) => source.taken >= count,
            Limit::Time(time) => self.began.elapsed() >= time,
            Limit::EndOfTraffic => false,
        };
        if has_ended || self.planned().is_some_and(|planned| source.taken >= planned) {
            return None;
        }
        let webhook = source.traffic.next()?;
        let due = self.due_at(source.taken);
        source.taken += 1;
        Some((webhook, due))
    }

    /// Scheduled time of an event. Latency counts from it, not from the time a connection is free:
    /// otherwise a stalled service would receive fewer requests and look faster than it is.
    fn due_at(&self, number: u64) -> Instant {
        match self.load.rate {
            Some(rate) => self.began + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        }
    }

    /// Number of events of the run, if it is known in advance.
    fn planned(&self) -> Option<u64> {
        match (self.load.limit, self.load.rate) {
            (Limit::Count(count), _) => Some(count),
            (Limit::Time(time), Some(rate)) => Some((time.as_secs_f64() * rate).ceil() as u64),
            (Limit::Time(_), None) | (Limit::EndOfTraffic, _) => None,
        }
    }

    /// Releases each event when it is due. A thread, because tokio's timer has a resolution of a
    /// millisecond, which would add to the measured latency.
    fn schedule(&self) {
        for number in 0..self.planned().unwrap_or(u64::MAX) {
            std::thread::sleep(self.due_at(number).saturating_duration_since(Instant::now()));
            if self.due.is_closed() {
                return;
            }
            self.due.add_permits(1);
        }
        // Wakes each connection, so that it sees the end.
        self.due.add_permits(self.load.connections);
    }

    fn print_progress(&self, before: u64) -> u64 {
        let (sent, failed) = {
            let results = lock(&self.results);
            (results.report.sent, results.report.failed)
        };
        let seconds = self.began.elapsed().as_secs();
        eprintln!("{seconds:>5} s  {sent:>9} sent  {:>7}/s  {failed:>5} failed", sent - before);
        sent
    }
}

impl Results {
    fn record(
        &mut self,
        response: Result<(StatusCode, Bytes), RequestError>,
        latency: Duration,
        claim: &Claim,
        is_truncated: bool,
    ) {
        let is_acknowledged = match response {
            Ok((status, bytes)) => self.report.responded(status, &bytes, is_truncated, latency),
            Err(error) => self.report.failed(error.as_str(), latency),
        };
        self.expected.add(claim, is_acknowledged);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
