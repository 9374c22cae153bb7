//! Sends traces to an OpenTelemetry collector, if `trace.endpoint` is set.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use axum::http::{Request, Response};
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::warn;

use crate::config;
use crate::http::trace::export;
use crate::qontak::Transport;
use crate::telemetry;

/// Time for one export.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A running export.
pub struct TraceExport(SdkTracerProvider);

impl TraceExport {
    /// Starts the export; `None` without `trace.endpoint`. The collector need not be reachable: spans that
    /// cannot be sent are dropped.
    pub fn start(settings: &config::Trace) -> anyhow::Result<Option<Self>> {
        let endpoint = settings.endpoint.0.trim_end_matches('/');
        if endpoint.is_empty() {
            return Ok(None);
        }
        let client = Client {
            transport: Transport::default().with_timeout(TIMEOUT),
            runtime: Handle::current(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{endpoint}/v1/traces"))
            .with_timeout(TIMEOUT)
            .build()
            .context("trace.endpoint: cannot be used")?;
        let resource = Resource::builder()
            .with_service_name("qontak-receiver")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("vcs.ref.head.revision", telemetry::REVISION))
            .build();
        let ratio = Sampler::TraceIdRatioBased(1.0 / f64::from(settings.sample));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .build();
        export::start(provider.tracer("qontak-receiver"));
        Ok(Some(Self(provider)))
    }

    /// Sends what is left.
    pub async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(TIMEOUT));
        if let Ok(Err(error)) = stopped.await {
            warn!(%error, "traces not exported");
        }
    }
}

/// The HTTP client of the service for the exporter, which runs on a thread without a runtime.
struct Client {
    transport: Transport,
    runtime: Handle,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let transport = self.transport.clone();
        let sent = self.runtime.spawn(async move {
            let (head, body) = request.into_parts();
            let url = head.uri.to_string();
            transport.send(head.method, &url, head.headers, Some(body.into())).await
        });
        let answer = sent.await??;
        Ok(Response::builder().status(answer.status).body(answer.body)?)
    }
}
