//! What was applied lately: read once for all who listen to this replica, and held for them.
//!
//! There is no task and no buffer of a listener's own. Who wants news takes it from here; who
//! finds none reads on in the database, for all. So nothing is asked while nobody listens, and a
//! slow listener holds nothing but its place.

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
const PAUSE: Duration = Duration::from_millis(200);

/// How often while it does not answer.
const PAUSE_WHILE_AWAY: Duration = Duration::from_secs(1);

/// What all listeners of this replica share.
pub struct Feed {
    db: PgPool,
    /// How long a page may take.
    limit: Duration,
    /// `[stream]`
    pub settings: config::Stream,
    seats: Arc<Semaphore>,
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
    is_away: bool,
}

/// Some of what was applied, in the order of commits.
pub struct News {
    /// The events.
    pub rows: Vec<Arc<AppliedRow>>,
    /// These are all up to here.
    pub end: Position,
}

impl Feed {
    /// A feed for as many listeners as the settings say; a page may take `limit`.
    pub fn new(db: PgPool, limit: Duration, settings: config::Stream) -> Self {
        Self {
            db,
            limit,
            settings,
            seats: Arc::new(Semaphore::new(settings.max_listeners)),
            tail: Mutex::new(Tail::at(Position::default())),
            closing: watch::Sender::new(false),
        }
    }

    /// A seat for one listener, and the place up to which nothing can appear any more. Fails if
    /// all are taken, or if the database is away.
    pub async fn join(&self) -> Result<(OwnedSemaphorePermit, Position), Error> {
        let mut tail = self.tail.lock().await;
        let seat = self.seats.clone().try_acquire_owned();
        let seat = seat.map_err(|_| Error::Overloaded("listeners"))?;
        let now = batch::end(&self.db).await?;
        if self.seats.available_permits() + 1 == self.settings.max_listeners {
            // Nobody read on while nobody listened.
            *tail = Tail::at(now);
        }
        Ok((seat, now))
    }

    /// Whether all that came after a place can still be read.
    pub async fn reaches(&self, position: Position) -> Result<bool, Error> {
        Ok(batch::is_known(&self.db, position).await?)
    }

    /// What was applied after a place, as soon as that place is not the newest any more. `None` if
    /// it is too far behind.
    pub async fn after(&self, position: Position) -> Option<News> {
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
    pub async fn page(&self, position: Position) -> News {
        loop {
            match self.read(position).await {
                Ok(page) => {
                    let rows = page.rows.into_iter().map(Arc::new).collect();
                    return News { rows, end: page.end };
                }
                Err(cause) => {
                    error!("a listener waits: {}", Failure::from(cause));
                    tokio::time::sleep(PAUSE_WHILE_AWAY).await;
                }
            }
        }
    }

    async fn read(&self, position: Position) -> sqlx::Result<Page> {
        store::within(self.limit, batch::page(&self.db, position)).await
    }

    async fn read_on(&self, tail: &mut Tail) {
        let read = self.read(tail.end).await;
        match (&read, tail.is_away) {
            (Ok(_), true) => info!("the stream goes on"),
            (Err(_), false) => error!("the stream waits: the database does not answer"),
            _ => {}
        }
        tail.is_away = read.is_err();
        let pause = match read {
            Ok(page) => {
                let pause = if page.has_more { Duration::ZERO } else { PAUSE };
                tail.append(page, self.settings.max_behind);
                pause
            }
            Err(_) => PAUSE_WHILE_AWAY,
        };
        tail.due = Instant::now() + pause;
    }

    /// Has every listener leave.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Returns once listeners are to leave.
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
            is_away: false,
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

    fn after(&self, position: Position) -> News {
        /// So many at a time, that each listener has its turn.
        const SHARE: usize = 500;
        let first = self.rows.partition_point(|row| row.position <= position);
        let rows: Vec<_> = self.rows.range(first..).take(SHARE).cloned().collect();
        let end = if rows.len() < SHARE { self.end } else { rows[SHARE - 1].position };
        News { rows, end }
    }
}
