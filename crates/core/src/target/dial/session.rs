//! A session in a target.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::tls::TlsStream;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Connection};

use super::route::Route;
use super::transport::Negotiated;
use super::{DialError, Step};
use crate::target::bounded::{BoundedStream, Limits, Observed};
use crate::target::class::TargetFault;
use crate::target::url::{SessionAttrs, SslMode};

/// Time for a polite goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How well a session is protected on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    None,
    /// Encrypted, but nobody checked with whom.
    Unverified,
    /// Encrypted, with a certificate from a known root.
    VerifiedRoot,
    /// Encrypted, with a certificate that is valid for the host.
    VerifiedHost,
}

/// A session. Dropping it ends the connection at once, and with it an open transaction.
pub struct Session {
    client: Client,
    driver: Driver,
    observed: Arc<Observed>,
    ended: Arc<OnceLock<TargetFault>>,
    route: Route,
    encrypted: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}, {:?})", self.route.endpoint, self.encryption())
    }
}

/// The task that moves the bytes; it ends with its session.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    pub(super) fn start<S>(
        client: Client,
        connection: Connection<BoundedStream<S>, BoundedStream<S>>,
        observed: Arc<Observed>,
        route: Route,
        encrypted: bool,
    ) -> Self
    where
        S: TlsStream + Unpin + Send + 'static,
    {
        let ended = Arc::new(OnceLock::new());
        let driver = Driver(tokio::spawn(drive(connection, Arc::clone(&ended))));
        Self { client, driver, observed, ended, route, encrypted }
    }

    /// For statements.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// For transactions.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// What is kept of a statement's error. Where the connection ended, the reason for that.
    #[must_use]
    pub fn fault(&self, error: &tokio_postgres::Error) -> TargetFault {
        if error.as_db_error().is_none()
            && let Some(reason) = self.end_reason()
        {
            return reason;
        }
        TargetFault::from_postgres(error)
    }

    /// Why the connection ended, if it did and it was not us.
    #[must_use]
    pub fn end_reason(&self) -> Option<TargetFault> {
        self.observed.abuse().map(TargetFault::from).or_else(|| self.ended.get().cloned())
    }

    /// Bytes received so far, above TLS.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.observed.bytes_read()
    }

    /// How well it is protected.
    #[must_use]
    pub fn encryption(&self) -> Encryption {
        match self.route.level {
            _ if !self.encrypted => Encryption::None,
            SslMode::VerifyFull => Encryption::VerifiedHost,
            SslMode::VerifyCa => Encryption::VerifiedRoot,
            _ => Encryption::Unverified,
        }
    }

    /// The process id that was announced at login.
    #[must_use]
    pub fn backend_pid_announced(&self) -> i32 {
        self.observed.backend_pid()
    }

    /// Whether a pooler stands in front: it announces a process id of its own. What kind of pooler it is
    /// cannot be seen, so the answer means that no named statement, `SET` or session lock may be relied on.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub async fn behind_pooler(&self) -> Result<bool, TargetFault> {
        let row = self.client.query_typed_one("select pg_catalog.pg_backend_pid()", &[]).await;
        let pid = row.and_then(|row| row.try_get::<_, i32>(0)).map_err(|e| self.fault(&e))?;
        Ok(pid != self.backend_pid_announced())
    }

    pub(super) async fn accepts_writes(&self, wanted: SessionAttrs) -> Result<bool, TargetFault> {
        let question = match wanted {
            SessionAttrs::Primary => "select not pg_catalog.pg_is_in_recovery()",
            _ => {
                "select not (pg_catalog.pg_is_in_recovery() \
                 or pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool)"
            }
        };
        let row = self.client.query_typed_one(question, &[]).await;
        row.and_then(|row| row.try_get(0)).map_err(|e| self.fault(&e))
    }

    /// A handle that cancels what runs in this session, also while a transaction borrows it.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), route: self.route.clone() }
    }

    /// Cancels the running statement, see [`Canceller::cancel`].
    ///
    /// # Errors
    /// The server could not be reached a second time.
    pub async fn cancel(&self) -> Result<(), DialError> {
        self.canceller().cancel().await
    }

    /// Says goodbye, so that the server's log has no broken connection. Waits at most a second.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        drop(client);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, &mut driver.0).await;
    }
}

/// Cancels what runs in one session.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    route: Route,
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canceller({})", self.route.endpoint)
    }
}

impl Canceller {
    /// Asks the server, over a new connection to the same checked address and encrypted like the session,
    /// to cancel what runs in the session. The server does not say whether something was cancelled.
    ///
    /// # Errors
    /// The server could not be reached a second time, each step bounded like a connection's.
    pub async fn cancel(&self) -> Result<(), DialError> {
        let transport = self.route.secure(self.route.tcp().await?).await?;
        let stream = BoundedStream::new(transport, Limits::default());
        let sent = self.route.within(Step::Login, self.token.cancel_query_raw(stream, Negotiated)).await?;
        sent.map_err(|error| DialError::Login {
            endpoint: self.route.endpoint.to_string(),
            source: Box::new(TargetFault::from_postgres(&error)),
        })
    }
}

/// Moves bytes until the connection ends. A notice's text carries values and is not logged.
async fn drive<S, T>(mut connection: Connection<S, T>, ended: Arc<OnceLock<TargetFault>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                tracing::debug!(sqlstate = notice.code().code(), "notice of a target");
            }
            Ok(_) => {}
            Err(error) => {
                // Before the connection is dropped, which wakes whoever waits for an answer.
                let _ = ended.set(TargetFault::from_postgres(&error));
                return;
            }
        }
    }
}
