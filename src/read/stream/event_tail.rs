//! In-memory tail of recently applied events, shared by all subscribers of this replica.
//!
//! No background task and no buffer per subscriber: a subscriber that has read everything reads the
//! next page from the database for all of them. So there are no queries without subscribers, and a
//! slow subscriber holds only its position.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use sqlx::PgPool;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::config;
use crate::http::Error;
use crate::store::batch::{self, AppliedRow, Page, Position};
use crate::store::{self, Failure};
use crate::telemetry::fault::Fault;

static HELD_BACK: Fault = Fault::warn("event stream held back by an open transaction");

/// Interval of reading the database.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The same while the database is unavailable.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Interval of measuring how far the stream is behind the commits, and the lag that is a warning.
const LAG_INTERVAL: Duration = Duration::from_secs(5);

/// The tail and its settings.
pub struct EventTail {
    db: PgPool,
    /// Timeout of reading a page.
    limit: Duration,
    /// `[stream]`
    pub settings: config::Stream,
    permits: Arc<Semaphore>,
    tail: Mutex<Tail>,
    closing: watch::Sender<bool>,
}

/// All events after `begin`, up to and including `end`.
struct Tail {
    begin: Position,
    end: Position,
    rows: VecDeque<Arc<AppliedRow>>,
    /// When to read the next page.
    due: Instant,
    is_unavailable: bool,
    /// When to measure the lag.
    lag_due: Instant,
    /// How often transaction ids went back.
    rewinds: u64,
}

/// What follows a position.
pub enum Next {
    /// The next events.
    Batch(Batch),
    /// The position is before the tail.
    Behind,
    /// Transaction ids of the database went back, so events were lost or are not in order any more.
    Rewound,
}

/// An end of the stream, and how often transaction ids had gone back by then.
#[derive(Clone, Copy)]
pub struct End {
    /// Position of the end.
    pub position: Position,
    /// Number of rewinds.
    pub rewinds: u64,
}

/// Consecutive events, in commit order.
pub struct Batch {
    /// The events.
    pub rows: Vec<Arc<AppliedRow>>,
    /// Position after them.
    pub end: Position,
}

impl EventTail {
    /// Accepts `stream.max_listeners` subscribers; `limit` is the timeout of a page.
    pub fn new(db: PgPool, limit: Duration, settings: config::Stream) -> Self {
        Self {
            db,
            limit,
            settings,
            permits: Arc::new(Semaphore::new(settings.max_listeners)),
            tail: Mutex::new(Tail::at(Position::default())),
            closing: watch::Sender::new(false),
        }
    }

