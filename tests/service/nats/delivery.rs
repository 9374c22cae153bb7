//! Messages on their way to a replica that stops.

use std::time::Duration;

use qontak_receiver::ingest::spool::nats::message::encode;
use sqlx::PgPool;
use tokio::runtime;
use tokio::time::{sleep, timeout};

use super::nodes::Nodes;
use super::{Settings, connect, first_stream, message, messages_in, start};
use crate::spool::{wait_for_events, wait_until, webhook_at};

/// Publishes webhooks, a message each, while this thread and so every service of the test stands still.
fn publish_in_standstill(nats: &Settings, count: usize) {
    let (nats, subject) = (nats.clone(), format!("{}.1", first_stream(nats)));
    let publishing = async move {
        let context = connect(&nats).await;
        for i in 0..count {
            let webhook = webhook_at(&chrono::Utc::now().to_rfc3339(), message(i));
            let payload = encode(&[webhook], usize::MAX).remove(0).payload;
            context.publish(subject.clone(), payload).await.unwrap().await.unwrap();
        }
    };
    let thread = std::thread::spawn(|| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(publishing);
    });
    thread.join().unwrap();
}

#[sqlx::test]
async fn what_is_on_its_way_to_a_replica_that_stops_does_not_wait_for_another_delivery(db: PgPool) {
    let nodes = Nodes::shared().await;
    let nats = nodes.settings();
    let service = start(&db, &nats, &[]).await;
    // Its tasks have requested messages.
    sleep(Duration::from_secs(3)).await;
    publish_in_standstill(&nats, 20);
    service.app.ingest.spools[0].release().await;

    let other = start(&db, &nats, &[]).await;
    let drained = wait_until(async || messages_in(&nats).await == 0);
    // Another delivery would come after 30 seconds.
    timeout(Duration::from_secs(12), drained).await.expect("a message waits for another delivery");
    wait_for_events(&other, 20).await;
}
