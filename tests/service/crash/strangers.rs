//! Clients without a token: thousands of connections, and floods of HTTP/2 control frames.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Tasks of the strangers, and the connections that each one holds: above `http.max_connections`.
const TASKS: usize = 60;
const CONNECTIONS_OF_TASK: usize = 50;

/// Connections over which control frames are sent.
const FLOODS: usize = 4;

/// Preface, settings, and the frames of a flood: SETTINGS and PING.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const FRAMES: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x06\0\0\0\0\0AAAAAAAA";

/// Occupies connections of a service until dropped.
pub fn crowd(address: &str) -> JoinSet<()> {
    let mut strangers = JoinSet::new();
    for task in 0..TASKS {
        let address = address.to_owned();
        strangers.spawn(async move {
            let mut held = VecDeque::new();
            for i in task.. {
                let Ok(mut stranger) = connect(&address).await else {
                    sleep(Duration::from_millis(50)).await;
                    continue;
                };
                // Some are idle, some have begun a request, some are answered 404.
                let text = ["", "GET /", "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n"][i % 3];
                _ = stranger.write_all(text.as_bytes()).await;
                held.push_back(stranger);
                if held.len() > CONNECTIONS_OF_TASK {
                    held.pop_front();
                    sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    strangers
}

/// Connects from another address of this machine.
async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse().expect("an address"))?;
    timeout(Duration::from_secs(1), socket.connect(address.parse().expect("an address"))).await?
}

/// Sends control frames to a service until dropped.
pub fn flood(address: &str) -> JoinSet<()> {
    let mut floods = JoinSet::new();
    let frames = FRAMES.repeat(100);
    for _ in 0..FLOODS {
        let (address, frames) = (address.to_owned(), frames.clone());
        floods.spawn(async move {
            loop {
                if let Ok(stranger) = connect(&address).await {
                    send_frames(stranger, &frames).await;
                }
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    floods
}

/// Sends frames until the service closes the connection.
async fn send_frames(stranger: TcpStream, frames: &[u8]) {
    let (mut reading, mut writing) = stranger.into_split();
    let read = async { _ = tokio::io::copy(&mut reading, &mut tokio::io::sink()).await };
    let write = async {
        _ = writing.write_all(PREFACE).await;
        while writing.write_all(frames).await.is_ok() {}
    };
    tokio::join!(read, write);
}

/// Whether a new client of the endpoint is served, by the tenth attempt.
pub async fn is_open(webhook: &str) -> bool {
    for _ in 0..10 {
        let client = Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let response = client.post(webhook).body(r#"{"verify_info":"x"}"#).send().await;
        if response.is_ok_and(|response| response.status() == StatusCode::OK) {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}
