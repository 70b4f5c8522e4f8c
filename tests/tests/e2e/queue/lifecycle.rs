//! A poller as a worker: starts before its servers, wakes at once, says who it is, stops.

use std::sync::Arc;
use std::time::Duration;

use tenant_sync_core::config::Config;
use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::queue::names::Queue;
use tenant_sync_tests::proxy::Proxy;
use tokio_util::sync::CancellationToken;

use super::stack::{Stack, eventually};

struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn start(config: &Arc<Config>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(tenant_sync_poller::run(Arc::clone(config), stop.clone()));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("stops cleanly");
    }
}

async fn heartbeats(stack: &Stack) -> i64 {
    let text = r#"select count(*) from "WorkerHeartbeat" where kind = 'poller'"#;
    stack.sql.query_one(text, &[]).await.expect("heartbeat").get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_sleeps_until_it_is_woken() {
    let stack = Stack::new(&[("poller.poll_interval", "10m")]).await;
    let running = Running::start(&stack.config);
    eventually("it runs", async || heartbeats(&stack).await == 1).await;
    let listening = "select count(*) from pg_stat_activity where datname = current_database()
                     and query = 'listen tenant_sync_due' and state = 'idle'";
    eventually("it listens", async || {
        stack.sql.query_one(listening, &[]).await.expect("activity").get::<_, i64>(0) == 1
    })
    .await;
    let tenancy_id = stack.tenancy(1).await;
    let client = stack.session().await;
    for round in 1..=3 {
        outbox::enqueue(&client, &[TargetKey { tenancy_id, database_id: "t0".into() }], None)
            .await
            .expect("ask");
        outbox::notify(&client).await.expect("notify");
        eventually("it was claimed", async || stack.count(&format!("claim = {round}")).await == 1).await;
        let reset = r#"update "OutgoingRequest" set "startedFulfillingAt" = null, "dueAt" = now()"#;
        stack.sql.execute(reset, &[]).await.expect("reset");
    }
    running.stop().await;
    assert_eq!(heartbeats(&stack).await, 0, "it says goodbye");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_starts_before_its_servers_and_survives_the_loss_of_both() {
    let mut stack = Stack::new(&[]).await;
    let (postgres, amqp) = behind_proxies(&mut stack).await;
    postgres.refuse();
    amqp.refuse();
    let running = Running::start(&Arc::new(stack.kit.config()));
    stack.due_rows(5).await;
    postgres.pass();
    eventually("it has found Postgres", async || heartbeats(&stack).await == 1).await;
    assert_eq!(stack.count("claim = 0").await, 5, "there is no broker yet");
    amqp.pass();
    eventually("it claims", async || stack.count("claim = 1").await == 5).await;
    eventually("it publishes", async || stack.ready(Queue::Live).await == 5).await;
    assert_eq!(stack.drain(Queue::Live).await.len(), 5);

    postgres.cut();
    amqp.cut();
    stack.sql.execute(r#"delete from "OutgoingRequest""#, &[]).await.expect("delete");
    stack.due_rows(5).await;
    postgres.pass();
    amqp.pass();
    eventually("it publishes again", async || stack.ready(Queue::Live).await == 5).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pass_reports_what_it_did_and_leaves_no_trace() {
    let stack = Stack::new(&[]).await;
    stack.due_rows(3).await;
    let tenancy = stack.tenancy(2).await;
    stack.sql.execute("select enqueue_tenant_sync($1)", &[&tenancy]).await.expect("ask");
    let report =
        tenant_sync_poller::once(Arc::clone(&stack.config), CancellationToken::new()).await.expect("pass");
    let json = serde_json::to_value(&report).expect("json");
    let expected = serde_json::json!({
        "enabled": true, "claimed": 5, "published": 5, "givenBack": 0, "foldedAsks": 2, "visits": 0, "woken": 0,
    });
    assert_eq!(json, expected);
    assert_eq!(heartbeats(&stack).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_cannot_reach_its_servers_stops_when_asked() {
    let mut stack = Stack::new(&[]).await;
    let (postgres, amqp) = behind_proxies(&mut stack).await;
    postgres.hold();
    amqp.hold();
    let running = Running::start(&Arc::new(stack.kit.config()));
    tokio::time::timeout(Duration::from_secs(5), running.stop()).await.expect("stops");
}

async fn behind_proxies(stack: &mut Stack) -> (Proxy, Proxy) {
    let postgres = Proxy::for_url(stack.kit.internal().url()).await;
    let amqp = Proxy::for_url(stack.kit.vhost().url()).await;
    let (database_url, amqp_url) =
        (postgres.url(stack.kit.internal().url()), amqp.url(stack.kit.vhost().url()));
    stack.kit.set("database.url", database_url);
    stack.kit.set("database.connect_timeout", "1s");
    stack.kit.set("rabbitmq.url", amqp_url);
    (postgres, amqp)
}
