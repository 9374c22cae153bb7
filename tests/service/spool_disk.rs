//! Disk of the spool: order, locking, power cuts and write failures.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use chrono::Timelike;
use qontak_receiver::event::Webhook;
use qontak_receiver::ingest::spool::depth::Depth;
use qontak_receiver::ingest::spool::disk::Disk;
use qontak_receiver::ingest::spool::segment;
use serde_json::json;
use sqlx::PgPool;
use tempfile::TempDir;

use super::binary::{Process, post, run};
use super::fixtures::body;
use super::harness::Service;
use super::harness::settings;
use super::spool::{Outage, SHORT_TIMEOUTS, outcome, wait_for_events, wait_until, webhook_at};

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

/// Webhooks m0, m1, ….
fn messages(count: usize) -> Vec<Webhook> {
    let body = |i| json!({"data_event": "status_message", "id": format!("m{i}")}).to_string();
    let now = chrono::Utc::now().to_rfc3339();
    (0..count).map(|i| webhook_at(&now, body(i))).collect()
}

/// The files of the folder whose names contain this text.
fn files(folder: &Path, text: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.to_str().unwrap().contains(text)).collect();
    found.sort();
    found
}

/// Ids of the messages in the spool.
fn spooled(disk: &Disk) -> Vec<String> {
    let ids = disk.first(1000, 1 << 30).unwrap().into_iter().map(|(_, webhook)| {
        let body: serde_json::Value = serde_json::from_slice(&webhook.body).unwrap();
        body["id"].as_str().unwrap().to_owned()
    });
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

#[test]
fn files_deleted_or_replaced_under_the_process_are_written_again_before_the_next_acknowledgement() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("spool");
    let webhooks = messages(4);
    let append = |disk: &Disk, i: usize| disk.append(&webhooks[i..=i], 1 << 20).unwrap();
    type Damage = fn(&Path);
    let damages: [Damage; 4] = [
        |folder| fs::remove_dir_all(folder).unwrap(),
        |folder| {
            files(folder, ".segment").into_iter().for_each(|file| fs::remove_file(file).unwrap())
        },
        |folder| {
            for file in files(folder, ".segment") {
                fs::rename(&file, folder.join("elsewhere")).unwrap();
                fs::write(&file, "another file").unwrap();
            }
        },
        |folder| fs::rename(folder, folder.with_extension("away")).unwrap(),
    ];
    for damage in damages {
        let disk = Disk::in_folder(&folder).unwrap();
        append(&disk, 0);
        append(&disk, 1);
        damage(&folder);
        append(&disk, 2);
        append(&disk, 3);
        assert_eq!(spooled(&disk), ["m0", "m1", "m2", "m3"]);
        drop(disk);
        // What another process finds.
        let disk = Disk::in_folder(&folder).unwrap();
        assert_eq!(spooled(&disk), ["m0", "m1", "m2", "m3"]);
        drop(disk);
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn file_cut_off_under_the_process_costs_only_what_was_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let webhooks = messages(4);
    disk.append(&webhooks[..2], 1 << 20).unwrap();
    let file = files(folder.path(), ".segment").remove(0);
    let length = fs::metadata(&file).unwrap().len();
    File::options().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    disk.append(&webhooks[2..], 1 << 20).unwrap();
    assert_eq!(spooled(&disk), ["m0", "m2", "m3"]);
    assert_eq!(disk.depth().events, 3);
    // Also if it is cut off while its webhooks are read.
    fs::write(files(folder.path(), ".segment").remove(0), "").unwrap();
    assert_eq!(spooled(&disk), Vec::<String>::new());
    assert_eq!(disk.depth().events, 0);
}

#[test]
fn webhooks_in_transfer_when_their_file_is_emptied_remove_no_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let webhooks = messages(2);
    disk.append(&webhooks[..1], 1 << 20).unwrap();
    let keys: Vec<u64> = disk.first(10, 1 << 20).unwrap().into_iter().map(|(key, _)| key).collect();
    fs::write(files(folder.path(), ".segment").remove(0), "").unwrap();
    disk.append(&webhooks[1..], 1 << 20).unwrap();
    disk.remove(&keys).unwrap();
    assert_eq!(spooled(&disk), ["m1"]);
    drop(disk);
    assert_eq!(spooled(&Disk::in_folder(folder.path()).unwrap()), ["m1"]);
}

