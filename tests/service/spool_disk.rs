//! Disk of the spool: order, locking, power cuts and write failures.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use chrono::Timelike;
use qontak_receiver::event::Webhook;
use qontak_receiver::ingest::spool::depth::Depth;
use qontak_receiver::ingest::spool::disk::Disk;
use serde_json::json;
use sqlx::PgPool;
use tempfile::TempDir;

use super::binary::{Process, post, run};
use super::fixtures::body;
use super::harness::Service;
use super::harness::settings;
use super::spool::{Outage, SHORT_TIMEOUTS, outcome, wait_for_events, wait_until, webhook_at};
use super::spool_damage::{files, messages};

#[test]
fn spool_returns_complete_webhooks_in_arrival_order_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Disk::in_folder(folder.path()).unwrap();
    let mut webhooks = vec![webhook_at("2025-06-12T02:15:03.123456Z", "first")];
    webhooks[0].organization_id = Some("organization".into());
    webhooks[0].request_id = "request".to_owned();
    webhooks.push(webhook_at("2025-06-12T02:15:02Z", &b"\xff\0second"[..]));
    for webhook in &webhooks {
        assert_eq!(open().append(std::slice::from_ref(webhook), 1 << 20).unwrap(), 1);
    }
    let disk = open();
    let found = disk.first(10, 1 << 20).unwrap();
    let shown = |webhook: &Webhook| format!("{webhook:?}");
    assert_eq!(
        found.iter().map(|(_, webhook)| shown(webhook)).collect::<Vec<_>>(),
        webhooks.iter().map(shown).collect::<Vec<_>>(),
    );
    assert_eq!(disk.depth().oldest_at, Some(webhooks[0].received_at));
    disk.remove(&[found[0].0]).unwrap();
    assert_eq!(disk.depth().oldest_at, Some(webhooks[1].received_at));
    disk.remove(&[found[1].0]).unwrap();
    assert_eq!(disk.depth(), Depth::default());
    drop(disk);
    assert_eq!(open().depth(), Depth::default());
}

#[test]
fn second_process_takes_over_the_webhooks_that_the_first_one_leaves_behind() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Disk::in_folder(folder.path()).unwrap();
    let at = |second| webhook_at(&format!("2025-06-12T02:15:0{second}Z"), &b"webhook"[..]);
    let seconds = |disk: &Disk| -> Vec<u32> {
        let found = disk.first(10, 1 << 20).unwrap();
        found.iter().map(|(_, webhook)| webhook.received_at.0.second()).collect()
    };
    let first = open();
    first.append(&[at(1)], 1 << 20).unwrap();
    let second = open();
    assert!(second.is_shared() && !first.is_shared());
    second.append(&[at(3)], 1 << 20).unwrap();
    first.append(&[at(2)], 1 << 20).unwrap();
    assert_eq!((seconds(&first), seconds(&second)), (vec![1, 2], vec![3]));
    // It may commit its own meanwhile.
    second.append(&[at(4)], 1 << 20).unwrap();
    let (key, _) = second.first(1, 1).unwrap().remove(0);
    second.remove(&[key]).unwrap();
    drop(first);
    second.take_over().unwrap();
    assert!(!second.is_shared());
    assert_eq!(seconds(&second), [1, 2, 4]);
    drop(second);
    assert_eq!(seconds(&open()), [1, 2, 4]);
}

/// Disk on which a power cut discards everything written since the last sync, and on which syncs can
/// fail or be slow.
#[derive(Clone)]
pub struct SimulatedDisk {
    folder: Arc<TempDir>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Synced contents, by inode.
    contents: HashMap<u64, Vec<u8>>,
    /// Synced names with their inodes.
    names: HashMap<OsString, u64>,
    is_broken: bool,
    delay: Duration,
}

impl SimulatedDisk {
    pub fn new() -> Self {
        Self { folder: Arc::new(tempfile::tempdir().unwrap()), state: Arc::default() }
    }

    pub fn disk(&self) -> Disk {
        let state = self.state.clone();
        Disk::with_sync(self.folder.path(), move |file| state.lock().unwrap().sync(file)).unwrap()
    }

    /// Copy of the disk after a power cut: only synced data.
    fn after_power_cut(&self) -> Self {
        let (copy, state) = (Self::new(), self.state.lock().unwrap());
        for (name, inode) in &state.names {
            let contents = state.contents.get(inode).cloned().unwrap_or_default();
            fs::write(copy.folder.path().join(name), contents).unwrap();
        }
        copy
    }

    pub fn set_broken(&self, is_broken: bool) {
        self.state.lock().unwrap().is_broken = is_broken;
    }
}

impl State {
    fn sync(&mut self, file: &File) -> io::Result<()> {
        std::thread::sleep(self.delay);
        if self.is_broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let metadata = file.metadata()?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        if metadata.is_dir() {
            self.names = fs::read_dir(path)?
                .map(|entry| {
                    entry.and_then(|entry| Ok((entry.file_name(), entry.metadata()?.ino())))
                })
                .collect::<io::Result<_>>()?;
        } else {
            self.contents.insert(metadata.ino(), fs::read(path)?);
        }
        Ok(())
    }
}

