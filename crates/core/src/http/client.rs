//! The client: dials only what the guard allows, follows nothing, reads a bounded answer.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, Response, redirect};

use super::destination::{Destination, UrlError};
use super::outcome::Class;
use super::retry;
use crate::config::{Network, Requests};
use crate::guard::{Guard, GuardError, ResolveError, Resolver};
use crate::target::tls::{CertificateProblem, CertificateRefused, TlsError, TlsSettings};

/// Bytes of an answer that are kept for the log.
const KEPT_BYTES: usize = 1_024;
/// Idle connections to one host, for each worker.
const IDLE_CONNECTIONS: usize = 32;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// `network.ca_file` cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The library refuses its settings.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(#[from] reqwest::Error),
}

/// Bounds of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Name, connection and TLS together.
    pub connect: Duration,
    /// The whole request.
    pub total: Duration,
    /// Bytes of the answer that are read.
    pub response_bytes: usize,
    /// Longest wait that a `Retry-After` may ask for.
    pub retry_after_max: Duration,
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// Where to.
    pub destination: &'a Destination,
    /// How.
    pub method: Method,
    /// All headers but those of the connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The time for all of it, if not that of the operator.
    pub timeout: Option<Duration>,
}

/// What the receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The wait that it asks for.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, as text.
    pub excerpt: String,
}

impl Answer {
    /// What it means.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::of_status(self.status, self.retry_after.is_some())
    }
}

/// Why there is no answer. The text is ours and holds no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What it means.
    pub class: Class,
    /// More, for people.
    pub detail: String,
}

/// Sends requests. Cheap to clone; connections are kept and reused.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    guard: Arc<Guard>,
    allow_http: bool,
    limits: Limits,
}

impl Client {
    /// A client by the operator's rules. Nothing is connected yet.
    ///
    /// # Errors
    /// `network.ca_file` cannot be used.
    pub fn new(network: &Network, requests: &Requests) -> Result<Self, ClientError> {
        let guard = Arc::new(Guard::from_config(network));
        let limits = Limits {
            connect: requests.connect_timeout,
            total: requests.timeout,
            response_bytes: requests.response_bytes,
            retry_after_max: requests.retry_after_max,
        };
        let resolver = Guarded { resolver: Arc::default(), guard: Arc::clone(&guard), limit: limits.connect };
        let tls = TlsSettings::from_config(network)?;
        if !tls.has_roots() {
            tracing::warn!(
                "no root certificates are known here, so no https endpoint can be called: install the system's \
                 (package ca-certificates), or name a file with network.ca_file"
            );
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.verifying()?)
            .dns_resolver(resolver)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(limits.connect)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE)
            .user_agent(concat!("tenant-sync/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, guard, allow_http: requests.allow_http, limits })
    }

    /// Reads a URL by the operator's rules.
    ///
    /// # Errors
    /// It may not be called.
    pub fn destination(&self, url: &str) -> Result<Destination, UrlError> {
        Destination::parse(url, self.allow_http, &self.guard)
    }

    /// Sends a request and reads the answer, as far as it is kept. Ends within the limits whatever the receiver
    /// does. Cancelled, the receiver may have had the request or not.
    ///
    /// # Errors
    /// There is no status, and why.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let began = Instant::now();
        let mut sent = reqwest::Request::new(request.method, request.destination.url().clone());
        *sent.headers_mut() = request.headers;
        *sent.timeout_mut() = Some(request.timeout.unwrap_or(self.limits.total));
        *sent.body_mut() = Some(request.body.into());
        let response = self.http.execute(sent).await.map_err(|error| failure(&error, began.elapsed()))?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| retry::retry_after(value, SystemTime::now(), self.limits.retry_after_max));
        let excerpt = read(response, self.limits.response_bytes).await;
        Ok(Answer { status, retry_after, excerpt })
    }
}

/// Reads the body up to a bound. The status is known; a body that breaks, stalls or never ends changes nothing.
async fn read(mut response: Response, bytes_max: usize) -> String {
    if response.content_length() == Some(0) {
        return String::new();
    }
    let (mut kept, mut seen) = (Vec::new(), 0);
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = KEPT_BYTES.saturating_sub(kept.len()).min(chunk.len());
        kept.extend_from_slice(&chunk[..room]);
        seen += chunk.len();
        if seen >= bytes_max {
            break;
        }
    }
    String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}")
}

