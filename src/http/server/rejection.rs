//! 503 for connections above the limit.

use std::io;
use std::time::Duration;

use axum::body::to_bytes;
use axum::response::{IntoResponse, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::Error;

/// Time to send the response.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Responds 503 with `Retry-After` and closes the connection.
pub async fn reject(stream: TcpStream) {
    // Errors of a connection are the client's.
    _ = timeout(TIMEOUT, respond(stream)).await;
}

async fn respond(mut stream: TcpStream) -> io::Result<()> {
    let response = Error::Overloaded("connections").into_response();
    stream.write_all(&serialize(response).await).await?;
    stream.shutdown().await?;
    // Closing with unread data would reset the connection and lose the response.
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Serializes a response as HTTP/1.1.
async fn serialize(response: Response) -> Vec<u8> {
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("an error body is in memory");
    let mut raw = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        raw.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    raw.extend(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).bytes());
    raw.extend(body);
    raw
}
