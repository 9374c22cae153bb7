//! Disk of the spool: order, locking, power cuts and write failures.

use std::io;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use qontak_receiver::ingest::spool::disk::{Depth, Disk};
use redb::{DatabaseError, StorageBackend};
use serde_json::json;
use sqlx::PgPool;

use super::fixtures::body;
use super::harness::Service;
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
    let shown = |webhook| format!("{webhook:?}");
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
fn spool_folder_is_locked_by_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let _disk = Disk::in_folder(folder.path()).unwrap();
    assert!(matches!(Disk::in_folder(folder.path()).err(), Some(redb::Error::DatabaseAlreadyOpen)));
}

/// Simulated disk: a power cut discards everything written since the last sync, and writes can be
/// made to fail.
#[derive(Clone, Debug, Default)]
struct SimulatedDisk(Arc<Mutex<Sectors>>);

#[derive(Debug, Default)]
struct Sectors {
    written: Vec<u8>,
    synced: Vec<u8>,
    is_broken: bool,
}

impl SimulatedDisk {
    fn disk(&self) -> Disk {
        let device = self.clone();
        Disk::on(move || Ok::<_, DatabaseError>(device.clone())).unwrap()
    }

    /// Copy of the disk after a power cut: only synced data.
    fn after_power_cut(&self) -> Self {
        let synced = self.0.lock().unwrap().synced.clone();
        Self(Arc::new(Mutex::new(Sectors { written: synced.clone(), synced, is_broken: false })))
    }

    fn set_broken(&self, is_broken: bool) {
        self.0.lock().unwrap().is_broken = is_broken;
    }
}

impl StorageBackend for SimulatedDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.lock().unwrap().written[offset..][..out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().written.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sectors = self.0.lock().unwrap();
        sectors.synced = sectors.written.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut sectors = self.0.lock().unwrap();
        if sectors.is_broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let offset = usize::try_from(offset).unwrap();
        sectors.written[offset..][..data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[sqlx::test]
async fn spooled_webhooks_survive_a_power_cut(db: PgPool) {
    let device = SimulatedDisk::default();
    let service = Service::start_on(db.clone(), Some(device.disk()), &SHORT_TIMEOUTS).await;
    let outage = Outage::start(&db).await;
    for spooled in 1..=3 {
        let body = json!({"data_event": "status_message", "id": format!("m{spooled}")});
        assert_eq!(outcome(&service.post(body.to_string()).await), "spooled");
        let disk = device.after_power_cut().disk();
        assert_eq!(disk.depth().events, spooled);
        let last = disk.first(10, 1 << 20).unwrap().pop().unwrap().1;
        assert_eq!(last.body, body.to_string());
    }
    outage.end().await;
}

#[sqlx::test]
async fn spool_disk_failure_returns_503_until_repaired_and_loses_nothing(db: PgPool) {
    let device = SimulatedDisk::default();
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
    let device = SimulatedDisk::default();
    let service = Service::start_on(db.clone(), Some(device.disk()), &SHORT_TIMEOUTS).await;
    let outage = Outage::start(&db).await;
    device.set_broken(true);
    let post = async || service.post(body("01")).await.status;
    for _ in 0..3 {
        assert_eq!(post().await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(
        !service.app.ingest.spool.as_ref().unwrap().has_room(),
        "the spool should report that it accepts nothing"
    );
    outage.end().await;
    wait_until(async || post().await == StatusCode::OK).await;
    assert_eq!(service.count("event").await, 1);
}