#[test]
fn damaged_file_is_kept_aside_and_its_other_webhooks_stay_in_the_spool() {
    type Damage = fn(&mut Vec<u8>);
    // The second of three records; the length of each is a third of the file.
    let damages: [(Damage, &[&str]); 5] = [
        (
            |bytes| {
                let at = bytes.len() / 3 + 3;
                bytes[at] ^= 1
            },
            &["m0", "m2"],
        ),
        (
            |bytes| {
                let third = bytes.len() / 3;
                bytes[third..2 * third].fill(0)
            },
            &["m0", "m2"],
        ),
        (
            |bytes| {
                let third = bytes.len() / 3;
                bytes.drain(third..third + 20);
            },
            &["m0", "m2"],
        ),
        (
            |bytes| {
                let length = bytes.len();
                bytes.truncate(length - 1)
            },
            &["m0", "m1"],
        ),
        (Vec::clear, &[]),
    ];
    for (damage, left) in damages {
        let folder = tempfile::tempdir().unwrap();
        Disk::in_folder(folder.path()).unwrap().append(&messages(3), 1 << 20).unwrap();
        let file = files(folder.path(), ".segment").remove(0);
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, &bytes).unwrap();
        for _ in 0..2 {
            let disk = Disk::in_folder(folder.path()).unwrap();
            assert_eq!(spooled(&disk), left);
            let aside = files(folder.path(), "spool.corrupt-");
            assert_eq!(aside.len(), 1, "it is healed once");
            assert_eq!(fs::read(&aside[0]).unwrap(), bytes);
            assert_eq!(segment::read(&aside[0]).unwrap().0.len(), left.len());
        }
    }
}

#[test]
fn file_damaged_under_the_process_is_copied_before_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    disk.append(&messages(3), 1 << 20).unwrap();
    let file = files(folder.path(), ".segment").remove(0);
    let mut bytes = fs::read(&file).unwrap();
    // In the data about the second webhook.
    let at = bytes.len() / 3 + 30;
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert_eq!(spooled(&disk), ["m0", "m2"]);
    let keys: Vec<u64> = disk.first(10, 1 << 20).unwrap().into_iter().map(|(key, _)| key).collect();
    disk.remove(&keys).unwrap();
    assert!(!file.exists());
    let copies = files(folder.path(), "spool.corrupt-");
    assert_eq!(copies.len(), 1);
    assert_eq!(fs::read(&copies[0]).unwrap(), bytes);
}

#[test]
fn segments_with_unusual_names_and_unreadable_ones_cost_no_webhooks() {
    let folder = tempfile::tempdir().unwrap();
    for webhook in messages(2) {
        Disk::in_folder(folder.path()).unwrap().append(&[webhook], 1 << 20).unwrap();
    }
    let second = files(folder.path(), ".segment").remove(1);
    let (_, marker) = second.to_str().unwrap().rsplit_once('-').unwrap();
    // A key has 24 bits for the number.
    for number in [1_u64 << 24, u64::MAX] {
        let second = files(folder.path(), marker).remove(0);
        fs::rename(&second, folder.path().join(format!("{number}-{marker}"))).unwrap();
        assert_eq!(spooled(&Disk::in_folder(folder.path()).unwrap()), ["m0", "m1"]);
    }
    // It cannot be read, as a file of another user or in a bad sector.
    fs::create_dir(folder.path().join("0000000005-0123456789abcdef.segment")).unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    assert_eq!(spooled(&disk), ["m0", "m1"]);
    assert_eq!(disk.append(&messages(3)[2..], 1 << 20).unwrap(), 1);
    assert_eq!(spooled(&disk), ["m0", "m1", "m2"]);
}

#[sqlx::test]
async fn damaged_body_is_quarantined_and_never_parsed(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let body = json!({"data_event": "status_message", "id": "m", "text": "Harga 150 ribu"});
    let webhook = webhook_at(&chrono::Utc::now().to_rfc3339(), body.to_string());
    Disk::in_folder(folder.path())
        .unwrap()
        .append(std::slice::from_ref(&webhook), 1 << 20)
        .unwrap();
    let file = files(folder.path(), ".segment").remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(3).position(|bytes| bytes == b"150").unwrap();
    bytes[at] = b'9';
    fs::write(&file, &bytes).unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    let service = Service::start_on(db, Some(disk), &[]).await;
    wait_for_events(&service, 1).await;
    let path = format!("/v1/events/{}", webhook.id.0);
    for replay in [false, true] {
        if replay {
            let request = axum::http::Request::post(format!("{path}/replay"))
                .header("authorization", format!("Bearer {}", super::harness::KEY_REPLAY_ONLY))
                .body(axum::body::Body::empty());
            service.send(request.unwrap()).await;
        }
        let event = service.data(&path).await;
        assert_eq!(event["outcome"], "quarantined", "{replay}");
        assert!(event["reasons"][0].as_str().unwrap().starts_with("damaged:"), "{event}");
        assert_eq!(service.count("message").await, 0);
    }
}

#[sqlx::test]
async fn damaged_webhook_whose_original_is_committed_does_not_stay_in_the_spool(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let webhook = messages(1);
    let spool = || {
        let disk = Disk::in_folder(folder.path()).unwrap();
        assert_eq!(disk.append(&webhook, 1 << 20).unwrap(), 1);
        files(folder.path(), ".segment").remove(0)
    };
    let commit = async || {
        let disk = Disk::in_folder(folder.path()).unwrap();
        let service = Service::start_on(db.clone(), Some(disk), &[]).await;
        let spool = &service.app.ingest.spools[0];
        wait_until(async || spool.depth().events == 0).await;
        service.data(&format!("/v1/events/{}", webhook[0].id.0)).await
    };
    spool();
    let original = commit().await;
    // As after a crash between its commit and its removal from the spool.
    let file = spool();
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert_eq!(commit().await, original);
    assert_eq!((&original["outcome"], &original["deliveries"]), (&json!("applied"), &json!(1)));
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
