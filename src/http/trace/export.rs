//! Exports a trace of each request over OpenTelemetry: a span for the request, and one for each phase of a
//! webhook.
//!
//! The spans are made when the request has ended, from the times that are measured for the metrics anyway.
//! So without `trace.endpoint` a request pays one load, and no span is open across an await.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use axum::http::Method;
use axum::response::Response;
use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer as Tracer;

use super::context::{Facts, TraceParent};
use crate::event::Kind;
use crate::ingest::writer::Receipt;

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// Exports the traces of all requests from now on.
pub fn start(tracer: Tracer) {
    _ = TRACER.set(tracer);
}

/// Exports the trace of a request that has ended, if traces are exported.
pub(super) fn export(
    started: Instant,
    method: &Method,
    route: &str,
    request_id: &str,
    parent: Option<TraceParent>,
    facts: &Facts,
    response: &Response,
) {
    let Some(tracer) = TRACER.get() else { return };
    let (now, ended) = (SystemTime::now(), Instant::now());
    let at = |instant: Instant| now - ended.duration_since(instant);
    let status = response.status().as_u16();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method.to_string()),
        KeyValue::new("http.route", route.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(status)),
        KeyValue::new("request.id", request_id.to_owned()),
    ];
    let mut add = |name: &'static str, value: Option<String>| {
        attributes.extend(value.map(|value| KeyValue::new(name, value)));
    };
    add("endpoint", facts.endpoint.as_deref().map(str::to_owned));
    add("organization", facts.organization_id.clone());
    add("key", facts.key.clone());
    if let Some(receipt) = response.extensions().get::<Receipt>() {
        add("event.id", Some(receipt.event_id.0.to_string()));
        add("event.kind", receipt.kind.map(|kind| Kind::as_str(kind).to_owned()));
        add("event.outcome", Some(receipt.outcome().to_owned()));
    }
    let request = tracer
        .span_builder(format!("{method} {route}"))
        .with_kind(SpanKind::Server)
        .with_start_time(at(started))
        .with_attributes(attributes);
    let context = parent.map_or_else(Context::new, |parent| {
        Context::new().with_remote_span_context(span_context(parent))
    });
    let mut span = tracer.build_with_context(request, &context);
    if status >= 500 {
        span.set_status(Status::error(""));
    }
    let context = context.with_remote_span_context(span.span_context().clone());
    for phase in &facts.phases {
        let phase_span = tracer.span_builder(phase.name).with_start_time(at(phase.began));
        tracer.build_with_context(phase_span, &context).end_with_timestamp(at(phase.ended));
    }
    span.end_with_timestamp(now);
}

fn span_context(parent: TraceParent) -> SpanContext {
    let flags = if parent.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace_id, span_id) = (parent.trace_id.to_be_bytes(), parent.span_id.to_be_bytes());
    let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
    SpanContext::new(trace_id, span_id, flags, true, TraceState::default())
}
