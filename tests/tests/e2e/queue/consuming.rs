//! The consumer: places, acks, what cannot be read, subscriptions that end.

use std::sync::{Arc, Mutex};

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::AMQPValue;
use tenant_sync_core::outbox::{self, Lane, TargetKey};
use tenant_sync_core::queue::names::{self, Queue};
use tenant_sync_core::queue::{Consumer, JobDelivery, LinkState, Places};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::stack::{Stack, eventually};

/// A consumer whose jobs note that they began and wait for a permit.
struct Held {
    began: Arc<Mutex<Vec<(Lane, String)>>>,
    finish: Arc<Semaphore>,
    places: Places,
    state: LinkState,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Held {
    async fn new(stack: &Stack, concurrency: u16) -> Self {
        let consumer = Consumer::new(stack.broker(), concurrency);
        let (began, finish) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let (places, state, stop) = (consumer.places(), consumer.state(), CancellationToken::new());
        let (noting, waiting) = (Arc::clone(&began), Arc::clone(&finish));
        let handler = move |delivery: JobDelivery| {
            let (noting, waiting) = (Arc::clone(&noting), Arc::clone(&waiting));
            async move {
                noting.lock().expect("lock").push((delivery.lane, delivery.job.target.database_id.clone()));
                assert!(delivery.job.target.database_id != "t_panics", "a job that panics");
                waiting.acquire().await.expect("open").forget();
            }
        };
        let stopping = stop.clone();
        let task = tokio::spawn(async move { consumer.run(stopping, handler).await.expect("never fails") });
        let held = Self { began, finish, places, state, stop, task };
        eventually("the consumer is connected", async || held.state.is_up()).await;
        held
    }

    fn began(&self, lane: Lane) -> usize {
        self.began.lock().expect("lock").iter().filter(|(l, _)| *l == lane).count()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.finish.add_permits(10_000);
        self.task.await.expect("stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_jobs_leave_places_to_live_ones() {
    let stack = Stack::new(&[]).await;
    let mut poller = stack.poller().await;
    stack.due_rows(10).await;
    stack.sql.execute(r#"update "OutgoingRequest" set lane = 'bulk'"#, &[]).await.expect("update");
    poller.poller.tick().await.expect("tick");
    let consumer = Held::new(&stack, 4).await;
    eventually("two bulk jobs run", async || consumer.began(Lane::Bulk) == 2).await;

    stack.due_rows(5).await;
    poller.poller.tick().await.expect("tick");
    eventually("two live jobs run beside them", async || consumer.began(Lane::Live) == 2).await;
    assert_eq!((consumer.began(Lane::Bulk), consumer.places.taken()), (2, 4));
    consumer.finish.add_permits(100);
    eventually("all had their turn", async || consumer.began(Lane::Bulk) + consumer.began(Lane::Live) == 15)
        .await;
    consumer.stop().await;
    assert_eq!((stack.ready(Queue::Live).await, stack.ready(Queue::Bulk).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_finishes_what_runs_and_leaves_the_rest_in_the_queue() {
    let stack = Stack::new(&[]).await;
    stack.due_rows(6).await;
    stack.poller().await.poller.tick().await.expect("tick");
    let consumer = Held::new(&stack, 2).await;
    eventually("two jobs run", async || consumer.began(Lane::Live) == 2).await;
    let began = Arc::clone(&consumer.began);
    consumer.stop().await;
    let finished = began.lock().expect("lock").len();
    eventually("the rest is there for others", async || {
        stack.ready(Queue::Live).await as usize == 6 - finished
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_panics_gives_its_place_back() {
    let stack = Stack::new(&[]).await;
    let mut poller = stack.poller().await;
    let consumer = Held::new(&stack, 1).await;
    let tenancy_id = stack.tenancy(1).await;
    let bad = r#"insert into "ExternalDatabase" ("tenancyId", id) values ($1, 't_panics')"#;
    stack.sql.execute(bad, &[&tenancy_id]).await.expect("target");
    let client = stack.session().await;
    for (jobs, database) in [(1, "t_panics"), (2, "t0")] {
        let target = TargetKey { tenancy_id, database_id: database.to_owned() };
        outbox::enqueue(&client, &[target], None).await.expect("enqueue");
        poller.poller.tick().await.expect("tick");
        eventually("the job is handed out", async || consumer.began(Lane::Live) == jobs).await;
    }
    consumer.stop().await;
    assert_eq!(stack.ready(Queue::Live).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_lies_in_the_dead_queue_with_its_reason() {
    let stack = Stack::new(&[]).await;
    let mut poller = stack.poller().await;
    let consumer = Held::new(&stack, 2).await;
    let properties =
        BasicProperties::default().with_type(names::JOB_TYPE.into()).with_message_id("m1".into());
    let connection = stack.kit.vhost().connect().await;
    let channel = connection.create_channel().await.expect("channel");
    for queue in [Queue::Live, Queue::Bulk] {
        let options = BasicPublishOptions::default();
        let key = queue.routing_key().into();
        let publishing =
            channel.basic_publish(names::EXCHANGE.into(), key, options, b"not a job", properties.clone());
        publishing.await.expect("publish").await.expect("sent");
    }
    stack.due_rows(1).await;
    poller.poller.tick().await.expect("tick");
    eventually("the good one is handed out", async || consumer.began(Lane::Live) == 1).await;
    eventually("the bad ones are dead", async || stack.ready(Queue::Dead).await == 2).await;
    for message in stack.drain(Queue::Dead).await {
        let headers = message.properties.headers().clone().expect("headers");
        let text = |name: &str| match headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        assert!(text(names::REASON_HEADER).contains("not a job"), "{}", text(names::REASON_HEADER));
        assert!(text(names::ORIGIN_HEADER).starts_with("tenant-sync."));
        assert_eq!(message.data, b"not a job");
        assert_eq!(message.properties.message_id().as_ref().map(|id| id.as_str()), Some("m1"));
    }
    consumer.stop().await;
    assert_eq!((stack.ready(Queue::Live).await, stack.ready(Queue::Bulk).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_queues_are_deleted_declares_them_and_goes_on() {
    let stack = Stack::new(&[]).await;
    let consumer = Held::new(&stack, 2).await;
    let mut poller = stack.poller().await;
    stack.delete_all_queues().await;
    stack.due_rows(1).await;
    eventually("a job is handed out", async || {
        poller.poller.tick().await.expect("tick");
        consumer.began(Lane::Live) > 0
    })
    .await;
    consumer.stop().await;
}
