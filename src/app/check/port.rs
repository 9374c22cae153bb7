//! The ports: free, or used by this service.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Check;
use crate::config::Config;

/// Timeout of [`get`].
const ALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum size of a response of [`get`].
const MAX_RESPONSE_BYTES: u64 = 1 << 20;

/// Checks all ports.
pub async fn ports(config: &Config) -> Check {
    let is_running = is_alive(config.ops.listen).await.is_ok();
    let listen = [
        ("http.listen", Some(config.http.listen)),
        ("api.listen", config.api.listen),
        ("ops.listen", Some(config.ops.listen)),
    ];
    for (setting, address) in listen.into_iter().filter_map(|(name, at)| Some((name, at?))) {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && is_running => {}
            Err(error) => {
                let text = format!("{setting}: cannot listen on {address}: {error}; write another");
                return Check::fail("ports", text);
            }
            Ok(_) => {}
        }
    }
    Check::ok("ports", if is_running { "used by the running service" } else { "free" })
}

/// Asks `/livez` of the service on this machine.
pub async fn is_alive(mut address: SocketAddr) -> anyhow::Result<()> {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let response = get(&address.to_string(), "/livez").await?;
    // After `HTTP/1.0` or `HTTP/1.1`.
    ensure!(response.get(8..12) == Some(b" 200"), "{address}: expected status 200");
    Ok(())
}

/// Requests a path of a server in this network, and returns the whole response with its head.
pub async fn get(address: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let request = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut response = Vec::new();
        stream.take(MAX_RESPONSE_BYTES).read_to_end(&mut response).await?;
        std::io::Result::Ok(response)
    };
    tokio::time::timeout(ALIVE_TIMEOUT, request)
        .await
        .with_context(|| format!("{address}: no response within {ALIVE_TIMEOUT:?}"))?
        .with_context(|| format!("{address}: request failed"))
}
