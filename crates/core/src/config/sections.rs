//! One typed struct for each section of the configuration; `defaults.toml` says what each key means.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::proxy::{Proxy, proxy_or_none};
use super::values::{
    bytes, count, duration, durations, flag, list, parsed, secret, secret_list, secret_or_none, text,
    text_or_none,
};

/// `[deployment]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Written into every target; a worker of another deployment is refused there.
    #[serde(deserialize_with = "text")]
    pub name: String,
}

/// `[database]`: the internal Postgres.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    #[serde(default, deserialize_with = "secret_or_none")]
    pub(super) url: Option<SecretString>,
    /// Schema in which everything of ours lives.
    #[serde(deserialize_with = "text")]
    pub schema: String,
    /// Whether the sample application's tables exist.
    #[serde(deserialize_with = "flag")]
    pub user_tables: bool,
    /// Whether workers apply missing migrations when they start.
    #[serde(deserialize_with = "flag")]
    pub auto_migrate: bool,
    /// Sessions of one worker.
    #[serde(deserialize_with = "count")]
    pub pool_size: usize,
    /// Longest wait for a connection.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// Longest time of one statement.
    #[serde(deserialize_with = "duration")]
    pub statement_timeout: Duration,
}

impl Database {
    /// The connection string; loading refuses a configuration without one.
    #[must_use]
    pub fn url(&self) -> &SecretString {
        static EMPTY: std::sync::LazyLock<SecretString> = std::sync::LazyLock::new(|| SecretString::from(""));
        self.url.as_ref().unwrap_or(&EMPTY)
    }
}

/// `[rabbitmq]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RabbitMq {
    /// AMQP URL; its path is the vhost.
    #[serde(deserialize_with = "secret")]
    pub url: SecretString,
    /// Address of the management API, which says how deep the queues are.
    #[serde(default, deserialize_with = "text_or_none")]
    pub management_url: Option<String>,
    /// Where people open the RabbitMQ UI, if their browsers know it by another address.
    #[serde(default, deserialize_with = "text_or_none")]
    pub ui_url: Option<String>,
}

/// `[sequencer]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequencer {
    /// Wait after an empty pass.
    #[serde(deserialize_with = "duration")]
    pub poll_interval: Duration,
    /// Rows a pass.
    #[serde(deserialize_with = "count")]
    pub batch_size: i32,
}

/// `[poller]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poller {
    /// Wait when nothing is due.
    #[serde(deserialize_with = "duration")]
    pub poll_interval: Duration,
    /// Requests a claim.
    #[serde(deserialize_with = "count")]
    pub batch_size: i64,
    /// Requests published and not yet started, over all pollers.
    #[serde(deserialize_with = "count")]
    pub max_queued: i64,
    /// A published request that nobody started is due again after this.
    #[serde(deserialize_with = "duration")]
    pub claim_lease: Duration,
}

/// `[sync]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sync {
    /// Schema in the target, unless the target names its own.
    #[serde(deserialize_with = "text")]
    pub schema: String,
    /// Targets at once, for each worker.
    #[serde(deserialize_with = "count")]
    pub concurrency: u16,
    /// Sessions in one target, over all workers.
    #[serde(deserialize_with = "count")]
    pub target_connections: i32,
    /// Sessions kept for reuse by one worker.
    #[serde(deserialize_with = "count")]
    pub idle_connections: usize,
    /// A kept session that was not used for this long is closed.
    #[serde(deserialize_with = "duration")]
    pub idle_timeout: Duration,
    /// Rows of a slice.
    #[serde(deserialize_with = "count")]
    pub batch_rows: usize,
    /// Bytes of a slice.
    #[serde(deserialize_with = "bytes")]
    pub batch_bytes: usize,
    /// A larger row is quarantined.
    #[serde(deserialize_with = "bytes")]
    pub max_row_bytes: usize,
    /// Rows of a source transaction that arrive in one commit.
    #[serde(deserialize_with = "count")]
    pub atomic_rows: usize,
    /// Rows after which a job gives its place up.
    #[serde(deserialize_with = "count")]
    pub turn_rows: usize,
    /// A job whose worker stopped renewing it is due again after this.
    #[serde(deserialize_with = "duration")]
    pub run_lease: Duration,
    /// Longest wait for each step of a connection to a target.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// Longest time of one statement in a target.
    #[serde(deserialize_with = "duration")]
    pub statement_timeout: Duration,
    /// How often `complete_as_of` of an idle target moves on; zero = never.
    #[serde(deserialize_with = "duration")]
    pub heartbeat: Duration,
    /// Bound on such visits, over all targets.
    #[serde(deserialize_with = "count")]
    pub visits_per_second: i32,
    /// How often all rows of a target are compared; zero = never.
    #[serde(deserialize_with = "duration")]
    pub compare_interval: Duration,
    /// First wait after a failure.
    #[serde(deserialize_with = "duration")]
    pub retry_base: Duration,
    /// Longest wait after a failure.
    #[serde(deserialize_with = "duration")]
    pub retry_max: Duration,
    /// Failures in a row after which a target counts as broken.
    #[serde(deserialize_with = "count")]
    pub breaker_failures: i32,
    /// Refused rows of one mapping after which its target counts as broken.
    #[serde(deserialize_with = "count")]
    pub quarantine_rows: usize,
    /// How long deletes are kept.
    #[serde(deserialize_with = "duration")]
    pub tombstone_retention: Duration,
}

