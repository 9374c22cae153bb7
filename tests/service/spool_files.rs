//! Files of the spool that several processes use, that are missing while nothing is spooled, or that are left
//! over.

use std::fs::{self, File};
use std::io;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use qontak_receiver::ingest::spool::disk::Disk;
use qontak_receiver::ingest::spool::segment;
use reqwest::StatusCode;
use sqlx::PgPool;

use super::binary::{Process, post};
use super::fixtures::body;
use super::spool::{unreachable_database, wait_until};
use super::spool_damage::{files, messages, spooled};

#[test]
fn files_of_a_process_that_runs_are_left_to_it_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Disk::in_folder(folder.path()).unwrap();
    let webhooks = messages(3);
    let (first, second, third) = (open(), open(), open());
    for (disk, webhook) in [&first, &second, &third].into_iter().zip(&webhooks) {
        disk.append(std::slice::from_ref(webhook), 1 << 20).unwrap();
    }
    drop(first);
    second.take_over().unwrap();
    assert_eq!(spooled(&second), ["m0", "m1"]);
    let keys = second.first(10, 1 << 20).unwrap().into_iter().map(|(key, _)| key);
    second.remove(&keys.collect::<Vec<_>>()).unwrap();
    assert_eq!(spooled(&third), ["m2"]);
    second.test().unwrap();
    assert_eq!(second.depth().events, 0);
    drop(third);
    second.test().unwrap();
    assert_eq!(spooled(&second), ["m2"]);
}

#[test]
fn process_that_finds_no_lock_leaves_files_in_use_alone() {
    let folder = tempfile::tempdir().unwrap();
    let first = Disk::in_folder(folder.path()).unwrap();
    let webhooks = messages(2);
    first.append(&webhooks[..1], 1 << 20).unwrap();
    fs::remove_file(folder.path().join("lock")).unwrap();
    let second = Disk::in_folder(folder.path()).unwrap();
    assert_eq!(second.depth().events, 0);
    first.append(&webhooks[1..], 1 << 20).unwrap();
    assert_eq!(spooled(&first), ["m0", "m1"]);
    drop(first);
    second.test().unwrap();
    assert_eq!(spooled(&second), ["m0", "m1"]);
}

#[test]
fn missing_file_is_written_again_although_nothing_is_appended() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    disk.append(&messages(2), 1 << 20).unwrap();
    fs::remove_file(files(folder.path(), ".segment").remove(0)).unwrap();
    disk.test().unwrap();
    drop(disk);
    assert_eq!(spooled(&Disk::in_folder(folder.path()).unwrap()), ["m0", "m1"]);
}

#[test]
fn file_with_a_damaged_body_is_copied_once() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path()).unwrap();
    disk.append(&messages(2), 1 << 20).unwrap();
    let file = files(folder.path(), ".segment").remove(0);
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    for _ in 0..3 {
        let found = disk.first(10, 1 << 20).unwrap();
        let damaged: Vec<bool> = found.iter().map(|(_, webhook)| webhook.is_damaged).collect();
        assert_eq!(damaged, [false, true]);
    }
    let copies = files(folder.path(), "spool.corrupt");
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(fs::read(&copies[0]).unwrap(), bytes);
}

#[test]
fn files_of_writes_that_failed_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let failing = |_: &File| Err(io::Error::other("full"));
    let disk = Disk::with_sync(folder.path(), failing).unwrap();
    disk.append(&messages(1), 1 << 20).unwrap_err();
    assert_eq!(files(folder.path(), ".new").len(), 0);
    drop(disk);
    let stale = folder.path().join("0000000007-0000000000000001.new");
    fs::write(&stale, "left by a process that was killed").unwrap();
    drop(Disk::in_folder(folder.path()).unwrap());
    assert!(stale.exists(), "another process may be about to lock it");
    let minutes_ago = SystemTime::now() - Duration::from_secs(120);
    File::options().write(true).open(&stale).unwrap().set_modified(minutes_ago).unwrap();
    drop(Disk::in_folder(folder.path()).unwrap());
    assert!(!stale.exists());
}

#[test]
fn pipe_in_place_of_a_file_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    Disk::in_folder(folder.path()).unwrap().append(&messages(1), 1 << 20).unwrap();
    let pipe = folder.path().join("0000000000-0000000000000001.segment");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    // A thread, because opening the pipe would wait for ever.
    let path = folder.path().to_owned();
    let opening = thread::spawn(move || {
        assert!(segment::count(&path).is_err());
        spooled(&Disk::in_folder(&path).unwrap())
    });
    for _ in 0..600 {
        if opening.is_finished() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(opening.is_finished(), "waits for the pipe");
    assert_eq!(opening.join().unwrap(), ["m0"]);
}

#[sqlx::test(migrations = false)]
async fn webhooks_whose_file_was_deleted_survive_a_stop(db: PgPool) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = unreachable_database(&db, folder.path());
    let service = Process::start(settings.clone()).await;
    let client = reqwest::Client::new();
    for name in ["01", "02"] {
        assert_eq!(post(&client, &service.url, body(name)).await.unwrap(), StatusCode::OK);
    }
    for file in files(folder.path(), ".segment") {
        fs::remove_file(file).unwrap();
    }
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
    let log = log.concat();
    assert!(log.contains("spool file deleted, replaced or cut off"), "{log}");
    settings.extend(super::harness::settings(&db.connect_options()));
    let _service = Process::start(settings).await;
    let stored = async || {
        let events = sqlx::query_scalar::<_, i64>("select count(*) from event");
        events.fetch_one(&db).await.is_ok_and(|events| events == 2)
    };
    wait_until(stored).await;
}
