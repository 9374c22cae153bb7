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
static NOT_WRITTEN: Fault = Fault::warn("copy of a file not written");
static NOT_REMOVED: Fault = Fault::error("copy of a deleted file not removed");
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
        match remove_deleted(&self.db, &self.storage).await {
            // Files are copied nevertheless.
            Err(MediaError::Storage(error)) => NOT_REMOVED.occurred(error),
            removed => _ = removed?,
        }
        loop {
            let claims = media::claim(&self.db, CLAIMED, self.claim_time()).await?;
            if claims.is_empty() {
                return Ok(());
            }
            let copies = stream::iter(claims).map(|claim| self.copy(claim));
            let results: Vec<_> = copies.buffer_unordered(PARALLEL).collect().await;
            let unwritten = results.into_iter().filter_map(Result::transpose);
            self.fail_unwritten(unwritten.collect::<Result<_, _>>()?).await?;
            while media::search(&self.db).await? {}
        }
    }

    /// Longer than the attempts take, each a download and an upload: after it, the replica that claimed them
    /// has ended.
    fn claim_time(&self) -> Duration {
        let rounds = CLAIMED as u32 / PARALLEL as u32;
        (2 * self.settings.timeout + Duration::from_secs(15)) * rounds
    }

    /// Copies a file. Returns it if its copy could not be written.
    async fn copy(&self, claim: Claim) -> Result<Option<(Claim, FetchError)>, MediaError> {
        let Some(url) = &claim.url else {
            media::forget(&self.db, &claim).await?;
            return Ok(None);
        };
        let started = Instant::now();
        let fetched = match self.fetcher.fetch(url).await {
            Ok(fetched) => fetched,
            Err(error @ FetchError::Storage(_)) => return Ok(Some((claim, error))),
            Err(error) => {
                self.fail(&claim, &error, true).await?;
                return Ok(None);
            }
        };
        match self.store(&claim, fetched).await {
            Ok(()) => {
                let seconds = started.elapsed().as_secs_f64();
                histogram!("qontak_receiver_media_fetch_seconds").record(seconds);
                count("stored");
                Ok(None)
            }
            Err(MediaError::Storage(error)) => Ok(Some((claim, error.into()))),
            Err(error) => Err(error),
        }
    }

    async fn store(&self, claim: &Claim, fetched: Fetched) -> Result<(), MediaError> {
        let Fetched { download, sha256, content_type } = fetched;
        if let Some(earlier) = claim.sha256.as_ref().filter(|it| **it != sha256) {
            let remove = async |sha256: String| Ok(self.storage.remove(&sha256).await?);
            media::discard::<MediaError>(&self.db, claim, earlier, remove).await?;
        }
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

    /// Notes that copies could not be written: an attempt of each, unless the storage is unusable. A disk is
    /// so for all files, while a bucket may refuse one.
    async fn fail_unwritten(&self, unwritten: Vec<(Claim, FetchError)>) -> Result<(), MediaError> {
        if unwritten.is_empty() {
            return Ok(());
        }
        let of_bucket = |error: &_| matches!(error, FetchError::Storage(StorageError::Bucket(_)));
        let is_usable = unwritten.iter().all(|(_, error)| of_bucket(error))
            && self.storage.prepare().await.is_ok();
        let mut result = Ok(());
        for (claim, error) in unwritten {
            self.fail(&claim, &error, is_usable).await?;
            match error {
                FetchError::Storage(error) if !is_usable => result = Err(error.into()),
                FetchError::Storage(error) => NOT_WRITTEN.occurred(error),
                _ => {}
            }
        }
        result
    }

    async fn fail(&self, claim: &Claim, error: &FetchError, is_attempt: bool) -> sqlx::Result<()> {
        let steps = claim.attempts.clamp(1, MAX_ATTEMPTS).unsigned_abs() - 1;
        let is_last = error.is_permanent() || claim.attempts >= MAX_ATTEMPTS;
        let (attempts, pause) = match is_attempt {
            false => (claim.attempts - 1, Some(STORAGE_PAUSE)),
            true if is_last => (claim.attempts, None),
            true => (claim.attempts, Some(FIRST_PAUSE * 4_u32.pow(steps))),
        };
        count(if pause.is_some() { "retried" } else { "failed" });
        media::fail(&self.db, claim, &error.to_string(), attempts, pause).await
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
