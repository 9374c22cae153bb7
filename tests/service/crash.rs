//! Is everything that was acknowledged there, once, whatever was killed?
//!
//! Two replicas of the real binary, each with a spool, on a PostgreSQL of their own. Clients post
//! and note each 2xx; meanwhile services and server are killed, stopped and frozen at random. Then
//! all of it may recover, and what clients were told is compared with what is in the database.
//!
//! It goes on for `DURATION` seconds, ten if nothing is said: `make soak DURATION=600`.

mod clients;
mod cluster;
mod replica;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::SliceRandom;
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use self::clients::{Clients, Told};
use self::cluster::Cluster;
use self::replica::Replica;

/// What a replica may have in memory at most, in MiB.
const MAX_RESIDENT_MIB: u64 = 128;

/// How long recovering may take, and everything else that is waited for.
const DEADLINE: Duration = Duration::from_secs(120);

/// What is done to them.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillReplica(usize),
    RestartReplica(usize),
    KillServer,
    StopServer,
    FreezeServer,
    KillEverything,
}

const FAULTS: [Fault; 8] = [
    Fault::KillReplica(0),
    Fault::KillReplica(1),
    Fault::RestartReplica(0),
    Fault::RestartReplica(1),
    Fault::KillServer,
    Fault::StopServer,
    Fault::FreezeServer,
    Fault::KillEverything,
];

struct World {
    cluster: Cluster,
    replicas: [Replica; 2],
    kills: u32,
}

impl World {
    async fn suffer(&mut self, fault: Fault, pause: Duration) {
        match fault {
            Fault::KillReplica(i) => {
                self.replicas[i].kill().await;
                sleep(pause / 4).await;
                self.replicas[i].start();
                self.kills += 1;
            }
            Fault::RestartReplica(i) => {
                self.replicas[i].stop().await;
                self.replicas[i].start();
            }
            Fault::KillServer => {
                self.cluster.kill();
                sleep(pause).await;
                self.cluster.start().await;
                self.kills += 1;
            }
            Fault::StopServer => {
                self.cluster.stop().await;
                sleep(pause).await;
                self.cluster.start().await;
            }
            Fault::FreezeServer => {
                self.cluster.freeze();
                sleep(pause * 2).await;
                self.cluster.thaw();
            }
            Fault::KillEverything => {
                self.cluster.kill();
                for replica in &mut self.replicas {
                    replica.kill().await;
                    // The server is away still: it has to start all the same.
                    replica.start();
                }
                sleep(pause).await;
                self.cluster.start().await;
                self.kills += 3;
            }
        }
    }

    /// Until nothing waits in a spool any more.
    async fn recover(&self) {
        let recovering = async {
            for replica in &self.replicas {
                while replica.waiting().await != Some(0) {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        };
        let recovered = tokio::time::timeout(DEADLINE, recovering).await;
        recovered.expect("the spools should empty once the server is back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_events_survive_kills_exactly_once() {
    let duration = std::env::var("DURATION").map_or(10, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(duration);
    let mut rng = rand::rng();
    let cluster = Cluster::make().await;
    // The second one's spool is full soon.
    let replicas = [1 << 30, 1 << 18].map(|max_bytes| Replica::new(&cluster.url, max_bytes));
    let mut world = World { cluster, replicas, kills: 0 };
    for replica in &mut world.replicas {
        replica.start();
        replica.wait_until_ready().await;
    }
    let clients = Clients::start(&world.replicas.each_ref().map(|replica| replica.webhook.clone()));

    let (mut rounds, mut faults) = (0, Vec::new());
    while rounds == 0 || Instant::now() < end {
        sleep(Duration::from_millis(rng.random_range(100..900))).await;
        // Each of them once, in random order, before any comes again.
        if faults.is_empty() {
            faults.extend(FAULTS);
            faults.shuffle(&mut rng);
        }
        let fault = faults.pop().expect("there are some now");
        world.suffer(fault, Duration::from_millis(rng.random_range(200..2500))).await;
        rounds += 1;
    }
    let told = clients.stop().await;
    world.recover().await;

    let Verdict { lost, doubled, complaints } = judge(&world.cluster.url, &told).await;
    let resident = world.replicas.iter_mut().map(|replica| replica.most_resident_mib()).max();
    println!(
        "spooled {}  refused {}  unanswered {}  slowest 2xx {} ms  slowest 503 {} ms  resident {} MiB",
        told.spooled,
        told.refused,
        told.unanswered,
        told.slowest_acknowledgement.as_millis(),
        told.slowest_refusal.as_millis(),
        resident.unwrap(),
    );
    println!(
        "rounds {rounds}  kills {}  acknowledged {}  lost {}  doubled {}",
        world.kills,
        told.acknowledged.len(),
        lost.len(),
        doubled.len(),
    );
    assert!(lost.is_empty(), "lost: {:?}", lost.iter().take(5).collect::<Vec<_>>());
    assert!(doubled.is_empty(), "doubled: {:?}", doubled.iter().take(5).collect::<Vec<_>>());
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!(told.complaints, BTreeSet::new());
    assert!(told.spooled > 0 && told.acknowledged.len() > told.spooled, "{told:?}");
    assert!(resident.unwrap() <= MAX_RESIDENT_MIB);
    // It is to say no within 1.5 s; a machine full of tests may take longer.
    assert!(told.slowest_refusal < Duration::from_secs(10), "{:?}", told.slowest_refusal);
}

#[derive(Default)]
struct Verdict {
    lost: Vec<String>,
    doubled: Vec<String>,
    complaints: Vec<String>,
}

/// Compares what clients were told with what is in the database.
async fn judge(url: &str, told: &Told) -> Verdict {
    let mut db = PgConnection::connect(url).await.unwrap();
    let mut verdict = Verdict::default();
    let messages: Vec<String> =
        sqlx::query_scalar("select message_id from message").fetch_all(&mut db).await.unwrap();
    let messages: BTreeSet<String> = messages.into_iter().collect();
    let journal: Vec<(String, i64)> =
        sqlx::query_as("select subject_id, count(*) from event group by subject_id, day")
            .fetch_all(&mut db)
            .await
            .unwrap();
    verdict.doubled.extend(journal.iter().filter(|row| row.1 > 1).map(|row| row.0.clone()));
    let journal: BTreeSet<String> = journal.into_iter().map(|row| row.0).collect();
    let is_lost = |id: &&String| !journal.contains(*id) || !messages.contains(*id);
    verdict.lost.extend(told.acknowledged.iter().filter(is_lost).cloned());
    if journal != messages {
        verdict.complaints.push("journal and messages tell of different events".to_owned());
    }
    let (received, accounted, applied): (i64, i64, i64) = sqlx::query_as(
        "select sum(received)::bigint, sum(applied + duplicate)::bigint, sum(applied)::bigint
         from ledger",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    let (events, deliveries): (i64, i64) =
        sqlx::query_as("select count(*), sum(deliveries)::bigint from event")
            .fetch_one(&mut db)
            .await
            .unwrap();
    if (received, received, applied) != (accounted, deliveries, events) {
        verdict.complaints.push(format!(
            "the ledger does not add up: received {received}, accounted {accounted}, \
             deliveries {deliveries}, applied {applied}, events {events}"
        ));
    }
    verdict
}