    /// Returns a permit for one subscriber, and the current end of the stream. Fails if there are too
    /// many subscribers or the database is unavailable.
    pub async fn subscribe(&self) -> Result<(OwnedSemaphorePermit, End), Error> {
        let mut tail = self.tail.lock().await;
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded("stream subscribers"))?;
        let now = batch::end(&self.db).await?;
        if self.permits.available_permits() + 1 == self.settings.max_listeners {
            // The first subscriber: the tail was not kept up to date.
            *tail = Tail { rewinds: tail.rewinds, ..Tail::at(now) };
        }
        Ok((permit, End { position: now, rewinds: tail.rewinds }))
    }

    /// The current end, after a rewind.
    pub async fn end(&self) -> End {
        let tail = self.tail.lock().await;
        End { position: tail.end, rewinds: tail.rewinds }
    }

    /// Number of subscribers.
    pub fn subscribers(&self) -> usize {
        self.settings.max_listeners.saturating_sub(self.permits.available_permits())
    }

    /// Whether everything after a position is still available.
    pub async fn reaches(&self, position: Position) -> Result<bool, Error> {
        Ok(batch::is_known(&self.db, position).await?)
    }

    /// Waits for events after a position, which was reached after so many `rewinds`.
    pub async fn after(&self, position: Position, rewinds: u64) -> Next {
        loop {
            let due = {
                let mut tail = self.tail.lock().await;
                if tail.end <= position && tail.due <= Instant::now() {
                    self.read_next(&mut tail).await;
                }
                if tail.rewinds != rewinds {
                    return Next::Rewound;
                }
                if position < tail.begin {
                    return Next::Behind;
                }
                if position < tail.end {
                    return Next::Batch(tail.after(position));
                }
                tail.due
            };
            sleep_until(due).await;
        }
    }

    /// Reads a page after a position that is before the tail, from the database.
    pub async fn page(&self, position: Position) -> Next {
        loop {
            match self.read(position).await {
                Ok(page) if page.is_rewound => {
                    self.tail.lock().await.rewind(page.end);
                    return Next::Rewound;
                }
                Ok(page) => {
                    let rows = page.rows.into_iter().map(Arc::new).collect();
                    return Next::Batch(Batch { rows, end: page.end });
                }
                Err(cause) => {
                    error!(error = %Failure::from(cause), "stream subscriber cannot read its backlog");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    async fn read(&self, position: Position) -> sqlx::Result<Page> {
        store::within(self.limit, batch::page(&self.db, position)).await
    }

    async fn read_next(&self, tail: &mut Tail) {
        let read = self.read(tail.end).await;
        match (&read, tail.is_unavailable) {
            (Ok(_), true) => info!("event stream resumed"),
            (Err(_), false) => error!("event stream paused, database unavailable"),
            _ => {}
        }
        tail.is_unavailable = read.is_err();
        let pause = match read {
            Ok(page) if page.is_rewound => {
                tail.rewind(page.end);
                Duration::ZERO
            }
            Ok(page) => {
                let pause = if page.has_more { Duration::ZERO } else { POLL_INTERVAL };
                tail.append(page, self.settings.max_behind);
                if tail.lag_due <= Instant::now() {
                    tail.lag_due = Instant::now() + LAG_INTERVAL;
                    self.measure_lag(tail.end).await;
                }
                pause
            }
            Err(_) => RETRY_INTERVAL,
        };
        tail.due = Instant::now() + pause;
    }

    /// An open transaction that has written holds back all later ones: an id below its own may still
    /// be committed.
    async fn measure_lag(&self, end: Position) {
        let Ok(blocker) = store::within(self.limit, batch::blocker(&self.db, end)).await else {
            return;
        };
        let lag = blocker.as_ref().map_or(0.0, |blocker| blocker.lag_seconds);
        gauge!("qontak_receiver_stream_lag_seconds").set(lag);
        if let Some(blocker) = blocker
            && lag >= LAG_INTERVAL.as_secs_f64()
        {
            let application = blocker.application.unwrap_or_default();
            let (pid, seconds) =
                (blocker.pid.unwrap_or(0), blocker.transaction_seconds.unwrap_or(0.0));
            HELD_BACK.occurred(format_args!(
                "{lag:.0} s behind; oldest transaction: {seconds:.0} s old, application \
                 \"{application}\", pid {pid}"
            ));
        }
    }

    /// Disconnects all subscribers.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Resolves once subscribers are to be disconnected.
    pub fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closing = self.closing.subscribe();
        async move { _ = closing.wait_for(|closing| *closing).await }
    }
}

impl Tail {
    fn at(position: Position) -> Self {
        Self {
            begin: position,
            end: position,
            rows: VecDeque::new(),
            due: Instant::now(),
            is_unavailable: false,
            lag_due: Instant::now(),
            rewinds: 0,
        }
    }

    /// Begins anew after transaction ids went back, once for all who notice it.
    fn rewind(&mut self, end: Position) {
        if self.end.is_beyond(end) {
            warn!("event stream reset: transaction ids of the database went back");
            *self = Self { rewinds: self.rewinds + 1, ..Self::at(end) };
        }
    }

    fn append(&mut self, page: Page, max_rows: usize) {
        // Never rows of this page: no subscriber has had the time to read them.
        let surplus = (self.rows.len() + page.rows.len()).saturating_sub(max_rows);
        let surplus = surplus.min(self.rows.len());
        if let Some(last) = self.rows.drain(..surplus).next_back() {
            self.begin = last.position;
        }
        self.rows.extend(page.rows.into_iter().map(Arc::new));
        self.end = page.end;
    }

    fn after(&self, position: Position) -> Batch {
        /// Rows per batch, so that every subscriber makes progress.
        const BATCH_ROWS: usize = 500;
        let first = self.rows.partition_point(|row| row.position <= position);
        let rows: Vec<_> = self.rows.range(first..).take(BATCH_ROWS).cloned().collect();
        let end = if rows.len() < BATCH_ROWS { self.end } else { rows[BATCH_ROWS - 1].position };
        Batch { rows, end }
    }
}
