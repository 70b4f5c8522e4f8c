//! Consuming: jobs into the places of one worker, with manual acks. Sync workers have two queues, live and bulk;
//! request workers have one.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::error::{QueueError, within};
use super::job::{Job, Undecodable};
use super::names::{self, Queue};
use super::places::{Place, Places};
use super::publisher::publish_on;
use super::supervisor::{Broker, LinkState, Session};
use crate::outbox::Lane;
use crate::worker::Repeats;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between looks at the queues while nothing comes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What became of an ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acked {
    /// The broker forgets the message.
    Done,
    /// The channel that the message came on is gone, or it was acknowledged before: the broker hands it out
    /// again, and whoever gets it finds its claim stale.
    TooLate,
}

/// A job that came out of a queue. Not to be acknowledged by hand unless early: what the handler leaves open
/// is acknowledged when it ends, also by a panic, because the row says what happens next.
#[derive(Debug)]
pub struct JobDelivery<J = Job> {
    /// What to do.
    pub job: J,
    /// Which queue it came out of.
    pub lane: Lane,
    /// The broker handed it out before.
    pub redelivered: bool,
    delivery: Arc<Delivery>,
}

impl<J> JobDelivery<J> {
    /// Tells the broker to forget the message.
    ///
    /// # Errors
    /// The connection breaks meanwhile.
    pub async fn ack(&self) -> Result<Acked, QueueError> {
        ack(&self.delivery).await
    }
}

async fn ack(delivery: &Delivery) -> Result<Acked, QueueError> {
    let acker = &delivery.acker;
    if !acker.usable() {
        return Ok(Acked::TooLate);
    }
    let done = within(ANSWER_TIMEOUT, "basic.ack", acker.ack(BasicAckOptions::default())).await?;
    Ok(if done { Acked::Done } else { Acked::TooLate })
}

/// What a message says that a worker shall do.
pub trait FromMessage: Sized + Send + 'static {
    /// The queue of what somebody waits for.
    const QUEUE: Queue;
    /// The queue of what may fill half of the places only, if there is one.
    const BULK: Option<Queue>;

    /// Reads a message.
    ///
    /// # Errors
    /// It is another one, or damaged.
    fn decode(body: &[u8], properties: &BasicProperties) -> Result<Self, Undecodable>;

    /// The row that it is a copy of.
    fn request_id(&self) -> Uuid;
}

/// Consumes the jobs of one worker.
#[derive(Debug)]
pub struct Consumer<J = Job> {
    kind: PhantomData<fn() -> J>,
    broker: Broker,
    places: Places,
    running: TaskTracker,
    state: LinkState,
    /// Somebody who publishes nonsense is no line a message.
    unreadable: Repeats,
}

/// One queue's subscription.
struct Subscription {
    queue: Queue,
    channel: Channel,
    stream: lapin::Consumer,
}

impl<J: FromMessage> Consumer<J> {
    /// A consumer with `concurrency` places. Connects when it is run.
    #[must_use]
    pub fn new(broker: Broker, concurrency: u16) -> Self {
        let places = Places::new(concurrency);
        let (running, state) = (TaskTracker::new(), LinkState::default());
        let unreadable = Repeats::new(Duration::from_secs(600), 10);
        Self { kind: PhantomData, broker, places, running, state, unreadable }
    }

