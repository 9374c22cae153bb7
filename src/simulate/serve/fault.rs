//! Faults of a server, each for one request.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Request, State as Extract};
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;

use super::response::error;
use super::state::Fake;

/// What happens instead of a response.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// None: the request is answered, and the next one has the next fault.
    Pass,
    /// 429 with `Retry-After`.
    RateLimit,
    /// 429 with `X-RateLimit-Reset`.
    RateLimitReset,
    /// 429 with the seconds in a message.
    RateLimitMessage,
    /// 401, as if the token had expired.
    Unauthorized,
    /// 500 in Qontak's envelope.
    ServerError,
    /// 502 with a page.
    BadGateway,
    /// 200 with a page.
    Html,
    /// 200 with JSON that is cut off.
    Truncated,
    /// 301 to another path.
    Redirect,
    /// The connection is closed within the body.
    Reset,
    /// One byte per second, without an end.
    Drip,
    /// A body without an end.
    Endless,
    /// The request is executed, and the connection closed instead of an answer.
    LostAnswer,
    /// The request is executed and answered after 3 seconds.
    Slow,
}

/// Middleware: counts requests, and answers with the next fault if there is one.
pub async fn inject(Extract(fake): Extract<Fake>, request: Request, next: Next) -> Response {
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |uri| &uri.0);
    let path = uri.path().to_owned();
    let fault = {
        let mut state = fake.state();
        let name = path.rsplit('/').next().unwrap_or_default();
        let name = format!("{} {name}", request.method());
        *state.requests.entry(name).or_default() += 1;
        state.faults.pop_front()
    };
    // A refresh is executed, and its answer waits.
    if request.method() == Method::POST && path != "/oauth/token" {
        fake.wait().await;
    }
    match fault {
        None | Some(Fault::Pass) => next.run(request).await,
        Some(Fault::LostAnswer) => {
            next.run(request).await;
            Fault::Reset.respond()
        }
        Some(Fault::Slow) => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            next.run(request).await
        }
        Some(fault) => fault.respond(),
    }
}

impl Fault {
    fn respond(self) -> Response {
        const PAGE: &str = "<!doctype html><title>Maintenance</title>";
        const LIMIT: &str = "Too many requests";
        let limited = |messages: &[&str]| error(StatusCode::TOO_MANY_REQUESTS, messages);
        match self {
            Self::RateLimit => ([(RETRY_AFTER, "1")], limited(&[LIMIT])).into_response(),
            Self::RateLimitReset => {
                ([("x-ratelimit-reset", "1")], limited(&[LIMIT])).into_response()
            }
            Self::RateLimitMessage => limited(&[LIMIT, "rate_limit_reset: 1"]).into_response(),
            Self::Unauthorized => {
                error(StatusCode::UNAUTHORIZED, &["Invalid token"]).into_response()
            }
            Self::ServerError => {
                error(StatusCode::INTERNAL_SERVER_ERROR, &["Internal server error"]).into_response()
            }
            Self::BadGateway => (StatusCode::BAD_GATEWAY, Html(PAGE)).into_response(),
            Self::Html => Html(PAGE).into_response(),
            Self::Truncated => {
                ([(CONTENT_TYPE, "application/json")], r#"{"status":"success","da"#).into_response()
            }
            Self::Redirect => {
                (StatusCode::MOVED_PERMANENTLY, [(LOCATION, "/elsewhere")]).into_response()
            }
            Self::Pass | Self::LostAnswer | Self::Slow => StatusCode::NO_CONTENT.into_response(),
            Self::Reset => {
                let parts = [Ok(Bytes::from("{")), Err(std::io::Error::other("reset"))];
                Body::from_stream(stream::iter(parts)).into_response()
            }
            Self::Drip => Body::from_stream(stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok::<_, Infallible>(Bytes::from(" ")), ()))
            }))
            .into_response(),
            Self::Endless => {
                let part = Bytes::from(vec![b' '; 1 << 16]);
                let parts = std::iter::repeat(Ok::<_, Infallible>(part));
                Body::from_stream(stream::iter(parts)).into_response()
            }
        }
    }
}