/// `[requests]`: HTTP requests that leave the house.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Whether URLs without TLS may be called.
    #[serde(deserialize_with = "flag")]
    pub allow_http: bool,
    /// A proxy through which all of them leave.
    #[serde(default, deserialize_with = "proxy_or_none")]
    pub proxy: Option<Proxy>,
    /// A request with a longer body is refused where it is asked for.
    #[serde(deserialize_with = "bytes")]
    pub max_body_bytes: usize,
    /// Destinations at once, for each worker.
    #[serde(deserialize_with = "count")]
    pub concurrency: u16,
    /// Requests at once to one destination, unless it has its own.
    #[serde(deserialize_with = "count")]
    pub parallelism: i32,
    /// Requests after which a destination gives its place up, if no place is free.
    #[serde(deserialize_with = "count")]
    pub turn_rows: usize,
    /// A destination whose worker stopped renewing it is due again after this.
    #[serde(deserialize_with = "duration")]
    pub run_lease: Duration,
    /// Longest wait for name, connection and TLS together.
    #[serde(deserialize_with = "duration")]
    pub connect_timeout: Duration,
    /// Longest time of a whole request, with its answer.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Bytes of an answer that are read.
    #[serde(deserialize_with = "bytes")]
    pub response_bytes: usize,
    /// Waits after failures; after the last one a request is dead.
    #[serde(deserialize_with = "durations")]
    pub retry_schedule: Vec<Duration>,
    /// Longest wait that a `Retry-After` may ask for.
    #[serde(deserialize_with = "duration")]
    pub retry_after_max: Duration,
    /// Answers that must be known before a breaker may open.
    #[serde(deserialize_with = "count")]
    pub breaker_samples: i32,
    /// First wait of an open breaker.
    #[serde(deserialize_with = "duration")]
    pub breaker_base: Duration,
    /// Longest wait of an open breaker.
    #[serde(deserialize_with = "duration")]
    pub breaker_max: Duration,
    /// A trigger with nothing but failures for this long is paused.
    #[serde(deserialize_with = "duration")]
    pub pause_after: Duration,
    /// How long the log of attempts is kept.
    #[serde(deserialize_with = "duration")]
    pub attempt_retention: Duration,
    /// How long dead requests are kept.
    #[serde(deserialize_with = "duration")]
    pub dead_retention: Duration,
}

/// `[mappings]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mappings {
    /// A folder of mapping files, added to the shipped ones.
    #[serde(default, deserialize_with = "path_or_none")]
    pub dir: Option<PathBuf>,
}

/// `[secrets]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// `id:base64-32-bytes`; the first encrypts, all decrypt.
    #[serde(default, deserialize_with = "secret_list")]
    pub keys: Vec<SecretString>,
}

/// `[network]`: which targets may be dialled, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Whether private, loopback and link-local addresses may be dialled.
    #[serde(deserialize_with = "flag")]
    pub allow_private: bool,
    /// Ranges that may be dialled although they are not public.
    #[serde(deserialize_with = "cidrs")]
    pub allow_cidrs: Vec<IpNet>,
    /// The least that TLS must give.
    #[serde(deserialize_with = "tls_floor")]
    pub tls: TlsFloor,
    /// More roots, beside the system's.
    #[serde(default, deserialize_with = "path_or_none")]
    pub ca_file: Option<PathBuf>,
}

