//! A collector of traces: takes OTLP over HTTP, and shows what it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A span, as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// The program that sent it.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// Hexadecimal.
    pub trace: String,
    /// Hexadecimal.
    pub id: String,
    /// Of the span that it is a part of; empty = none.
    pub parent: String,
    /// Nanoseconds since 1970.
    pub from: u64,
    /// Nanoseconds since 1970.
    pub to: u64,
    /// What it says of itself.
    pub attributes: BTreeMap<String, String>,
    /// Why the work failed; empty = it did not.
    pub error: String,
}

impl Span {
    /// The span, what it is a part of, and so on to the beginning.
    #[must_use]
    pub fn way(&self, spans: &[Self]) -> Vec<Self> {
        let mut way = vec![self.clone()];
        while let Some(parent) = way.last().and_then(|last| spans.iter().find(|span| span.id == last.parent))
        {
            way.push(parent.clone());
        }
        way
    }
}

/// A collector on a free loopback port, until it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: String,
    spans: Arc<Mutex<Vec<Span>>>,
    server: JoinHandle<()>,
}

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let taken = Arc::clone(&spans);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = Arc::clone(&taken);
                tokio::spawn(async move {
                    // A client that hangs up in the middle has sent nothing.
                    let _ = serve(stream, &taken).await;
                });
            }
        });
        Self { address, spans, server }
    }

    /// What `telemetry.otlp_endpoint` is set to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Requests on one connection, until the client closes it.
async fn serve(mut stream: TcpStream, spans: &Mutex<Vec<Span>>) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut buffer).await? {
        let known = head.starts_with("POST /v1/traces HTTP/1.1")
            && head.to_ascii_lowercase().contains("content-type: application/x-protobuf");
        let status = match ExportTraceServiceRequest::decode(body.as_slice()) {
            Ok(request) if known => {
                spans.lock().unwrap_or_else(PoisonError::into_inner).extend(read(request));
                "200 OK"
            }
            _ => "400 Bad Request",
        };
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Head and body of the next request; `None` = the client is gone.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .and_then(|(_, value)| value.trim().parse::<usize>().ok())
                .unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Ok(Some((head, body)));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn read(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(of_resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                service: resource.get("service.name").cloned().unwrap_or_default(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                from: span.start_time_unix_nano,
                to: span.end_time_unix_nano,
                attributes: texts(span.attributes),
                error: span.status.map(|status| status.message).unwrap_or_default(),
            });
        }
    }
    spans
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<any_value::Value>| match value {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
