//! Sends traffic, as fast as it may, and measures how long each answer takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Address, Client, QueueError};
use super::expected::{Claim, Expected};
use super::report::Report;
use super::{Traffic, Webhook};

/// How long a connection rests after it was lost: a service that restarts must not be told a
/// thousand events in vain.
const REST: Duration = Duration::from_millis(100);

/// How much is sent, where, and how fast.
#[derive(Clone, Debug)]
pub struct Load {
    /// The webhook's URL.
    pub to: Address,
    /// How many connections, each with one event at a time.
    pub connections: usize,
    /// Events a second; else as many as the connections bear.
    pub rate: Option<f64>,
    /// When to stop.
    pub limit: Limit,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Limit {
    Count(u64),
    Time(Duration),
    EndOfTraffic,
}

/// What all connections share.
struct Run {
    load: Load,
    began: Instant,
    source: Mutex<Source>,
    book: Mutex<Book>,
    /// With a rate, one for each event that is due.
    due: Semaphore,
}

struct Source {
    traffic: Traffic,
    taken: u64,
}

struct Book {
    report: Report,
    expected: Expected,
}

impl Load {
    /// Sends the traffic. Fails if there is nobody to send it to.
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
            book: Mutex::new(Book { report: Report::default(), expected }),
            due: Semaphore::new(0),
        });
        let mut tasks = JoinSet::new();
        for client in clients {
            tasks.spawn(run.clone().send(client));
        }
        if run.load.rate.is_some() {
            let run = run.clone();
            tasks.spawn_blocking(move || run.keep_time());
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
                _ = progress.tick() => before = run.tell_progress(before),
            }
        }
        let took = run.began.elapsed();
        let unsent = run.planned().map_or(0, |planned| planned - lock(&run.source).taken);
        let run = Arc::into_inner(run).expect("the tasks have ended");
        let mut book = run.book.into_inner().unwrap_or_else(PoisonError::into_inner);
        book.report.ended(took, unsent);
        Ok((book.report, book.expected))
    }
}

impl Run {
    /// One connection: sends one event after the other.
    async fn send(self: Arc<Self>, mut client: Client) {
        loop {
            if self.load.rate.is_some() {
                let Ok(due) = self.due.acquire().await else { return };
                due.forget();
            }
            let Some((Webhook { body, claim, is_cut }, due)) = self.next() else {
                self.due.close();
                return;
            };
            let answer = client.post(body).await;
            let is_lost = answer.is_err();
            lock(&self.book).note(answer, due.elapsed(), &claim, is_cut);
            if is_lost {
                tokio::time::sleep(REST).await;
            }
        }
    }

    /// The next event, and when it was due; `None` when it is time to stop.
    fn next(&self) -> Option<(Webhook, Instant)> {
        let mut source = lock(&self.source);
        let is_over = match self.load.limit {
            Limit::Count(count) => source.taken >= count,
            Limit::Time(time) => self.began.elapsed() >= time,
            Limit::EndOfTraffic => false,
        };
        if is_over || self.planned().is_some_and(|planned| source.taken >= planned) {
            return None;
        }
        let webhook = source.traffic.next()?;
        let due = self.due_at(source.taken);
        source.taken += 1;
        Some((webhook, due))
    }

    /// When the event of this number is due. Not when a connection is free for it: a service
    /// that stops answering would be asked less, and look faster than it is.
    fn due_at(&self, number: u64) -> Instant {
        match self.load.rate {
            Some(rate) => self.began + Duration::from_secs_f64(number as f64 / rate),
            None => Instant::now(),
        }
    }

    /// How many there are to be, if that is known beforehand.
    fn planned(&self) -> Option<u64> {
        match (self.load.limit, self.load.rate) {
            (Limit::Count(count), _) => Some(count),
            (Limit::Time(time), Some(rate)) => Some((time.as_secs_f64() * rate).ceil() as u64),
            (Limit::Time(_), None) | (Limit::EndOfTraffic, _) => None,
        }
    }

    /// Lets each event go when it is due. A thread, because the timer of tokio is a millisecond
    /// late, and so is what it measures.
    fn keep_time(&self) {
        for number in 0..self.planned().unwrap_or(u64::MAX) {
            std::thread::sleep(self.due_at(number).saturating_duration_since(Instant::now()));
            if self.due.is_closed() {
                return;
            }
            self.due.add_permits(1);
        }
        // For each connection, to find that it is over.
        self.due.add_permits(self.load.connections);
    }

    fn tell_progress(&self, before: u64) -> u64 {
        let (sent, failed) = {
            let book = lock(&self.book);
            (book.report.sent, book.report.failed)
        };
        let seconds = self.began.elapsed().as_secs();
        eprintln!("{seconds:>5} s  {sent:>9} sent  {:>7}/s  {failed:>5} failed", sent - before);
        sent
    }
}

impl Book {
    fn note(
        &mut self,
        answer: Result<(StatusCode, Bytes), QueueError>,
        latency: Duration,
        claim: &Claim,
        is_cut: bool,
    ) {
        let is_acknowledged = match answer {
            Ok((status, bytes)) => self.report.answered(status, &bytes, is_cut, latency),
            Err(why) => self.report.unanswered(why.as_str(), latency),
        };
        self.expected.learn(claim, is_acknowledged);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
