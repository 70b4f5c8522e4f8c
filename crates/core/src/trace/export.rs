//! Sending spans to a collector: OTLP over HTTP, in batches, from a thread of its own. What waits is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    Protocol, SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _,
};
use tokio::runtime::Handle;

use super::TRACER;
use crate::config::{Config, Telemetry};

/// Spans that wait to be sent; more are lost.
const QUEUE_MAX: usize = 4096;
const BATCH_MAX: usize = 512;
const BATCH_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the collector.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a collector's answer that are read.
const ANSWER_MAX: usize = 64 * 1024;
/// What still waits at the end of the process is sent within this.
const FAREWELL: Duration = Duration::from_millis(400);

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The endpoint is no address.
    #[error("telemetry.otlp_endpoint must be the address of a collector, such as http://127.0.0.1:4318: {0}")]
    Endpoint(String),
    /// TLS to the collector.
    #[error("TLS to telemetry.otlp_endpoint: {0}")]
    Tls(#[from] rustls::Error),
}

/// What spans go through.
#[derive(Debug)]
pub(super) struct Tracer {
    processor: BatchSpanProcessor,
    sample_ratio: f64,
    waiting: Arc<AtomicUsize>,
}

impl Tracer {
    pub(super) fn means_this_one(&self) -> bool {
        self.sample_ratio >= 1.0 || rand::random::<f64>() < self.sample_ratio
    }

    pub(super) fn end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= QUEUE_MAX {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            count("lost", 1);
            return;
        }
        self.processor.on_end(span);
    }
}

fn count(outcome: &'static str, spans: usize) {
    metrics::counter!("tenant_sync_trace_spans_total", "outcome" => outcome).increment(spans as u64);
}

/// Starts tracing for this process, if it is configured. `service` is the program's name. A second call changes
/// nothing. Requests run on `runtime`.
///
/// # Errors
/// The endpoint is no address.
pub fn init(config: &Config, service: &'static str, runtime: &Handle) -> Result<(), TraceError> {
    let Telemetry { otlp_endpoint: Some(endpoint), sample_ratio } = &config.telemetry else { return Ok(()) };
    if TRACER.get().is_some() {
        return Ok(());
    }
    let client = Client { http: http_client(endpoint)?, runtime: runtime.clone() };
    let mut exporter = OtlpExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|error| TraceError::Endpoint(error.to_string()))?;
    exporter.set_resource(
        &Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", service),
                KeyValue::new("service.namespace", "tenant-sync"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("deployment.environment.name", config.deployment.name.clone()),
            ])
            .build(),
    );
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = Counted { exporter, waiting: Arc::clone(&waiting), failing: AtomicBool::new(false) };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(BATCH_EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
    let _ = TRACER.set(Tracer { processor, sample_ratio: *sample_ratio, waiting });
    Ok(())
}

/// Sends what still waits, within 0.4 s. To be called outside of the runtime, while that still runs.
pub fn shutdown() {
    if let Some(tracer) = TRACER.get()
        && let Err(error) = tracer.processor.shutdown_with_timeout(FAREWELL)
    {
        tracing::debug!(%error, "the last spans could not be sent");
    }
}

fn http_client(endpoint: &str) -> Result<reqwest::Client, TraceError> {
    let unusable = |error: reqwest::Error| TraceError::Endpoint(error.without_url().to_string());
    let url = reqwest::Url::parse(endpoint).map_err(|error| TraceError::Endpoint(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TraceError::Endpoint("only http and https are spoken".into()));
    }
    let mut roots = rustls::RootCertStore::empty();
    if url.scheme() == "https" {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(unusable)
}

/// Sends on the runtime what the exporter's thread waits for.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let mut answer = http.execute(request).await.map_err(reqwest::Error::without_url)?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await? {
                if body.len() + chunk.len() > ANSWER_MAX {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            Ok::<_, reqwest::Error>((answer.status(), body))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(Bytes::from(body))?)
    }
}

/// Counts what became of spans, and says once that a collector does not take them.
#[derive(Debug)]
struct Counted {
    exporter: OtlpExporter,
    waiting: Arc<AtomicUsize>,
    failing: AtomicBool,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let sent = self.exporter.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::AcqRel);
        count(if sent.is_ok() { "sent" } else { "lost" }, spans);
        match &sent {
            Ok(()) if self.failing.swap(false, Ordering::AcqRel) => {
                tracing::info!("the collector of traces takes spans again");
            }
            Err(error) if !self.failing.swap(true, Ordering::AcqRel) => {
                tracing::warn!(%error, "the collector of traces takes no spans; they are lost until it does");
            }
            _ => {}
        }
        sent
    }
}
