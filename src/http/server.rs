//! HTTP server with a connection limit, timeouts and graceful shutdown.
//!
//! It replaces `axum::serve`, which accepts any number of connections and never closes an idle one.

pub mod admission;
mod flood;
pub mod listener;
mod rejection;
mod stall;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONNECTION, HOST, HeaderValue};
use axum::http::{Request, Version};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use metrics::counter;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use self::admission::{Admitted, Connections};
use self::flood::FloodGuard;
use self::listener::Listener;
use self::rejection::reject;
use self::stall::{ResponseBody, StreamExecutor};
use super::Error;
use crate::config;
use crate::telemetry::fault::Fault;

/// Maximum size of a request head.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Flow-control window of an HTTP/2 stream: some bodies of the usual size.
const STREAM_WINDOW_BYTES: u32 = 32 * 1024;

/// Flow-control window of an HTTP/2 connection: that of 16 streams, because large bodies that wait are not
/// read (`receive/large.rs`), and the others must not wait with them. It bounds the memory of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 16 * STREAM_WINDOW_BYTES;

/// Maximum size of what was not sent yet of the responses of an HTTP/2 connection.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Connections above the limit that get a 503 at the same time; further ones are closed at once.
const MAX_REJECTIONS: usize = 256;

/// Time for the first request of a connection when the server closes, at most a quarter of
/// `http.stop_timeout`: the client may just have connected.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

static ACCEPT: Fault = Fault::error("accept failed");

/// Serves a port until `stop` resolves, and then for `http.drain_delay` while each response closes its
/// connection. Requests in flight then have half of `http.stop_timeout` to end; the rest is aborted.
/// `admission` limits the connections of all ports together.
pub async fn serve<S>(
    listener: Listener,
    router: S,
    settings: &config::Http,
    admission: Arc<Connections>,
    stop: impl Future<Output = ()>,
) where
    S: tower::Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
{
    let server = Arc::new(Server {
        protocol: protocol(settings),
        router: TowerToHyperService::new(router),
        header_timeout: settings.header_timeout,
        first_request_timeout: FIRST_REQUEST_TIMEOUT.min(settings.stop_timeout / 4),
        idle_timeout: settings.idle_timeout,
    });
    let (mut connections, mut rejections) = (JoinSet::new(), JoinSet::new());
    let ended = async {
        stop.await;
        admission.drain();
        sleep(settings.drain_delay).await;
        listener.end().await;
    };
    let mut ended = Box::pin(ended);
    loop {
        tokio::select! {
            biased;
            () = &mut ended => break,
            Some(_) = connections.join_next() => {}
            Some(_) = rejections.join_next() => {}
            (stream, peer) = accept(&listener) => {
                prepare(&stream, settings.idle_timeout);
                if let Some(admitted) = admission.admit(peer.ip()) {
                    connections.spawn(server.clone().serve_connection(stream, admitted));
                } else {
                    counter!("qontak_receiver_connections_refused_total").increment(1);
                    if rejections.len() < MAX_REJECTIONS {
                        rejections.spawn(reject(stream));
                    }
                }
            }
        }
    }
    drop(ended);
    drop(listener);
    admission.close();
    let ended = async { while connections.join_next().await.is_some() {} };
    // A client that never ends its request must not prevent the shutdown.
    if timeout(settings.stop_timeout / 2, ended).await.is_err() {
        warn!(connections = connections.len(), "shutdown deadline reached, aborting requests");
    }
}

/// What all connections share.
struct Server<S> {
    protocol: Builder<StreamExecutor>,
    router: TowerToHyperService<S>,
    header_timeout: Duration,
    first_request_timeout: Duration,
    idle_timeout: Duration,
}

impl<S> Server<S>
where
    S: tower::Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>,
    S: Clone + Send + Sync + 'static,
{
    /// Serves a connection until it ends. Closes it if no request head arrives within
    /// `header_timeout`: hyper's timeouts start once the first bytes have shown HTTP/1 or HTTP/2.
    ///
    /// A response to a request without a valid token or key closes the connection, unless an earlier
    /// request had one: a proxy sends requests of several clients over one connection.
    async fn serve_connection(self: Arc<Self>, stream: TcpStream, admitted: Admitted) {
        let client = &admitted.0;
        let first_request = Notify::new();
        let service = service_fn(|mut request: Request<Incoming>| {
            first_request.notify_one();
            let is_http_2 = request.version() == Version::HTTP_2;
            let client = client.clone();
            request.extensions_mut().insert(client.clone());
            let response = has_valid_host(&request).then(|| self.router.call(request));
            async move {
                let mut response = match response {
                    Some(response) => response.await?,
                    None => Error::InvalidHost.into_response(),
                };
                if !client.is_kept() {
                    if is_http_2 {
                        client.close();
                    } else {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                }
                Ok::<_, Infallible>(response.map(ResponseBody::new))
            }
        });
        let stream = TokioIo::new(FloodGuard::new(stream));
        let mut connection = pin!(self.protocol.serve_connection(stream, service));
        let mut deadline = pin!(sleep(self.header_timeout));
        let (mut has_started, mut is_closing) = (false, false);
        loop {
            tokio::select! {
                biased;
                // Errors of a connection are the client's.
                _ = &mut connection => return,
                is_evicted = client.closed() => {
                    if is_evicted {
                        return;
                    }
                    if is_closing {
                        continue;
                    }
                    is_closing = true;
                    deadline.as_mut().reset(Instant::now() + self.first_request_timeout);
                }
                () = first_request.notified(), if !has_started => has_started = true,
                () = &mut deadline, if is_closing || !has_started => {
                    if has_started || !is_closing {
                        return;
                    }
                    // Sends GOAWAY over HTTP/2, and closes HTTP/1 at once.
                    has_started = true;
                }
            }
            // hyper would close a connection at once whose first request has not arrived yet.
            if is_closing && has_started {
                connection.as_mut().graceful_shutdown();
                deadline.as_mut().reset(Instant::now() + self.idle_timeout);
            }
        }
    }
}

/// Whether a request names its host as HTTP requires. Proxies and this service could otherwise
/// disagree on which host it is for.
fn has_valid_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => false,
        (None, None) => request.version() != Version::HTTP_11,
        (Some(_), None) => true,
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
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        // hyper has no idle timeout for HTTP/2: a connection that answers pings stays open.
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    protocol
}

/// Accepts the next connection.
async fn accept(listener: &Listener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.socket.accept().await {
            Ok(accepted) => return accepted,
            // The client has already disconnected.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(cause) => {
                ACCEPT.occurred(cause);
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