/// Asks for a name's addresses, and lets them be dialled only if all of them may.
#[derive(Debug)]
struct Guarded {
    resolver: Arc<Resolver>,
    guard: Arc<Guard>,
    limit: Duration,
}

/// Why a name gave no address to dial.
#[derive(Debug, thiserror::Error)]
enum NoAddress {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Guard(#[from] GuardError),
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, guard, limit) = (Arc::clone(&self.resolver), Arc::clone(&self.guard), self.limit);
        Box::pin(async move {
            let answers = async {
                let addresses = resolver.addresses(name.as_str(), limit).await?;
                guard.check(&addresses).inspect_err(|error| {
                    if let GuardError::NotAllowed { address, kind } = error {
                        let host = name.as_str();
                        tracing::debug!(host, %address, %kind, "a destination's address may not be dialled");
                    }
                })?;
                Ok::<_, NoAddress>(addresses)
            };
            let addresses = answers.await?;
            // The port is put in by the library.
            Ok(Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
        })
    }
}

fn failure(error: &reqwest::Error, took: Duration) -> Failure {
    let failed = |class: Class, detail: String| Failure { class, detail };
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    let mut found_io = None;
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<NoAddress>() {
            return no_address(refused);
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            if let Some(tls) = tls_inside(io) {
                return failed(Class::TlsFailed, tls_detail(tls));
            }
            found_io = Some(io);
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return failed(Class::TlsFailed, tls_detail(tls));
        }
        source = cause.source();
    }
    if let Some(io) = found_io.filter(|io| is_ours(io)) {
        return failed(Class::Ours, format!("no way out of here ({})", io.kind()));
    }
    if error.is_timeout() {
        let what = if error.is_connect() { "no connection" } else { "no answer" };
        return failed(Class::TimedOut, format!("{what} within {} ms", took.as_millis()));
    }
    if error.is_builder() {
        return failed(Class::Unsendable, "the request cannot be built".to_owned());
    }
    let kind = found_io.map_or_else(String::new, |io| format!(" ({})", io.kind()));
    if error.is_connect() {
        failed(Class::NoConnection, format!("no connection{kind}"))
    } else {
        failed(Class::Broken, format!("the connection broke before there was an answer{kind}"))
    }
}

/// One error may wrap another without naming it as its source.
fn tls_inside(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    let deeper = inner.downcast_ref::<io::Error>().and_then(tls_inside);
    inner.downcast_ref::<rustls::Error>().or(deeper)
}

fn no_address(refused: &NoAddress) -> Failure {
    let class = match refused {
        NoAddress::Resolve(ResolveError::Ours) => Class::Ours,
        NoAddress::Resolve(ResolveError::NotFound) | NoAddress::Guard(GuardError::NoAddress) => {
            Class::NameNotFound
        }
        NoAddress::Guard(GuardError::NotAllowed { .. }) => Class::AddressRefused,
    };
    Failure { class, detail: refused.to_string() }
}

fn tls_detail(error: &rustls::Error) -> String {
    if let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) = error
        && let Some(refused) = other.0.downcast_ref::<CertificateRefused>()
    {
        let what = match &refused.problem {
            CertificateProblem::Expired(day) => format!("expired on {day}"),
            CertificateProblem::NotYetValid(day) => format!("is not valid before {day}"),
            CertificateProblem::WrongName(names) => {
                format!("is for another name ({}): use that one in the URL", names.join(", "))
            }
            CertificateProblem::UnknownIssuer => {
                "is not signed by a root that is known here: network.ca_file adds roots".to_owned()
            }
            CertificateProblem::Other(reason) => format!("is not accepted: {reason}"),
        };
        return format!(
            "the certificate of \"{}\", issued by \"{}\", {what}",
            refused.subject, refused.issuer
        );
    }
    format!("the TLS handshake failed: {error}").chars().take(300).collect()
}

/// No local port, no file, no network: nothing that the receiver could help.
fn is_ours(error: &io::Error) -> bool {
    /// Linux: this process, this machine has too many files open.
    const FILES: [i32; 2] = [24, 23];
    error.raw_os_error().is_some_and(|code| FILES.contains(&code))
        || matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::PermissionDenied
        )
}
