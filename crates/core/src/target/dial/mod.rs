//! The way to a target: resolve once, check every answer, dial what was checked, encrypt, log in.
//!
//! Each step has its own time, and the whole has one. Nothing is set in the session: behind a pooler it
//! would stay there for somebody else.

mod login;
mod route;
mod session;
mod transport;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

pub use crate::guard::ResolveError;
pub use session::{Canceller, Encryption, Session};

use crate::config::Network;
use crate::guard::{Guard, GuardError, Resolver};
use crate::target::bounded::{Limits, ProtocolAbuse};
use crate::target::class::{ErrorClass, TargetFault};
use crate::target::tls::{TlsError, TlsSettings};
use crate::target::url::{Endpoint, Host, SessionAttrs, TargetUrl};
use route::Route;

/// Addresses of one name that are tried; all of its addresses are checked.
const ADDRESSES_TRIED: usize = 4;
/// All hosts and addresses of a target together may take this many times the time of one step.
const STEPS_IN_TOTAL: u32 = 6;
/// A customer's `connect_timeout` counts up to here, however short the operator's is: serverless
/// databases need some seconds to wake up.
const CUSTOMERS_STEP_MAX: Duration = Duration::from_secs(15);

/// A step on the way to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The TCP connection.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// The login.
    Login,
    /// All of them, over all hosts and addresses.
    Everything,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("{host}: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: ResolveError,
    },
    /// The address is not allowed.
    #[error("{host}: {source}")]
    Guard {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: GuardError,
    },
    /// No TCP connection.
    #[error("{endpoint}: no connection ({kind})")]
    Tcp {
        /// Host and port, as in the connection string.
        endpoint: String,
        /// What the system said.
        kind: std::io::ErrorKind,
        /// What it means.
        class: ErrorClass,
    },
    /// A step took too long.
    #[error("{endpoint}: {}", step_took(*step, *limit))]
    Timeout {
        /// Host and port, as in the connection string.
        endpoint: String,
        /// Which step.
        step: Step,
        /// How long it was allowed to take.
        limit: Duration,
    },
    /// Not encrypted as it is required.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The answer to the very first bytes was no Postgres server's.
    #[error("{endpoint}: {source}")]
    NotPostgres {
        /// Host and port, as in the connection string.
        endpoint: String,
        /// Why.
        #[source]
        source: ProtocolAbuse,
    },
    /// The server refused the login, or spoke strangely.
    #[error("{endpoint}: {source}")]
    Login {
        /// Host and port, as in the connection string.
        endpoint: String,
        /// What is kept of its error.
        #[source]
        source: Box<TargetFault>,
    },
    /// No server of the connection string accepts writes.
    #[error("{endpoint}: the server accepts no writes")]
    ReadOnly {
        /// The last one that was asked.
        endpoint: String,
    },
}

impl DialError {
    /// What it means.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.fault().class
    }

    /// What is kept of it: never an address that a name resolved to.
    #[must_use]
    pub fn fault(&self) -> TargetFault {
        let class = match self {
            Self::Resolve { source: ResolveError::Ours, .. } => ErrorClass::Ours,
            Self::Resolve { .. } | Self::Guard { source: GuardError::NoAddress, .. } => {
                ErrorClass::NameNotFound
            }
            Self::Guard { .. } => ErrorClass::AddressRefused,
            Self::Tcp { class, .. } => *class,
            Self::Timeout { .. } => ErrorClass::Unreachable,
            Self::Tls(error) => return error.fault(),
            Self::NotPostgres { .. } => ErrorClass::ProtocolAbuse,
            Self::Login { source, .. } => return TargetFault::clone(source),
            Self::ReadOnly { .. } => ErrorClass::ReadOnly,
        };
        TargetFault::new(class).with_detail(self.to_string())
    }

    /// Whether another host of the connection string may be better. A refused login is the same everywhere.
    fn may_differ_elsewhere(&self) -> bool {
        matches!(
            self.class(),
            ErrorClass::Unreachable
                | ErrorClass::NameNotFound
                | ErrorClass::ShuttingDown
                | ErrorClass::ReadOnly
        )
    }
}

/// Makes sessions. One for each process; it remembers whether name resolution works at all.
#[derive(Debug)]
pub struct Dialer {
    guard: Guard,
    tls: TlsSettings,
    step: Duration,
    limits: Limits,
    resolver: Resolver,
}

impl Dialer {
    /// A dialer by the rules of `[network]`; `connect_timeout` is for each step.
    ///
    /// # Errors
    /// `network.ca_file` cannot be used.
    pub fn new(network: &Network, connect_timeout: Duration) -> Result<Self, TlsError> {
        Ok(Self {
            guard: Guard::from_config(network),
            tls: TlsSettings::from_config(network)?,
            step: connect_timeout,
            limits: Limits::default(),
            resolver: Resolver::default(),
        })
    }