    /// Whether the connection stands.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.state.clone()
    }

    /// The worker's places.
    #[must_use]
    pub fn places(&self) -> Places {
        self.places.clone()
    }

    /// Hands each job to `handler`, at most as many at once as there are places, until asked to stop. Then it
    /// takes no new ones and waits for those that run; `handler` must see for itself that it is time to stop.
    ///
    /// # Errors
    /// Never; the type is what a main task wants.
    pub async fn run<H, F>(self, stopping: CancellationToken, handler: H) -> Result<(), QueueError>
    where
        H: Fn(JobDelivery<J>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let run = |session| self.session(session, &stopping, &handler);
        self.broker.supervise("consumer", &self.state, &stopping, run).await;
        // Those that ran on while there was no connection.
        self.drained().await;
        Ok(())
    }

    async fn drained(&self) {
        self.running.close();
        self.running.wait().await;
    }

    async fn session<H, F>(
        &self,
        session: Arc<Session>,
        stopping: &CancellationToken,
        handler: &H,
    ) -> Result<(), QueueError>
    where
        H: Fn(JobDelivery<J>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let graves = session.channel().await?;
        within(ANSWER_TIMEOUT, "confirm.select", graves.confirm_select(ConfirmSelectOptions::default()))
            .await?;
        let mut live = self.subscribe(&session, J::QUEUE).await?;
        let mut bulk = match J::BULK {
            Some(queue) => Some(self.subscribe(&session, queue).await?),
            None => None,
        };
        let (mut watch, mut looks) =
            (Watch::new([Some(J::QUEUE), J::BULK]), tokio::time::interval(LOOK_EVERY));
        loop {
            let Some(any) = stopping.run_until_cancelled(self.places.any()).await else { break };
            // Live first; bulk only into a place that bulk may have.
            let (queue, delivery, place) = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                delivery = live.next() => (live.queue, delivery?, Place::new(any, None)),
                (queue, delivery, leave) = async {
                    let Some(bulk) = bulk.as_mut() else { return std::future::pending().await };
                    let leave = self.places.for_bulk().await;
                    (bulk.queue, bulk.next().await, leave)
                } => (queue, delivery?, Place::new(any, Some(leave))),
                _ = looks.tick() => {
                    watch.look(&session).await?;
                    continue;
                }
            };
            if !delivery.acker.usable() {
                continue;
            }
            match J::decode(&delivery.data, &delivery.properties) {
                Ok(job) => self.start(job, queue, delivery, place, handler),
                Err(reason) => {
                    if let Some(not_told) = self.unreadable.tell(&reason.to_string()) {
                        tracing::warn!(queue = queue.name(), %reason, bytes = delivery.data.len(), not_told,
                            "cannot read a message; it goes to tenant-sync.dead");
                    }
                    bury(&graves, queue, &delivery, &reason).await?;
                }
            }
        }
        live.cancel().await?;
        if let Some(bulk) = bulk {
            bulk.cancel().await?;
        }
        // The channels stay open until those that run have acknowledged their messages.
        self.drained().await;
        Ok(())
    }

    async fn subscribe(&self, session: &Session, queue: Queue) -> Result<Subscription, QueueError> {
        let channel = session.channel().await?;
        let qos = channel.basic_qos(self.places.prefetch(queue), BasicQosOptions::default());
        within(ANSWER_TIMEOUT, "basic.qos", qos).await?;
        let tag = format!("{} {}", self.broker.worker(), queue.routing_key());
        let consuming = channel.basic_consume(
            queue.name().into(),
            tag.into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let stream = within(ANSWER_TIMEOUT, "basic.consume", consuming).await?;
        Ok(Subscription { queue, channel, stream })
    }

    fn start<H, F>(&self, job: J, queue: Queue, delivery: Delivery, place: Place, handler: &H)
    where
        H: Fn(JobDelivery<J>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let lane = if queue == Queue::Bulk { Lane::Bulk } else { Lane::Live };
        let delivery = Arc::new(delivery);
        let request_id = job.request_id();
        let redelivered = delivery.redelivered;
        let delivered = JobDelivery { job, lane, redelivered, delivery: Arc::clone(&delivery) };
        let handler = handler.clone();
        self.running.spawn(async move {
            let handled = AssertUnwindSafe(async { handler(delivered).await }).catch_unwind().await;
            if handled.is_err() {
                tracing::error!(request = %request_id, "a job panicked; its row is due again when its lease ends");
            }
            if let Err(error) = ack(&delivery).await {
                tracing::debug!(request = %request_id, %error, "not acknowledged, the claim makes the message stale");
            }
            drop(place);
        });
    }
}

impl Subscription {
    /// The next message. A stream that ends is an error: the broker cancelled it, or the connection is gone.
    async fn next(&mut self) -> Result<Delivery, QueueError> {
        match self.stream.next().await {
            Some(delivery) => Ok(delivery?),
            None => Err(QueueError::Cancelled(self.queue)),
        }
    }

    /// Ends the subscription. What was handed out and not started goes back when the connection closes.
    async fn cancel(&self) -> Result<(), QueueError> {
        let cancelling = self.channel.basic_cancel(self.stream.tag(), BasicCancelOptions::default());
        within(ANSWER_TIMEOUT, "basic.cancel", cancelling).await
    }
}

/// Looks whether the queues still know of consumers. A queue that is deleted while a subscription begins may forget
/// to say so; then a worker would wait for ever at a queue that is another one by now.
#[derive(Debug)]
struct Watch {
    queues: [Option<Queue>; 2],
    channel: Option<Channel>,
    /// A queue without consumers at the last look. One look may be wrong: a queue without a leader says none.
    suspect: Option<Queue>,
}

impl Watch {
    fn new(queues: [Option<Queue>; 2]) -> Self {
        Self { queues, channel: None, suspect: None }
    }

    async fn look(&mut self, session: &Session) -> Result<(), QueueError> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => session.channel().await?,
        };
        let mut suspect = None;
        for queue in self.queues.into_iter().flatten() {
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let asked = channel.queue_declare(queue.name().into(), options, FieldTable::default());
            let answer = within(ANSWER_TIMEOUT, "queue.declare", asked).await?;
            if answer.consumer_count() == 0 {
                suspect = Some(queue);
            }
        }
        match (self.suspect, suspect) {
            (Some(before), Some(now)) if before == now => return Err(QueueError::Cancelled(now)),
            _ => self.suspect = suspect,
        }
        self.channel = Some(channel);
        Ok(())
    }
}

/// Moves a message that cannot be read to the dead queue, with the reason; only then acknowledges it.
async fn bury(
    graves: &Channel,
    origin: Queue,
    delivery: &Delivery,
    reason: &Undecodable,
) -> Result<(), QueueError> {
    metrics::counter!("tenant_sync_dead_messages_total", "queue" => origin.name()).increment(1);
    let mut headers = FieldTable::default();
    headers.insert(names::REASON_HEADER.into(), AMQPValue::LongString(reason.to_string().into()));
    headers.insert(names::ORIGIN_HEADER.into(), AMQPValue::LongString(origin.name().into()));
    let mut properties = BasicProperties::default()
        .with_app_id(names::APP_ID.into())
        .with_delivery_mode(2)
        .with_headers(headers);
    if let Some(kind) = delivery.properties.kind() {
        properties = properties.with_type(kind.clone());
    }
    if let Some(id) = delivery.properties.message_id() {
        properties = properties.with_message_id(id.clone());
    }
    publish_on(graves, Queue::Dead, &delivery.data, properties).await?;
    ack(delivery).await?;
    Ok(())
}