/// The least that a connection to a target must give, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsFloor {
    /// Plain text is allowed if the connection string asks for it.
    Disable,
    /// Encrypted, by whomever.
    Require,
    /// Encrypted, by a server whose certificate is valid for the name asked for.
    VerifyFull,
}

/// `[console]`: the admin API and the dashboard.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// Where it listens.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// `name:key`; the name is what the audit log shows.
    #[serde(default, deserialize_with = "secret_list")]
    pub admin_keys: Vec<SecretString>,
    /// How long a login to the dashboard lasts.
    #[serde(deserialize_with = "duration")]
    pub session_lifetime: Duration,
    /// Wrong keys from one address in a minute, after which it has to wait.
    #[serde(deserialize_with = "count")]
    pub login_failures: u32,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    #[serde(deserialize_with = "cidrs")]
    pub trusted_proxies: Vec<IpNet>,
    /// Longest body of a request.
    #[serde(deserialize_with = "bytes")]
    pub max_body_bytes: usize,
    /// Longest time of one statement in the internal Postgres.
    #[serde(deserialize_with = "duration")]
    pub query_timeout: Duration,
    /// How long a tenant's metrics are kept before they are worked out anew; a second to a day.
    #[serde(deserialize_with = "duration")]
    pub metrics_ttl: Duration,
    /// How long after that the old ones are served while they are worked out anew; ten minutes at most.
    #[serde(deserialize_with = "duration")]
    pub metrics_stale: Duration,
    /// Requests in progress at once.
    #[serde(deserialize_with = "count")]
    pub max_requests: usize,
    /// Open streams of events at once.
    #[serde(deserialize_with = "count")]
    pub max_streams: usize,
    /// How often a sample for the charts is taken.
    #[serde(deserialize_with = "duration")]
    pub sample_interval: Duration,
    /// How long the audit log is kept.
    #[serde(deserialize_with = "duration")]
    pub audit_retention: Duration,
}

/// `[health]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    #[serde(default, deserialize_with = "address_or_none")]
    pub listen: Option<SocketAddr>,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Unset: text on a terminal, else JSON.
    #[serde(default, deserialize_with = "log_format")]
    pub format: Option<LogFormat>,
    /// A `tracing` filter such as `info,tenant_sync_core=debug`.
    #[serde(deserialize_with = "text")]
    pub filter: String,
}

/// `[telemetry]`: traces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Where a collector speaks OTLP over HTTP; unset = nothing is traced.
    #[serde(default, deserialize_with = "text_or_none")]
    pub otlp_endpoint: Option<String>,
    /// Which part of all traces is recorded.
    #[serde(deserialize_with = "ratio")]
    pub sample_ratio: f64,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn path_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text_or_none(d)?.map(PathBuf::from))
}

fn address<'de, D: Deserializer<'de>>(d: D) -> Result<SocketAddr, D::Error> {
    parsed(d, "an address such as \"127.0.0.1:8080\"", |t| t.parse().ok())
}

fn address_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SocketAddr>, D::Error> {
    parsed(d, "an address such as \"127.0.0.1:9090\"", |t| match t {
        "" => Some(None),
        t => t.parse().ok().map(Some),
    })
}

fn tls_floor<'de, D: Deserializer<'de>>(d: D) -> Result<TlsFloor, D::Error> {
    parsed(d, "verify-full, require or disable", |t| match t {
        "verify-full" => Some(TlsFloor::VerifyFull),
        "require" => Some(TlsFloor::Require),
        "disable" => Some(TlsFloor::Disable),
        _ => None,
    })
}

fn ratio<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    parsed(d, "a number from 0 to 1", |t| t.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)))
}

fn log_format<'de, D: Deserializer<'de>>(d: D) -> Result<Option<LogFormat>, D::Error> {
    parsed(d, "text or json", |t| match t {
        "" => Some(None),
        "text" => Some(Some(LogFormat::Text)),
        "json" => Some(Some(LogFormat::Json)),
        _ => None,
    })
}

fn cidrs<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<IpNet>, D::Error> {
    let entries = list(d)?;
    let parsed = entries.iter().map(|e| e.parse::<IpNet>().or_else(|_| e.parse::<IpAddr>().map(IpNet::from)));
    parsed.collect::<Result<_, _>>().map_err(|_| {
        serde::de::Error::custom("expected address ranges such as \"10.0.0.0/8\", or single addresses")
    })
}
