//! What was applied lately: read once for all who listen to this replica, and held for them.
//!
//! There is no task and no buffer of a subscriber's own. Who wants news takes it from here; who
//! finds none reads on in the database, for all. So nothing is asked while nobody listens, and a
//! slow subscriber holds nothing but its place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info};

use crate::config;
use crate::http::Error;
use crate::store::batch::{self, AppliedRow, Page, Position};
use crate::store::{self, Failure};

/// How often the database is asked for news.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How often while it does not answer.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What all subscribers of this replica share.
pub struct EventTail {
    db: PgPool,
    /// How long a page may take.
    limit: Duration,
    /// `[stream]`
    pub settings: config::Stream,
    permits: Arc<Semaphore>,
    tail: Mutex<Tail>,
    closing: watch::Sender<bool>,
}

/// The newest of what was applied: all that came after `begin`, up to `end`.
struct Tail {
    begin: Position,
    end: Position,
    rows: VecDeque<Arc<AppliedRow>>,
    /// When to read on.
    due: Instant,
    is_unavailable: bool,
}

/// Some of what was applied, in the order of commits.
pub struct Batch {
    /// The events.
    pub rows: Vec<Arc<AppliedRow>>,
    /// These are all up to here.
    pub end: Position,
}

impl EventTail {
    /// A event_tail for as many subscribers as the settings say; a page may take `limit`.
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

    /// A permit for one subscriber, and the place up to which nothing can appear any more. Fails if
    /// all are taken, or if the database is away.
    pub async fn subscribe(&self) -> Result<(OwnedSemaphorePermit, Position), Error> {
        let mut tail = self.tail.lock().await;
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded("subscribers"))?;
        let now = batch::end(&self.db).await?;
        if self.permits.available_permits() + 1 == self.settings.max_listeners {
            // Nobody read on while nobody listened.
            *tail = Tail::at(now);
        }
        Ok((permit, now))
    }

    /// Whether all that came after a place can still be read.
    pub async fn reaches(&self, position: Position) -> Result<bool, Error> {
        Ok(batch::is_known(&self.db, position).await?)
    }

    /// What was applied after a place, as soon as that place is not the newest any more. `None` if
    /// it is too far behind.
    pub async fn after(&self, position: Position) -> Option<Batch> {
        loop {
            let due = {
                let mut tail = self.tail.lock().await;
                if tail.end <= position && tail.due <= Instant::now() {
                    self.read_on(&mut tail).await;
                }
                if position < tail.begin {
                    return None;
                }
                if position < tail.end {
                    return Some(tail.after(position));
                }
                tail.due
            };
            sleep_until(due).await;
        }
    }

    /// The same for who is too far behind for [`after`](Self::after), from the database.
    pub async fn page(&self, position: Position) -> Batch {
        loop {
            match self.read(position).await {
                Ok(page) => {
                    let rows = page.rows.into_iter().map(Arc::new).collect();
                    return Batch { rows, end: page.end };
                }
                Err(cause) => {
                    error!("a subscriber waits: {}", Failure::from(cause));
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    async fn read(&self, position: Position) -> sqlx::Result<Page> {
        store::within(self.limit, batch::page(&self.db, position)).await
    }

    async fn read_on(&self, tail: &mut Tail) {
        let read = self.read(tail.end).await;
        match (&read, tail.is_unavailable) {
            (Ok(_), true) => info!("the stream goes on"),
            (Err(_), false) => error!("the stream waits: the database does not answer"),
            _ => {}
        }
        tail.is_unavailable = read.is_err();
        let pause = match read {
            Ok(page) => {
                let pause = if page.has_more { Duration::ZERO } else { POLL_INTERVAL };
                tail.append(page, self.settings.max_behind);
                pause
            }
            Err(_) => RETRY_INTERVAL,
        };
        tail.due = Instant::now() + pause;
    }

    /// Has every subscriber leave.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Returns once subscribers are to leave.
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
        }
    }

    fn append(&mut self, page: Page, max_rows: usize) {
        // Never of the page itself: nobody has had the time to take it.
        let surplus = (self.rows.len() + page.rows.len()).saturating_sub(max_rows);
        let surplus = surplus.min(self.rows.len());
        if let Some(last) = self.rows.drain(..surplus).next_back() {
            self.begin = last.position;
        }
        self.rows.extend(page.rows.into_iter().map(Arc::new));
        self.end = page.end;
    }

    fn after(&self, position: Position) -> Batch {
        /// So many at a time, that each subscriber has its turn.
        const SHARE: usize = 500;
        let first = self.rows.partition_point(|row| row.position <= position);
        let rows: Vec<_> = self.rows.range(first..).take(SHARE).cloned().collect();
        let end = if rows.len() < SHARE { self.end } else { rows[SHARE - 1].position };
        Batch { rows, end }
    }
}
