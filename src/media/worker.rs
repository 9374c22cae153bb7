//! Finds new files, fetches those that are due, and removes the copies of deleted messages.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use metrics::{counter, gauge, histogram};
use sqlx::PgPool;
use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};

use super::fetch::{FetchError, Fetched, Fetcher};
use super::storage::{Storage, StorageError};
use crate::config::{Config, Media};
use crate::store;
use crate::store::media::{self, Claim, Copy};
use crate::telemetry::fault::Fault;

static UNUSABLE: Fault = Fault::error("media folder or bucket unusable, files are not copied");
static INTERRUPTED: Fault = Fault::warn("copying of files interrupted");

/// Interval at which new files are looked for.
const TICK: Duration = Duration::from_secs(2);

/// Files that are fetched at once, and that are claimed together.
const PARALLEL: usize = 4;
const CLAIMED: i64 = 16;

/// Attempts after which a file is given up, and the pause after the first; four times as long after each
/// further one.
const MAX_ATTEMPTS: i32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// Pause of a file after a failure of the storage, which is no attempt.
const STORAGE_PAUSE: Duration = Duration::from_secs(60);

/// Longest pause between two tests of an unusable storage; below the time after which a fault has ended.
const MAX_TEST_PAUSE: Duration = Duration::from_secs(30);

/// Why the work stopped.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The storage cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Copies files.
pub struct Worker {
    fetcher: Fetcher,
    storage: Storage,
    settings: Media,
    /// Its connections.
    pub db: PgPool,
}

impl Worker {
    /// `None` if files are not copied. Fails if `database.url` cannot be parsed.
    pub fn new(config: &Config) -> sqlx::Result<Option<Self>> {
        let settings = config.media.clone();
        let Some(storage) = Storage::new(&settings) else { return Ok(None) };
        let fetcher = Fetcher::new(&settings, storage.clone());
        let db = store::connect_to_read(&config.database, PARALLEL as u32 + 2)?;
        Ok(Some(Self { fetcher, storage, settings, db }))
    }

    /// Works until `stopping`, which interrupts downloads; they are repeated.
    pub async fn run(self, mut stopping: Receiver<bool>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut test_at = Some(Instant::now());
        let mut pause = TICK;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
            let done = tokio::select! {
                done = self.work(&mut test_at) => done,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match done {
                Ok(()) => {}
                Err(cause @ MediaError::Storage(_)) => {
                    // No file is fetched before it works again.
                    test_at = Some(Instant::now() + pause);
                    pause = MAX_TEST_PAUSE.min(2 * pause);
                    UNUSABLE.occurred(cause);
                }
                Err(cause) => INTERRUPTED.occurred(cause),
            }
            if test_at.is_none() {
                pause = TICK;
            }
        }
    }

    /// One round. Files are found even while the storage is unusable: until it is tested at `test_at`.
    async fn work(&self, test_at: &mut Option<Instant>) -> Result<(), MediaError> {
        while media::search(&self.db).await? {}
        gauge!("qontak_receiver_media_waiting").set(media::waiting(&self.db).await? as f64);
        if let Some(at) = *test_at {
            if Instant::now() < at {
                return Ok(());
            }
            self.storage.prepare().await?;
            *test_at = None;
        }
        remove_deleted(&self.db, &self.storage).await?;
        loop {
            let claims = media::claim(&self.db, CLAIMED, self.claim_time()).await?;
            if claims.is_empty() {
                return Ok(());
            }
            let copies = stream::iter(claims).map(|claim| self.copy(claim));
            let results: Vec<_> = copies.buffer_unordered(PARALLEL).collect().await;
            results.into_iter().collect::<Result<(), MediaError>>()?;
            while media::search(&self.db).await? {}
        }
    }

    /// Longer than the attempts take, each a download and an upload: after it, the replica that claimed them
    /// has ended.
    fn claim_time(&self) -> Duration {
        let rounds = CLAIMED as u32 / PARALLEL as u32;
        (2 * self.settings.timeout + Duration::from_secs(15)) * rounds
    }

    async fn copy(&self, claim: Claim) -> Result<(), MediaError> {
        let Some(url) = &claim.url else {
            return Ok(media::forget(&self.db, &claim).await?);
        };
        let started = Instant::now();
        let error = match self.fetcher.fetch(url).await {
            Err(error) => error,
            Ok(fetched) => match self.store(&claim, fetched).await {
                Err(MediaError::Storage(error)) => error.into(),
                Err(error) => return Err(error),
                Ok(()) => {
                    let seconds = started.elapsed().as_secs_f64();
                    histogram!("qontak_receiver_media_fetch_seconds").record(seconds);
                    count("stored");
                    return Ok(());
                }
            },
        };
        self.fail(&claim, &error).await?;
        match error {
            FetchError::Storage(error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn store(&self, claim: &Claim, fetched: Fetched) -> Result<(), MediaError> {
        let Fetched { download, sha256, content_type } = fetched;
        if !media::reserve(&self.db, claim, &sha256).await? {
            return Ok(());
        }
        let bytes = download.bytes();
        self.storage.place(download, &sha256).await?;
        let copy = Copy { sha256, content_type, bytes: i64::try_from(bytes).unwrap_or(i64::MAX) };
        if media::store(&self.db, claim, &copy).await? {
            counter!("qontak_receiver_media_bytes_total").increment(bytes);
        }
        Ok(())
    }

    async fn fail(&self, claim: &Claim, error: &FetchError) -> Result<(), MediaError> {
        let steps = claim.attempts.clamp(1, MAX_ATTEMPTS).unsigned_abs() - 1;
        let (attempts, pause) = match error {
            FetchError::Storage(_) => (claim.attempts - 1, Some(STORAGE_PAUSE)),
            error if error.is_permanent() || claim.attempts >= MAX_ATTEMPTS => {
                (claim.attempts, None)
            }
            _ => (claim.attempts, Some(FIRST_PAUSE * 4_u32.pow(steps))),
        };
        count(if pause.is_some() { "retried" } else { "failed" });
        Ok(media::fail(&self.db, claim, &error.to_string(), attempts, pause).await?)
    }
}

/// Removes the copies of messages that were deleted. Returns how many messages had one.
pub async fn remove_deleted(db: &PgPool, storage: &Storage) -> Result<u64, MediaError> {
    let mut count = 0;
    let remove = async |sha256: String| Ok::<_, MediaError>(storage.remove(&sha256).await?);
    while media::sweep(db, remove).await? {
        count += 1;
    }
    Ok(count)
}

fn count(result: &'static str) {
    counter!("qontak_receiver_media_files_total", "result" => result).increment(1);
}
