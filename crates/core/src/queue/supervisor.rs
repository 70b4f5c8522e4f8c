//! One loop for each connection: connect, declare, run until any error, drop everything, wait, again. The
//! first start and every repair take the same path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use super::error::{QueueError, within};
use super::topology;
use crate::config::RabbitMq;
use crate::worker::Health;
use crate::worker::backoff::Reconnect;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DECLARE_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// A broker that is gone without a word is noticed after two of these. RabbitMQ proposes 60 s.
const HEARTBEAT_SECONDS: u16 = 10;

/// Which broker, and as whom. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    uri: Arc<AMQPUri>,
    worker: Arc<str>,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = &self.uri.authority;
        write!(f, "Broker({}:{}/{})", authority.host, authority.port, self.uri.vhost)
    }
}

/// Whether a connection stands. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LinkState(Arc<AtomicBool>);

impl LinkState {
    /// Connected, declared and running.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Makes `/readyz` depend on this connection.
    pub fn register(&self, health: &Health, name: &'static str) {
        let state = self.clone();
        health.add(name, move || {
            let up = state.is_up();
            async move { if up { Ok(()) } else { Err("not connected".to_owned()) } }
        });
    }

    fn set(&self, up: bool) {
        self.0.store(up, Ordering::Release);
    }
}

/// One connection on which everything is declared.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
}

impl Session {
    /// A new channel.
    pub(super) async fn channel(&self) -> Result<lapin::Channel, QueueError> {
        within(CONNECT_TIMEOUT, "channel.open", self.connection.create_channel()).await
    }

    /// What happens to this connection from now on; each event goes to one listener.
    pub(super) fn events(&self) -> impl futures_util::Stream<Item = Event> + Send + Unpin + 'static {
        Box::pin(self.connection.events_listener())
    }

    async fn close(&self) {
        let _ = within(CLOSE_TIMEOUT, "connection.close", self.connection.close(200, "OK".into())).await;
    }
}

impl Broker {
    /// Reads the URL. `worker` says who connects: its kind and instance, for the RabbitMQ UI.
    ///
    /// # Errors
    /// The URL does not parse.
    pub fn new(rabbitmq: &RabbitMq, worker: &str) -> Result<Self, QueueError> {
        let mut uri: AMQPUri = rabbitmq.url.expose_secret().parse().map_err(|_| QueueError::Url)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let connect_ms = u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        uri.query.connection_timeout.get_or_insert(connect_ms);
        Ok(Self { uri: Arc::new(uri), worker: worker.into() })
    }

    /// Who connects.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// Connects once and declares everything. `role` is the last part of the connection's name.
    ///
    /// # Errors
    /// Anything, within 15 s.
    pub async fn connect(&self, role: &str) -> Result<Session, QueueError> {
        let name = format!("{} {role}", self.worker);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri((*self.uri).clone(), properties);
        let connection = within(CONNECT_TIMEOUT, "connection.open", connecting).await?;
        let session = Session { connection };
        let channel = session.channel().await?;
        within(DECLARE_TIMEOUT, "declare", topology::declare(&channel)).await?;
        within(CLOSE_TIMEOUT, "channel.close", channel.close(200, "OK".into())).await?;
        Ok(session)
    }

    /// Keeps one connection: `run` gets a session and works until an error, or returns `Ok` when `stopping` is
    /// cancelled. Returns when asked to stop.
    pub(super) async fn supervise<F, R>(
        &self,
        role: &'static str,
        state: &LinkState,
        stopping: &CancellationToken,
        run: F,
    ) where
        F: Fn(Arc<Session>) -> R,
        R: Future<Output = Result<(), QueueError>>,
    {
        let mut reconnect = Reconnect::default();
        let connected_now = metrics::gauge!("tenant_sync_rabbitmq_connected", "role" => role);
        connected_now.set(0.0);
        while !stopping.is_cancelled() {
            let began = Instant::now();
            let Some(connected) = stopping.run_until_cancelled(self.connect(role)).await else { break };
            let ended = match connected {
                Ok(session) => {
                    let session = Arc::new(session);
                    tracing::info!(role, "connected to RabbitMQ");
                    state.set(true);
                    connected_now.set(1.0);
                    let ended = run(Arc::clone(&session)).await;
                    state.set(false);
                    connected_now.set(0.0);
                    session.close().await;
                    ended
                }
                Err(error) => Err(error),
            };
            let Err(error) = ended else { break };
            metrics::counter!("tenant_sync_rabbitmq_faults_total", "role" => role).increment(1);
            let wait = reconnect.after(began.elapsed());
            if reconnect.failures() == 1 {
                tracing::warn!(role, %error, "lost RabbitMQ, connecting again");
            } else {
                tracing::debug!(role, %error, wait_ms = wait.as_millis(), "still no RabbitMQ");
            }
            stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
    }
}

/// Waits until the connection is broken. Other events go to `heard`.
pub(super) async fn until_broken(
    mut events: impl futures_util::Stream<Item = Event> + Unpin,
    mut heard: impl FnMut(&Event),
) -> QueueError {
    while let Some(event) = events.next().await {
        if let Event::Error(error) = event {
            return error.into();
        }
        heard(&event);
    }
    QueueError::Closed
}
