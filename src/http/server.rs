//! The server: takes connections, as many as it can bear, and ends them in order.
//!
//! In place of `axum::serve`, which takes any number of them and lets each one last for ever,
//! whether or not it ever sends a request.

mod stall;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::response::{IntoResponse, Response};
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

use self::stall::{Answer, Streams};
use super::Error;
use crate::config;

/// The largest head of a request.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// What an HTTP/2 connection may send ahead of our reading: no more than its protocol demands.
const WINDOW_BYTES: u32 = 64 * 1024;

/// How many connections beyond the limit are told so at a time; the rest is dropped.
const MAX_REFUSALS: usize = 256;

/// How long one of them may take to hear it.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves until `stop` resolves. Requests in flight may then end within half of
/// `http.stop_timeout`; the rest is cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &config::Http,
    stop: impl Future<Output = ()>,
) {
    let protocol = Arc::new(protocol(settings));
    let router = TowerToHyperService::new(router);
    let graceful = GracefulShutdown::new();
    let (mut connections, mut refusals) = (JoinSet::new(), JoinSet::new());
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            // Who has left is counted out before the next one is counted in.
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            Some(_) = refusals.join_next() => {}
            stream = accept(&listener) => {
                prepare(&stream, settings.idle_timeout);
                if connections.len() < settings.max_connections {
                    connections.spawn(attend(
                        stream,
                        protocol.clone(),
                        router.clone(),
                        settings.header_timeout,
                        graceful.watcher(),
                    ));
                } else {
                    counter!("connections_refused_total").increment(1);
                    if refusals.len() < MAX_REFUSALS {
                        refusals.spawn(async { _ = timeout(REFUSAL_TIMEOUT, refuse(stream)).await });
                    }
                }
            }
        }
        gauge!("connections").set(connections.len() as f64);
    }
    drop(listener);
    // A stranger who never ends a request must not keep us.
    let for_requests = settings.stop_timeout / 2;
    if timeout(for_requests, graceful.shutdown()).await.is_err() {
        warn!("some requests did not end in {for_requests:?} and are cut off");
    }
}

/// What a connection may cost.
fn protocol(settings: &config::Http) -> Builder<Streams> {
    let mut protocol = Builder::new(Streams { timeout: settings.idle_timeout });
    protocol
        .http1()
        .timer(TokioTimer::new())
        // hyper begins to wait for the next head when it has answered the last request, so this
        // is how long a connection may be idle.
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
        // It has no idle timeout: who still answers may stay.
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    protocol
}

/// The next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Its client has already left.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(cause) => {
                error!("cannot take a connection: {cause}");
                // Most likely there are too many open files, and it needs somebody to leave.
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Sets what the socket itself has to do. A connection without it is still a good one.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "it is Linux's own"))]
fn prepare(stream: &TcpStream, idle_timeout: Duration) {
    // An answer is written at once; waiting for more of it is of no use.
    _ = stream.set_nodelay(true);
    // A client that takes nothing of its answers would keep its place for ever, for hyper limits
    // the time for reading only.
    #[cfg(target_os = "linux")]
    {
        _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(idle_timeout));
    }
}

/// Serves a connection until it ends. Without a whole head in time it is closed: hyper would wait
/// for the first bytes for ever, since they tell the protocol and so its timeouts.
async fn attend(
    stream: TcpStream,
    protocol: Arc<Builder<Streams>>,
    router: TowerToHyperService<Router>,
    header_timeout: Duration,
    watcher: Watcher,
) {
    let begun = Notify::new();
    let service = service_fn(|request| {
        begun.notify_one();
        let answer = router.call(request);
        async { answer.await.map(|answer| answer.map(Answer::new)) }
    });
    let serving = protocol.serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(watcher.watch(serving));
    tokio::select! {
        _ = &mut serving => return,
        in_time = timeout(header_timeout, begun.notified()) => if in_time.is_err() { return },
    }
    // How it ends is the client's business.
    _ = serving.await;
}

/// Tells a client that there are too many, so that it knows to come back.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let answer = Error::Overloaded("connections").into_response();
    stream.write_all(&raw(answer).await).await?;
    stream.shutdown().await?;
    // Closed with its request unread, the connection would be reset and the answer lost.
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// An answer as it is on the wire.
async fn raw(answer: Response) -> Vec<u8> {
    let (head, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a refusal is in memory");
    let mut raw = format!("HTTP/1.1 {}\r\n", head.status).into_bytes();
    for (name, value) in &head.headers {
        raw.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    raw.extend(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).bytes());
    raw.extend(body);
    raw
}
