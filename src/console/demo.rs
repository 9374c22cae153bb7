//! A button that plays made-up traffic, for a first look with `make run`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use maud::{Markup, html};

use super::session::Visitor;
use super::state::ConsoleState;
use crate::event::Webhook;
use crate::http::Error;
use crate::ingest::normalize::{Normalized, normalize};
use crate::ingest::writer::WriteError;
use crate::model::{EventId, Timestamp};

/// Endpoint that the events name.
const ENDPOINT: &str = "demo";
/// Events that are stored at once.
const CONCURRENCY: usize = 64;
/// Further tries to store an event, and the pause before each.
const MAX_TRIES: u32 = 20;
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// The button, if there is traffic to play.
pub fn button(visitor: &Visitor, state: &ConsoleState) -> Markup {
    let words = visitor.words();
    html! {
        @if state.demo.is_some() && !visitor.is_masked {
            form method="post" action="/console/demo" { button.primary { (words.play_demo) } }
            p.muted.small { (words.play_demo_hint) }
        }
    }
}

/// `POST /console/demo`: stores the events, and leads to the overview.
pub async fn play(_: Visitor, State(state): State<ConsoleState>) -> Response {
    let Some(traffic) = state.demo else { return Error::NotFound.into_response() };
    let endpoint: Arc<str> = ENDPOINT.into();
    let webhooks = traffic(Timestamp::now()).into_iter().map(|(at, body)| Webhook {
        id: EventId::next(at),
        received_at: at,
        endpoint: endpoint.clone(),
        organization_id: None,
        body: body.into(),
        request_id: ENDPOINT.to_owned(),
        is_damaged: false,
    });
    let stored = iter(webhooks).map(|webhook| store(&state, webhook)).buffered(CONCURRENCY);
    let stored: Result<(), WriteError> = stored.try_collect().await;
    match stored {
        Err(error) => Error::from(error).into_response(),
        Ok(()) => (StatusCode::SEE_OTHER, [(LOCATION, "/console")]).into_response(),
    }
}

/// Stores an event. A slow commit is tried again, as Qontak would.
async fn store(state: &ConsoleState, webhook: Webhook) -> Result<(), WriteError> {
    let mut tries = 0;
    loop {
        let Normalized::Event(event) = normalize(webhook.clone()) else { return Ok(()) };
        match state.read.ingest.accept(*event, Duration::ZERO).await {
            Ok(_) => return Ok(()),
            Err(error) if tries == MAX_TRIES => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}
