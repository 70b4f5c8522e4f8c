//! Publishing: mandatory, confirmed, each within a deadline.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::{QueueError, within};
use super::names::{EXCHANGE, Queue};
use super::supervisor::{Broker, LinkState, Session, until_broken};
use super::{delivery_job, job};
use crate::outbox::{Claim, DeliveryClaim};
use crate::trace::{Span, SpanKind};

/// Measured on a quorum queue: one at a time 1.2 k messages/s, 64 give 15 k, 256 17 k, more only wait longer.
const MAX_IN_FLIGHT: usize = 256;
/// Longest wait for one confirm. Half of what a worker has to stop.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(4);

/// A channel in confirm mode, as long as its connection stands.
#[derive(Debug, Clone)]
struct Open {
    channel: Channel,
    /// Cancelled with the first error, which ends the connection for all.
    broken: CancellationToken,
    why: Arc<OnceLock<QueueError>>,
}

impl Open {
    async fn publish(
        &self,
        queue: Queue,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), QueueError> {
        if self.broken.is_cancelled() {
            return Err(QueueError::NotConnected);
        }
        let began = Instant::now();
        let published = publish_on(&self.channel, queue, body, properties).await;
        match &published {
            Ok(()) => metrics::histogram!("tenant_sync_publish_confirm_seconds").record(began.elapsed()),
            Err(error) => self.fail(error),
        }
        published
    }

    fn fail(&self, error: &QueueError) {
        self.why.get_or_init(|| error.clone());
        self.broken.cancel();
    }
}

/// Publishes one message on a channel in confirm mode and waits until the broker has it, 4 s at most. A
/// message that no queue took comes back as an error (without `mandatory` it would be confirmed and gone).
pub(super) async fn publish_on(
    channel: &Channel,
    queue: Queue,
    body: &[u8],
    properties: BasicProperties,
) -> Result<(), QueueError> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let (exchange, key) = (EXCHANGE.into(), queue.routing_key().into());
    let publishing = async { channel.basic_publish(exchange, key, options, body, properties).await?.await };
    match within(PUBLISH_TIMEOUT, "basic.publish", publishing).await? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(back)) | Confirmation::Nack(Some(back)) => {
            Err(QueueError::Returned { code: back.reply_code, text: back.reply_text.as_str().to_owned() })
        }
        Confirmation::Nack(None) | Confirmation::NotRequested => Err(QueueError::Refused),
    }
}

/// The poller's handle for publishing. Cheap to clone; works whenever the link is up.
#[derive(Debug, Clone)]
pub struct Publisher {
    open: watch::Receiver<Option<Open>>,
}

/// A claimed row, as what is published for it.
pub trait Message {
    /// Where it goes.
    fn queue(&self) -> Queue;
    /// What is sent.
    fn body(&self) -> Vec<u8>;
    /// What the broker is told about it, such as when it expires. `traceparent` is that of [`Message::span`], if that
    /// is traced.
    fn properties(&self, expires_after: Duration, traceparent: Option<String>) -> BasicProperties;
    /// Its publishing, as a span of the trace that it belongs to.
    fn span(&self) -> Span;
}

impl Message for Claim {
    fn queue(&self) -> Queue {
        self.lane.into()
    }

    fn body(&self) -> Vec<u8> {
        job::encode(self)
    }

    fn properties(&self, expires_after: Duration, traceparent: Option<String>) -> BasicProperties {
        job::properties(self, expires_after, traceparent)
    }

    fn span(&self) -> Span {
        span_of(self, self.queue())
    }
}

impl Message for DeliveryClaim {
    fn queue(&self) -> Queue {
        Queue::Requests
    }

    fn body(&self) -> Vec<u8> {
        delivery_job::encode(self)
    }

    fn properties(&self, expires_after: Duration, traceparent: Option<String>) -> BasicProperties {
        delivery_job::properties(self, expires_after, traceparent)
    }

    /// What a destination is sent in one turn was asked for by many transactions, so a trace begins with the turn.
    fn span(&self) -> Span {
        let mut span = Span::root_of("publish", SpanKind::Producer);
        span.set("messaging.system", || "rabbitmq");
        span.set("messaging.destination.name", || self.queue().name());
        span.set("tenant_sync.request", || self.request_id.to_string());
        span.set("tenant_sync.claim", || self.claim);
        span.set("tenant_sync.destination", || self.destination_id.to_string());
        if let Some(tenancy) = self.tenancy_id {
            span.set("tenant_sync.tenancy", || tenancy.to_string());
        }
        span
    }
}

