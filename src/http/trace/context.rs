//! What a request carries through its handler: its ids, and facts for its log line and its trace.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, HeaderValue};
use uuid::Uuid;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    pub(super) static CURRENT: Context;
}

/// Ids of a request, and what its handler has noted about it.
pub struct Context {
    /// Id of the request: that of the caller, else the caller's trace, else a new one.
    pub id: HeaderValue,
    /// The caller's span.
    pub parent: Option<TraceParent>,
    /// What the handler has noted.
    pub facts: RefCell<Facts>,
}

/// What is known about a request beside its status.
#[derive(Debug, Default)]
pub struct Facts {
    /// Address of the client, if the settings want it logged.
    pub peer: Option<IpAddr>,
    /// Endpoint of the token.
    pub endpoint: Option<Arc<str>>,
    /// Organisation of the event, or the one that a read asks for.
    pub organization_id: Option<String>,
    /// Name of the API key.
    pub key: Option<String>,
    /// Phases of a webhook, in their order.
    pub phases: Vec<Phase>,
}

/// A part of the time that a request takes.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    /// One of [`PHASES`](crate::telemetry::catalog::PHASES).
    pub name: &'static str,
    /// Begin.
    pub began: Instant,
    /// End.
    pub ended: Instant,
}

/// A span of the caller, from the header `traceparent` of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Id of the trace, not 0.
    pub trace_id: u128,
    /// Id of the caller's span, not 0.
    pub span_id: u64,
    /// Whether the caller records the trace.
    pub is_sampled: bool,
}

impl Context {
    /// Reads the ids of a request.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let parent =
            headers.get(TRACEPARENT).and_then(|value| TraceParent::parse(value.to_str().ok()?));
        let id = headers.get(X_REQUEST_ID).cloned().unwrap_or_else(|| match parent {
            // The journal stores the request id, so the event can be found by its trace.
            Some(parent) => hex(format!("{:032x}", parent.trace_id)),
            None => next_id(),
        });
        Self { id, parent, facts: RefCell::default() }
    }
}

impl TraceParent {
    /// Parses `version-trace id-span id-flags`; `None` for what the specification forbids.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut next = |digits| {
            let part: &str = parts.next()?;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            (part.len() == digits && part.bytes().all(is_hex)).then_some(part)
        };
        let (version, trace_id, span_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let has_more = parts.next().is_some();
        if version == "ff" || (version == "00" && has_more) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace_id, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span_id, 16).ok().filter(|id| *id != 0)?;
        let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id, span_id, is_sampled })
    }
}

/// Notes facts about the current request; nothing outside of one.
pub fn note(set: impl FnOnce(&mut Facts)) {
    _ = CURRENT.try_with(|context| set(&mut context.facts.borrow_mut()));
}

/// Id of the current request; `None` outside of one, e.g. for a connection above the limit.
pub fn current_request_id() -> Option<String> {
    CURRENT.try_with(|context| text(&context.id).to_owned()).ok()
}

/// The beginning of an id; nothing of one that is no visible ASCII.
pub(super) fn text(id: &HeaderValue) -> &str {
    const MAX_BYTES: usize = 128;
    let id = id.to_str().unwrap_or_default();
    &id[..id.len().min(MAX_BYTES)]
}

/// A new id of 62 random bits: half the size of a UUID, in every log line and journal row.
fn next_id() -> HeaderValue {
    let (_, random) = Uuid::new_v4().as_u64_pair();
    hex(format!("{random:016x}"))
}

fn hex(digits: String) -> HeaderValue {
    HeaderValue::try_from(digits).expect("hexadecimal digits are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_is_read_as_the_specification_says() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        let parsed = TraceParent::parse(&format!("00-{id}-01")).unwrap();
        assert_eq!(parsed.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((parsed.span_id, parsed.is_sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert!(!TraceParent::parse(&format!("00-{id}-00")).unwrap().is_sampled);
        // Later versions may have more parts.
        assert!(TraceParent::parse(&format!("01-{id}-01-more")).is_some());
        let zero = "00000000000000000000000000000000-00f067aa0ba902b7";
        for wrong in [
            String::new(),
            format!("00-{id}"),
            format!("00-{id}-1"),
            format!("ff-{id}-01"),
            format!("00-{id}-01-more"),
            format!("00-{zero}-01"),
            format!("00-{}-01", id.to_uppercase()),
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        ] {
            assert_eq!(TraceParent::parse(&wrong), None, "{wrong}");
        }
    }
}