#[sqlx::test]
async fn spooled_webhooks_survive_a_power_cut(db: PgPool) {
    let device = SimulatedDisk::new();
    let service = Service::start_on(db.clone(), Some(device.disk()), &SHORT_TIMEOUTS).await;
    let outage = Outage::start(&db).await;
    for spooled in 1..=3 {
        let body = json!({"data_event": "status_message", "id": format!("m{spooled}")});
        assert_eq!(outcome(&service.post(body.to_string()).await), "spooled");
        let disk = device.after_power_cut().disk();
        assert_eq!(disk.depth().events, spooled);
        let last = disk.first(10, 1 << 20).unwrap().pop().unwrap().1;
        assert_eq!((last.body, last.is_damaged), (body.to_string().into(), false));
    }
    outage.end().await;
}

#[sqlx::test]
async fn spool_disk_failure_returns_503_until_repaired_and_loses_nothing(db: PgPool) {
    let device = SimulatedDisk::new();
    let service = Service::start_on(db.clone(), Some(device.disk()), &SHORT_TIMEOUTS).await;
    let outage = Outage::start(&db).await;
    let post = async |id: &str| {
        service.post(json!({"data_event": "status_message", "id": id}).to_string()).await
    };
    assert_eq!(outcome(&post("before").await), "spooled");
    device.set_broken(true);
    for _ in 0..3 {
        let response = post("meanwhile").await;
        assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers[RETRY_AFTER], "2");
    }
    device.set_broken(false);
    assert_eq!(outcome(&post("after").await), "spooled");
    outage.end().await;
    wait_for_events(&service, 2).await;
    for id in ["before", "after"] {
        service.data(&format!("/v1/messages/{id}")).await;
    }
}

#[sqlx::test]
async fn database_recovery_is_detected_while_the_spool_is_unusable(db: PgPool) {
    let device = SimulatedDisk::new();
    let service = Service::start_on(db.clone(), Some(device.disk()), &SHORT_TIMEOUTS).await;
    let outage = Outage::start(&db).await;
    device.set_broken(true);
    let post = async || service.post(body("01")).await.status;
    for _ in 0..3 {
        assert_eq!(post().await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(
        !service.app.ingest.spools[0].has_room(),
        "the spool should report that it accepts nothing"
    );
    outage.end().await;
    wait_until(async || post().await == StatusCode::OK).await;
    assert_eq!(service.count("event").await, 1);
}

#[sqlx::test]
async fn webhooks_are_acknowledged_on_a_slow_spool_disk(db: PgPool) {
    let device = SimulatedDisk::new();
    let service = Service::start_on(db.clone(), Some(device.disk()), &SHORT_TIMEOUTS).await;
    let outage = Outage::start(&db).await;
    let post = async |id: String| {
        service.post(json!({"data_event": "status_message", "id": id}).to_string()).await
    };
    // From now on the database is known to be unavailable.
    assert_eq!(outcome(&post("first".into()).await), "spooled");
    device.state.lock().unwrap().delay = Duration::from_millis(450);
    for i in 0..3 {
        let response = post(format!("m{i}")).await;
        assert_eq!(outcome(&response), "spooled", "{i}");
    }
    device.state.lock().unwrap().delay = Duration::ZERO;
    outage.end().await;
    wait_for_events(&service, 4).await;
}

#[sqlx::test]
async fn service_starts_without_a_spool_if_its_disk_is_unusable(db: PgPool) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut settings = settings(&db.connect_options());
    // A folder that cannot be created, as on a disk that is full or read-only.
    let folder = file.path().join("spool");
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), folder.to_str().unwrap().into());
    let service = Process::start(settings).await;
    let status = post(&reqwest::Client::new(), &service.url, body("01")).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    let response = reqwest::get(format!("{}/readyz", service.ops)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let response = response.text().await.unwrap();
    assert!(response.contains("spool: "), "{response}");
    let metrics = reqwest::get(format!("{}/metrics", service.ops)).await.unwrap();
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("\nqontak_receiver_spool_failed{medium=\"disk\"} 1\n")
    );
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0));
    assert!(log.iter().any(|line| line.contains("spool unusable")), "{log:?}");
}

#[sqlx::test]
async fn check_and_export_read_the_spool_without_changing_it(db: PgPool) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("spool");
    let mut settings = settings(&db.connect_options());
    settings.insert("RECEIVER__SPOOL__FOLDER".into(), folder.to_str().unwrap().into());
    let check = async || String::from_utf8(run(&settings, &["check"]).await.stdout).unwrap();
    assert!(check().await.contains("is created at the first start"));
    assert!(!folder.exists(), "check creates no folder");
    let disk = Disk::in_folder(&folder).unwrap();
    disk.append(&messages(2), 1 << 20).unwrap();
    assert!(check().await.contains("2 webhook(s) in"), "{}", check().await);
    let file = files(&folder, ".segment").remove(0);
    let output = run(&settings, &["spool", "export", file.to_str().unwrap()]).await;
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 2);
    assert!(
        lines.contains(r#""body":"{\"data_event\":\"status_message\",\"id\":\"m0\"}""#),
        "{lines}"
    );
    let mut bytes = fs::read(&file).unwrap();
    bytes[0] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(check().await.contains("unreadable bytes beside 1 webhook(s)"), "{}", check().await);
    assert_eq!(files(&folder, "corrupt").len(), 0);
}