/// What became of a batch.
#[derive(Debug)]
pub struct Published<M> {
    /// How many the broker has confirmed.
    pub confirmed: usize,
    /// Which it did not. They may have arrived all the same.
    pub failed: Vec<M>,
    /// Why the first of them failed.
    pub error: Option<QueueError>,
}

impl Publisher {
    /// Whether publishing makes sense now: connected, and the broker takes messages.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.open.borrow().as_ref().is_some_and(|open| !open.broken.is_cancelled())
    }

    /// Returns when [`Publisher::is_up`] may have become true.
    pub async fn changed(&mut self) {
        if self.open.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Publishes jobs, up to 256 in flight. After the first error the rest fails at once, and the link connects
    /// again and declares what is missing. Takes at most about 4 s longer than the broker needs.
    pub async fn publish<M: Message>(&self, claims: Vec<M>, expires_after: Duration) -> Published<M> {
        let open = self.open.borrow().clone();
        let Some(open) = open else {
            return Published { confirmed: 0, failed: claims, error: Some(QueueError::NotConnected) };
        };
        let open = &open;
        let mut outcomes = stream::iter(claims)
            .map(|claim| async move {
                let queue = claim.queue();
                let mut span = claim.span();
                let properties = claim.properties(expires_after, span.traceparent());
                let sent = open.publish(queue, &claim.body(), properties).await;
                if let Err(error) = &sent {
                    span.fail(|| error.to_string());
                }
                (claim, sent)
            })
            .buffer_unordered(MAX_IN_FLIGHT);
        let mut published = Published { confirmed: 0, failed: Vec::new(), error: None };
        while let Some((claim, sent)) = outcomes.next().await {
            match sent {
                Ok(()) => published.confirmed += 1,
                Err(error) => {
                    published.error.get_or_insert(error);
                    published.failed.push(claim);
                }
            }
        }
        published
    }
}

fn span_of(claim: &Claim, queue: Queue) -> Span {
    let mut span = Span::of("publish", SpanKind::Producer, claim.traceparent.as_deref());
    span.set("messaging.system", || "rabbitmq");
    span.set("messaging.destination.name", || queue.name());
    span.set("tenant_sync.request", || claim.request_id.to_string());
    span.set("tenant_sync.claim", || claim.claim);
    span.set("tenant_sync.tenancy", || claim.target.tenancy_id.to_string());
    span.set("tenant_sync.target", || claim.target.database_id.clone());
    span
}

/// The connection behind a [`Publisher`].
#[derive(Debug)]
pub struct PublisherLink {
    broker: Broker,
    state: LinkState,
    open: watch::Sender<Option<Open>>,
}

/// A publisher and its connection, which must be run.
#[must_use]
pub fn publisher(broker: Broker) -> (Publisher, PublisherLink) {
    let (sender, receiver) = watch::channel(None);
    (Publisher { open: receiver }, PublisherLink { broker, state: LinkState::default(), open: sender })
}

impl PublisherLink {
    /// Whether the connection stands.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.state.clone()
    }

    /// Keeps the connection until asked to stop.
    ///
    /// # Errors
    /// Never; the type is what a main task wants.
    pub async fn run(self, stopping: CancellationToken) -> Result<(), QueueError> {
        let run = |session| self.session(session, stopping.clone());
        self.broker.supervise("publisher", &self.state, &stopping, run).await;
        Ok(())
    }

    async fn session(&self, session: Arc<Session>, stopping: CancellationToken) -> Result<(), QueueError> {
        let events = session.events();
        let channel = session.channel().await?;
        within(PUBLISH_TIMEOUT, "confirm.select", channel.confirm_select(ConfirmSelectOptions::default()))
            .await?;
        let open = Open { channel, broken: CancellationToken::new(), why: Arc::default() };
        self.open.send_replace(Some(open.clone()));
        let ended = tokio::select! {
            () = stopping.cancelled() => Ok(()),
            () = open.broken.cancelled() => Err(open.why.get().cloned().unwrap_or(QueueError::Closed)),
            error = until_broken(events, |event| self.heed_alarm(event, &open)) => Err(error),
        };
        open.broken.cancel();
        self.open.send_replace(None);
        ended
    }

    /// A broker short of memory or disk takes nothing until it says so: until then nothing is claimed.
    fn heed_alarm(&self, event: &Event, open: &Open) {
        match event {
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(reason, "RabbitMQ takes no messages");
                self.open.send_replace(None);
            }
            Event::ConnectionUnblocked => {
                tracing::info!("RabbitMQ takes messages again");
                self.open.send_replace(Some(open.clone()));
            }
            _ => {}
        }
    }
}
