//! The client: dials only what the guard allows, follows nothing, reads a bounded answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Method, Response, redirect};

use super::destination::{Destination, UrlError};
use super::excerpt::Excerpt;
use super::failure::{failure, too_long, tunnel_failure, unsendable};
use super::outcome::Class;
use super::retry;
use super::tunnel::Tunnels;
use crate::config::{Network, Requests};
use crate::guard::{Guard, GuardError, ResolveError, Resolver};
use crate::target::tls::{TlsError, TlsSettings};

/// Idle connections to one host, for each worker.
const IDLE_CONNECTIONS: usize = 32;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(10);
const USER_AGENT_VALUE: &str = concat!("tenant-sync/", env!("CARGO_PKG_VERSION"));

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
    way: Way,
    guard: Arc<Guard>,
    allow_http: bool,
    limits: Limits,
}

/// How requests leave.
#[derive(Debug, Clone)]
enum Way {
    Direct(reqwest::Client),
    /// Through `requests.proxy`.
    Proxied(hyper_util::client::legacy::Client<Tunnels, Full<Bytes>>),
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
        let tls = TlsSettings::from_config(network)?;
        if !tls.has_roots() {
            tracing::warn!(
                "no root certificates are known here, so no https endpoint can be called: install the system's \
                 (package ca-certificates), or name a file with network.ca_file"
            );
        }
        let resolver = Arc::default();
        let way = match &requests.proxy {
            None => Way::Direct(direct(tls.verifying()?, resolver, Arc::clone(&guard), limits.connect)?),
            Some(proxy) => Way::Proxied(
                hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                    .pool_idle_timeout(IDLE_TIMEOUT)
                    .pool_max_idle_per_host(IDLE_CONNECTIONS)
                    .pool_timer(TokioTimer::new())
                    .build(Tunnels {
                        proxy: proxy.clone(),
                        resolver,
                        guard: Arc::clone(&guard),
                        limit: limits.connect,
                        tls: Arc::new(tls.verifying()?).into(),
                    }),
            ),
        };
        Ok(Self { way, guard, allow_http: requests.allow_http, limits })
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
        let total = request.timeout.unwrap_or(self.limits.total);
        match &self.way {
            Way::Direct(http) => {
                let mut sent = reqwest::Request::new(request.method, request.destination.url().clone());
                *sent.headers_mut() = request.headers;
                *sent.timeout_mut() = Some(total);
                *sent.body_mut() = Some(request.body.into());
                let response = http.execute(sent).await.map_err(|error| failure(&error, began.elapsed()))?;
                let (status, retry_after) = (response.status(), self.retry_after(response.headers()));
                let excerpt = read(response, self.limits.response_bytes).await;
                Ok(Answer { status: status.as_u16(), retry_after, excerpt })
            }
            Way::Proxied(http) => {
                let sent = http.request(proxied(request)?);
                let response = match tokio::time::timeout(total, sent).await {
                    Ok(sent) => sent.map_err(|error| tunnel_failure(&error, began.elapsed()))?,
                    Err(_) => return Err(too_long("no answer", began.elapsed())),
                };
                let (status, retry_after) = (response.status(), self.retry_after(response.headers()));
                let left = total.saturating_sub(began.elapsed());
                let excerpt = read_proxied(response.into_body(), self.limits.response_bytes, left).await;
                Ok(Answer { status: status.as_u16(), retry_after, excerpt })
            }
        }
    }

    /// The wait that an answer asks for.
    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
        retry::retry_after(value, SystemTime::now(), self.limits.retry_after_max)
    }
}

/// The client that dials for itself. What the environment says of proxies is none of its business.
fn direct(
    tls: rustls::ClientConfig,
    resolver: Arc<Resolver>,
    guard: Arc<Guard>,
    limit: Duration,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Guarded { resolver, guard, limit })
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(limit)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEPALIVE)
        .user_agent(USER_AGENT_VALUE)
        .build()
}

/// The same request for the client that goes through the proxy.
fn proxied(request: Request<'_>) -> Result<hyper::Request<Full<Bytes>>, Failure> {
    let mut made = hyper::Request::new(Full::new(request.body));
    *made.method_mut() = request.method;
    *made.uri_mut() = request.destination.url().as_str().parse().map_err(|_| unsendable())?;
    *made.headers_mut() = request.headers;
    made.headers_mut().entry(USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT_VALUE));
    made.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    Ok(made)
}

/// As [`read`], from the client that goes through the proxy.
async fn read_proxied(mut body: hyper::body::Incoming, bytes_max: usize, left: Duration) -> String {
    let mut excerpt = Excerpt::of_at_most(bytes_max);
    // What was read until the time was over is kept.
    let _ = tokio::time::timeout(left, async {
        while let Some(Ok(frame)) = body.frame().await {
            if frame.data_ref().is_some_and(|chunk| !excerpt.wants_more_than(chunk)) {
                break;
            }
        }
    })
    .await;
    excerpt.text()
}

/// Reads the body up to a bound. The status is known; a body that breaks, stalls or never ends changes nothing.
async fn read(mut response: Response, bytes_max: usize) -> String {
    if response.content_length() == Some(0) {
        return String::new();
    }
    let mut excerpt = Excerpt::of_at_most(bytes_max);
    while let Ok(Some(chunk)) = response.chunk().await {
        if !excerpt.wants_more_than(&chunk) {
            break;
        }
    }
    excerpt.text()
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
pub(super) enum NoAddress {
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