    /// The same with other bounds on what a target may send.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Opens a session in the first host of `url` that accepts writes. `own_root` is the target's own
    /// root certificate (PEM). `application_name` is what the customer sees, unless the string says more.
    ///
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// Why the last host that was tried gave no session.
    pub async fn connect(
        &self,
        url: &TargetUrl,
        own_root: Option<&str>,
        application_name: &str,
    ) -> Result<Session, DialError> {
        let attempt = Attempt { dialer: self, url, own_root, application_name, step: self.step_for(url) };
        let limit = attempt.step * STEPS_IN_TOTAL;
        match timeout(limit, attempt.any_host()).await {
            Ok(result) => result,
            Err(_) => {
                let endpoint = url.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                Err(DialError::Timeout { endpoint, step: Step::Everything, limit })
            }
        }
    }

    fn step_for(&self, url: &TargetUrl) -> Duration {
        let longest = self.step.max(CUSTOMERS_STEP_MAX);
        url.connect_timeout.map_or(self.step, |asked| asked.min(longest))
    }
}

struct Attempt<'a> {
    dialer: &'a Dialer,
    url: &'a TargetUrl,
    own_root: Option<&'a str>,
    application_name: &'a str,
    step: Duration,
}

impl Attempt<'_> {
    async fn any_host(&self) -> Result<Session, DialError> {
        let mut last = None;
        for endpoint in &self.url.endpoints {
            match self.host(endpoint).await {
                Ok(session) => return Ok(session),
                Err(error) if error.may_differ_elsewhere() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        // A parsed string has at least one host.
        Err(last.unwrap_or(DialError::ReadOnly { endpoint: String::new() }))
    }

    async fn host(&self, endpoint: &Endpoint) -> Result<Session, DialError> {
        let mut last = None;
        for address in self.checked_addresses(endpoint).await? {
            let route = self.route(endpoint, address)?;
            match route.tcp().await {
                Ok(socket) => return self.session(route, socket).await,
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| DialError::Guard {
            host: endpoint.host.to_string(),
            source: GuardError::NoAddress,
        }))
    }

    async fn checked_addresses(&self, endpoint: &Endpoint) -> Result<Vec<IpAddr>, DialError> {
        let host = || endpoint.host.to_string();
        let resolved = match &endpoint.host {
            Host::Address(address) => Ok(vec![*address]),
            Host::Name(name) => self.dialer.resolver.addresses(name, self.step).await,
        };
        let mut addresses = resolved.map_err(|source| DialError::Resolve { host: host(), source })?;
        self.dialer.guard.check(&addresses).map_err(|source| {
            if let GuardError::NotAllowed { address, kind } = source {
                tracing::debug!(host = host(), %address, %kind, "a target's address may not be dialled");
            }
            DialError::Guard { host: host(), source }
        })?;
        addresses.truncate(ADDRESSES_TRIED);
        Ok(addresses)
    }

    fn route(&self, endpoint: &Endpoint, address: IpAddr) -> Result<Route, DialError> {
        let level = self.dialer.tls.level(self.url.ssl_mode, self.own_root.is_some());
        Ok(Route {
            endpoint: endpoint.clone(),
            address: SocketAddr::new(address, endpoint.port),
            level,
            connector: self.dialer.tls.connector(level, self.own_root)?,
            step: self.step,
        })
    }

    async fn session(&self, route: Route, socket: tokio::net::TcpStream) -> Result<Session, DialError> {
        let transport = route.secure(socket).await?;
        let endpoint = route.endpoint.to_string();
        let session =
            login::log_in(route, transport, self.dialer.limits, self.url, self.application_name).await?;
        let one_of_many = self.url.endpoints.len() > 1;
        let wanted = match self.url.session_attrs {
            Some(SessionAttrs::Any) | None if !one_of_many => return Ok(session),
            Some(SessionAttrs::Primary) => SessionAttrs::Primary,
            _ => SessionAttrs::ReadWrite,
        };
        match timeout(self.step, session.accepts_writes(wanted)).await {
            Ok(Ok(true)) => Ok(session),
            Ok(Ok(false)) => Err(DialError::ReadOnly { endpoint }),
            Ok(Err(fault)) => Err(DialError::Login { endpoint, source: Box::new(fault) }),
            Err(_) => Err(DialError::Timeout { endpoint, step: Step::Login, limit: self.step }),
        }
    }
}

fn step_took(step: Step, limit: Duration) -> String {
    let what = match step {
        Step::Tcp => "the connection",
        Step::Tls => "the TLS handshake",
        Step::Login => "the login",
        Step::Everything => "connecting",
    };
    format!("{what} took longer than {} ms", limit.as_millis())
}
