//! HTTP server with a connection limit, timeouts and graceful shutdown.
//!
//! It replaces `axum::serve`, which accepts any number of connections and never closes an idle one.

mod stall;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::http::Request;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use metrics::{counter, gauge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use self::stall::{ResponseBody, StreamExecutor};
use super::Error;
use crate::config;

/// Maximum size of a request head.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Flow-control window of HTTP/2 connections and streams: the default of the protocol.
const WINDOW_BYTES: u32 = 64 * 1024;

/// Connections above the limit that get a 503 at the same time; further ones are closed at once.
const MAX_REJECTIONS: usize = 256;

/// Time to send that 503.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until `stop` resolves. Requests in flight then have half of `http.stop_timeout` to end;
/// the rest is aborted.
pub async fn serve<S>(
    listener: TcpListener,
    router: S,
    settings: &config::Http,
    stop: impl Future<Output = ()>,
) where
    S: tower::Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
{
    let protocol = Arc::new(protocol(settings));
    let router = TowerToHyperService::new(router);
    let graceful = GracefulShutdown::new();
    let (mut connections, mut rejections) = (JoinSet::new(), JoinSet::new());
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            // Closed connections are removed before the next one is counted.
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            Some(_) = rejections.join_next() => {}
            stream = accept(&listener) => {
                prepare(&stream, settings.idle_timeout);
                if connections.len() < settings.max_connections {
                    connections.spawn(serve_connection(
                        stream,
                        protocol.clone(),
                        router.clone(),
                        settings.header_timeout,
                        graceful.watcher(),
                    ));
                } else {
                    counter!("connections_refused_total").increment(1);
                    if rejections.len() < MAX_REJECTIONS {
                        let rejection = timeout(REJECTION_TIMEOUT, reject(stream));
                        rejections.spawn(async move { _ = rejection.await });
                    }
                }
            }
        }
        gauge!("connections").set(connections.len() as f64);
    }
    drop(listener);
    // A client that never ends its request must not prevent the shutdown.
    let deadline = settings.stop_timeout / 2;
    if timeout(deadline, graceful.shutdown()).await.is_err() {
        while connections.try_join_next().is_some() {}
        warn!(connections = connections.len(), "shutdown deadline reached, aborting requests");
    }
}

/// Limits and timeouts of a connection.
fn protocol(settings: &config::Http) -> Builder<StreamExecutor> {
    let mut protocol = Builder::new(StreamExecutor { timeout: settings.idle_timeout });
    protocol
        .http1()
        .timer(TokioTimer::new())
        // hyper starts to wait for the next head after the last response, so this is also the idle
        // timeout.
        .header_read_timeout(settings.idle_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_send_buf_size(WINDOW_BYTES as usize)
        // hyper has no idle timeout for HTTP/2: a connection that answers pings stays open.
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    protocol
}

/// Accepts the next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // The client has already disconnected.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(cause) => {
                error!(error = %cause, "accept failed");
                // Usually too many open files, until a connection closes.
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Sets socket options. Errors are ignored: the connection works without them.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "used on Linux only"))]
fn prepare(stream: &TcpStream, idle_timeout: Duration) {
    // A response is written as a whole, so Nagle's algorithm would only delay it.
    _ = stream.set_nodelay(true);
    // hyper limits the time of reads only. Without this a client that reads no responses would keep
    // its connection forever.
    #[cfg(target_os = "linux")]
    {
        _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(idle_timeout));
    }
}

/// Serves a connection until it ends. Closes it if no request head arrives within
/// `header_timeout`: hyper's timeouts start once the first bytes have shown HTTP/1 or HTTP/2.
async fn serve_connection<S>(
    stream: TcpStream,
    protocol: Arc<Builder<StreamExecutor>>,
    router: TowerToHyperService<S>,
    header_timeout: Duration,
    watcher: Watcher,
) where
    S: tower::Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
{
    let first_request = Notify::new();
    let service = service_fn(|request| {
        first_request.notify_one();
        let response = router.call(request);
        async { response.await.map(|response| response.map(ResponseBody::new)) }
    });
    let connection = protocol.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(watcher.watch(connection));
    tokio::select! {
        _ = &mut connection => return,
        started = timeout(header_timeout, first_request.notified()) => {
            if started.is_err() {
                return;
            }
        }
    }
    // Errors of a connection are the client's.
    _ = connection.await;
}

/// Responds 503 with `Retry-After` and closes the connection.
async fn reject(mut stream: TcpStream) -> io::Result<()> {
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
