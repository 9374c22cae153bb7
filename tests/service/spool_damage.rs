//! Files of the spool that are deleted, replaced or damaged: readable webhooks stay, and losses are reported.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use qontak_receiver::event::Webhook;
use qontak_receiver::ingest::spool::disk::Disk;
use qontak_receiver::ingest::spool::segment;
use serde_json::json;
use sqlx::PgPool;

use super::harness::Service;
use super::spool::{wait_for_events, wait_until, webhook_at};

/// Webhooks m0, m1, ….
pub fn messages(count: usize) -> Vec<Webhook> {
    let body = |i| json!({"data_event": "status_message", "id": format!("m{i}")}).to_string();
    let now = chrono::Utc::now().to_rfc3339();
    (0..count).map(|i| webhook_at(&now, body(i))).collect()
}

/// The files of the folder whose names contain this text.
pub fn files(folder: &Path, text: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.to_str().unwrap().contains(text)).collect();
    found.sort();
    found
}

/// Ids of the messages in the spool.
pub fn spooled(disk: &Disk) -> Vec<String> {
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
