//! Webhooks at 200 per second while the service is replaced: none refused, none lost.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::binary::{DEADLINE, Process, run, start};
use super::harness::{KEY_OF_ALL, TOKEN, settings};

/// Sends this many webhooks, 200 per second.
fn send(count: &str, url: &str) -> Child {
    let webhook = format!("{url}/webhooks/qontak/{TOKEN}");
    let arguments = ["simulate", &webhook, "--rate", "200", "--count", count, "--json"];
    let verify = ["--verify", url, "--key", KEY_OF_ALL];
    start(&BTreeMap::new(), &[&arguments[..], &verify].concat())
}

async fn assert_none_refused_or_lost(simulation: Child) {
    let output = timeout(DEADLINE, simulation.wait_with_output()).await.unwrap().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let wrong = (&report["failed"], &report["verified"]["wrong"]);
    assert_eq!(wrong, (&json!(0), &json!([])), "{report}");
}

async fn stop(service: Process) {
    service.signal("TERM");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Settings with a spool, at fixed addresses.
fn replica(db: &PgPool, spool: &tempfile::TempDir) -> BTreeMap<String, String> {
    let mut settings = settings(&db.connect_options());
    for (name, value) in [
        ("HTTP__LISTEN", free_address()),
        ("HTTP__DRAIN_DELAY", "1s".to_owned()),
        ("OPS__LISTEN", free_address()),
        ("SPOOL__FOLDER", spool.path().to_str().unwrap().to_owned()),
    ] {
        settings.insert(format!("RECEIVER__{name}"), value);
    }
    settings
}

#[sqlx::test(migrations = false)]
async fn process_replaced_on_its_port_refuses_and_loses_nothing(db: PgPool) {
    let spool = tempfile::tempdir().unwrap();
    let settings = replica(&db, &spool);
    let mut service = Process::start(settings.clone()).await;
    let simulation = send("1800", &service.url);
    for _ in 0..3 {
        sleep(Duration::from_millis(500)).await;
        let next = Process::start(settings.clone()).await;
        assert_eq!(next.url, service.url);
        stop(std::mem::replace(&mut service, next)).await;
    }
    assert_none_refused_or_lost(simulation).await;
}

#[sqlx::test(migrations = false)]
async fn restart_behind_a_socket_of_systemd_refuses_and_loses_nothing(db: PgPool) {
    let spool = tempfile::tempdir().unwrap();
    let mut settings = replica(&db, &spool);
    // Not used: the socket is open already.
    settings.insert("RECEIVER__HTTP__LISTEN".into(), "127.0.0.1:1".into());
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let start = async || {
        let socket = socket.try_clone().unwrap().into();
        Process::start_with_socket(settings.clone(), socket).await
    };
    let mut service = start().await;
    assert_eq!(service.url, format!("http://{}", socket.local_addr().unwrap()));
    let simulation = send("1800", &service.url);
    for _ in 0..2 {
        sleep(Duration::from_millis(500)).await;
        stop(service).await;
        // Connections wait in the queue of the socket meanwhile.
        service = start().await;
    }
    assert_none_refused_or_lost(simulation).await;
}

#[sqlx::test(migrations = false)]
async fn connection_opened_right_before_the_end_is_answered(db: PgPool) {
    let spool = tempfile::tempdir().unwrap();
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let service = Process::start_with_socket(replica(&db, &spool), socket.into()).await;
    let mut opened = TcpStream::connect(address).await.unwrap();
    // Accepted later, so when it is answered the first connection has been accepted, too.
    let mut kept = TcpStream::connect(address).await.unwrap();
    let body = include_bytes!("../fixtures/19-room-resolved-flat-inferred.json");
    assert_eq!(exchange(&mut kept, body).await, "HTTP/1.1 200 OK");
    service.signal("TERM");
    // The service closes its connections now.
    assert_eq!(timeout(DEADLINE, kept.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
    assert_eq!(exchange(&mut opened, body).await, "HTTP/1.1 200 OK");
    let (code, log) = service.wait_for_exit().await;
    assert_eq!(code, Some(0), "{log:?}");
}

/// Sends a webhook over a connection and returns the first line of the response.
async fn exchange(connection: &mut TcpStream, body: &[u8]) -> String {
    let head = format!(
        "POST /webhooks/qontak/{TOKEN} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut response = [0; 4096];
    let length = timeout(DEADLINE, connection.read(&mut response)).await.unwrap().unwrap();
    String::from_utf8_lossy(&response[..length]).lines().next().unwrap_or_default().to_owned()
}

#[sqlx::test(migrations = false)]
async fn rolling_update_of_two_replicas_refuses_and_loses_nothing(db: PgPool) {
    let spools = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut settings = [replica(&db, &spools[0]), replica(&db, &spools[1])];
    for settings in &mut settings {
        // Above the interval of the balancer.
        settings.insert("RECEIVER__HTTP__DRAIN_DELAY".into(), "2s".into());
    }
    let mut replicas = Vec::new();
    for settings in &settings {
        replicas.push(Process::start(settings.clone()).await);
    }
    let balancer = Balancer::start(&replicas).await;
    let simulation = send("2400", &balancer.url);
    for settings in settings {
        sleep(Duration::from_millis(500)).await;
        stop(replicas.remove(0)).await;
        // Longer than the kernel of a client repeats its first packet.
        sleep(Duration::from_secs(2)).await;
        replicas.push(Process::start(settings).await);
        // As a rollout does: the next one only when the balancer uses this one.
        timeout(DEADLINE, async {
            while balancer.ready.lock().unwrap().len() < 2 {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
    }
    assert_none_refused_or_lost(simulation).await;
}

#[sqlx::test(migrations = false)]
async fn port_of_another_installation_is_refused(db: PgPool) {
    let spools = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let settings = replica(&db, &spools[0]);
    let service = Process::start(settings.clone()).await;
    let mut other = replica(&db, &spools[1]);
    other.insert("RECEIVER__HTTP__LISTEN".into(), settings["RECEIVER__HTTP__LISTEN"].clone());
    let output = run(&other, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("http.listen: cannot listen on 127.0.0.1:"), "{stderr}");
    stop(service).await;
}

/// Load balancer for TCP connections, which go to replicas that are ready.
struct Balancer {
    url: String,
    ready: Arc<Mutex<Vec<SocketAddr>>>,
    _tasks: JoinSet<()>,
}

impl Balancer {
    async fn start(replicas: &[Process]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ready = Arc::new(Mutex::new(Vec::new()));
        let checked: Vec<(SocketAddr, String)> = replicas
            .iter()
            .map(|replica| {
                let address = replica.url.strip_prefix("http://").unwrap().parse().unwrap();
                (address, format!("{}/readyz", replica.ops))
            })
            .collect();
        let mut tasks = JoinSet::new();
        tasks.spawn(watch(checked, ready.clone()));
        while ready.lock().unwrap().len() < replicas.len() {
            sleep(Duration::from_millis(20)).await;
        }
        tasks.spawn(forward(listener, ready.clone()));
        Self { url, ready, _tasks: tasks }
    }
}

async fn watch(replicas: Vec<(SocketAddr, String)>, ready: Arc<Mutex<Vec<SocketAddr>>>) {
    loop {
        let mut found = Vec::new();
        for (address, readyz) in &replicas {
            if reqwest::get(readyz).await.is_ok_and(|response| response.status() == 200) {
                found.push(*address);
            }
        }
        *ready.lock().unwrap() = found;
        sleep(Duration::from_millis(500)).await;
    }
}

async fn forward(listener: TcpListener, ready: Arc<Mutex<Vec<SocketAddr>>>) {
    let mut connections = JoinSet::new();
    for turn in 0.. {
        let (mut client, _) = listener.accept().await.unwrap();
        let target = {
            let ready = ready.lock().unwrap();
            ready[turn % ready.len()]
        };
        connections.spawn(async move {
            let mut server = TcpStream::connect(target).await.unwrap();
            _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
