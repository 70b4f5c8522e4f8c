//! The broker goes, comes back, loses its queues; a poller dies on the way; an operator throws the switch.

use std::time::{Duration, Instant};

use tenant_sync_core::outbox::{self, Held};
use tenant_sync_core::queue::names::Queue;
use tenant_sync_poller::{Handed, Tick};
use tenant_sync_tests::broker::PrivateBroker;
use tenant_sync_tests::proxy::Proxy;
use tenant_sync_tests::stack::Stack as Kit;
use tenant_sync_tests::template::Template;

use super::stack::{Stack, eventually};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn deleting_every_queue_gives_back_and_heals() {
    let stack = Stack::new(&[]).await;
    stack.due_rows(300).await;
    let mut poller = stack.poller().await;
    stack.delete_all_queues().await;
    let Tick::Claimed(handed) = poller.poller.tick().await.expect("tick") else { panic!("nothing claimed") };
    assert_eq!(handed, Handed { claimed: 300, published: 0, given_back: 300, more: false });
    assert_eq!(stack.count(r#""startedFulfillingAt" is null and attempts = 0"#).await, 300);
    poller.until_up().await;
    let Tick::Claimed(handed) = poller.poller.tick().await.expect("tick") else { panic!("nothing claimed") };
    assert_eq!(handed, Handed { claimed: 300, published: 300, given_back: 0, more: false });
    assert_eq!(stack.ready(Queue::Live).await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_nothing_is_claimed_and_afterwards_everything_is() {
    let mut stack = Stack::new(&[]).await;
    let proxy = Proxy::for_url(stack.kit.vhost().url()).await;
    proxy.refuse();
    let url = proxy.url(stack.kit.vhost().url());
    stack.kit.set("rabbitmq.url", url);
    let mut poller = stack.poller_on(&stack.kit.config());
    stack.due_rows(50).await;
    assert_eq!(poller.poller.tick().await.expect("tick"), Tick::NoBroker);
    assert_eq!(stack.count("claim = 0").await, 50);
    proxy.pass();
    poller.until_up().await;
    assert!(matches!(poller.poller.tick().await.expect("tick"), Tick::Claimed(Handed { published: 50, .. })));

    // Gone in the middle of the day: seen without publishing, and back.
    proxy.cut();
    eventually("the loss is noticed", async || !poller.publisher.is_up()).await;
    stack.due_rows(50).await;
    assert_eq!(poller.poller.tick().await.expect("tick"), Tick::NoBroker);
    proxy.pass();
    poller.until_up().await;
    assert!(matches!(poller.poller.tick().await.expect("tick"), Tick::Claimed(Handed { published: 50, .. })));
}

/// The broker accepts everything and answers nothing: each publish has a deadline, and nothing stays claimed.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_falls_silent_costs_one_deadline() {
    let mut stack = Stack::new(&[]).await;
    let proxy = Proxy::for_url(stack.kit.vhost().url()).await;
    let url = proxy.url(stack.kit.vhost().url());
    stack.kit.set("rabbitmq.url", url);
    let mut poller = stack.poller_on(&stack.kit.config());
    poller.until_up().await;
    stack.due_rows(1_000).await;
    proxy.hold_answers();
    let began = Instant::now();
    let Tick::Claimed(handed) = poller.poller.tick().await.expect("tick") else { panic!("nothing claimed") };
    assert_eq!((handed.published, handed.given_back), (0, 1_000));
    assert!(began.elapsed() < Duration::from_secs(8), "256 at a time would be four deadlines");
    proxy.cut_connections();
    proxy.pass();
    poller.until_up().await;
    let Tick::Claimed(handed) = poller.poller.tick().await.expect("tick") else { panic!("nothing claimed") };
    assert_eq!((handed.published, handed.given_back), (1_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_or_wiped_loses_no_request() {
    if !PrivateBroker::available() {
        return;
    }
    let mut broker = PrivateBroker::start().await;
    let kit = Kit::plan()
        .externals(0)
        .template(Template::Engine)
        .broker(broker.amqp_url(), broker.management_url())
        .start()
        .await;
    let stack = Stack::on(kit, &[("poller.claim_lease", "2s")]).await;
    let mut worker = stack.kit.poller().allow("lost RabbitMQ").allow("not published").start().await;
    stack.due_rows(100).await;
    eventually("they are queued", async || stack.ready(Queue::Live).await == 100).await;

    broker.kill9();
    stack.due_rows(100).await;
    // Claims of the first hundred lapse meanwhile, and nobody claims what cannot be published.
    eventually("all wait in the table", async || stack.count(r#""dueAt" <= now()"#).await == 200).await;
    broker.launch().await;
    eventually("all are queued again", async || stack.ready(Queue::Live).await >= 200).await;

    broker.wipe();
    broker.launch().await;
    let management = broker.management();
    management.put_vhost(stack.kit.vhost().name()).await.expect("vhost");
    eventually("all are queued in the new one", async || stack.ready(Queue::Live).await == 200).await;
    assert_eq!(stack.count("attempts = 0").await, 200);
    worker.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thrown_switch_is_honoured_within_a_second() {
    let stack = Stack::new(&[]).await;
    let mut poller = stack.poller().await;
    assert_eq!(poller.poller.tick().await.expect("tick"), Tick::Idle);
    for (enabled, expected) in [(false, Tick::SwitchedOff), (true, Tick::Idle)] {
        let throw = r#"update "Fusebox" set "pollerEnabled" = $1"#;
        stack.sql.execute(throw, &[&enabled]).await.expect("throw");
        let thrown = Instant::now();
        while poller.poller.tick().await.expect("tick") != expected {
            assert!(thrown.elapsed() < Duration::from_secs(1), "not honoured");
        }
    }
    stack.sql.execute(r#"delete from "Fusebox""#, &[]).await.expect("delete");
    assert_eq!(poller.poller.tick().await.expect("tick"), Tick::Idle);
}

/// Dies after the broker has the messages and before anything else happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_dies_after_publishing_loses_nothing() {
    let stack = Stack::new(&[("poller.claim_lease", "5s")]).await;
    stack.due_rows(10).await;
    let mut first = stack.kit.poller().failpoint("poller.after_publish=abort").spawn();
    assert!(!first.wait_exit(Duration::from_secs(30)).await.success());
    assert_eq!(stack.count("claim = 1").await, 10);

    let mut poller = stack.poller().await;
    eventually("all were claimed again", async || {
        poller.poller.tick().await.expect("tick");
        stack.count("claim = 2").await == 10
    })
    .await;
    let client = stack.session().await;
    let row = stack.sql.query_one(r#"select id from "OutgoingRequest" limit 1"#, &[]).await.expect("row");
    let stale = Held { request_id: row.get(0), claim: 1 };
    assert_eq!(outbox::take(&client, stale, "w", HOUR).await.expect("take"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_only_seemed_to_fail_leaves_a_running_row_alone() {
    let stack = Stack::new(&[]).await;
    stack.due_rows(2).await;
    stack.poller().await.poller.tick().await.expect("tick");
    let client = stack.session().await;
    let rows = stack.sql.query(r#"select id, "tenancyId", "databaseId" from "OutgoingRequest""#, &[]).await;
    let claims: Vec<_> = rows
        .expect("rows")
        .iter()
        .map(|row| outbox::Claim {
            request_id: row.get(0),
            claim: 1,
            target: outbox::TargetKey { tenancy_id: row.get(1), database_id: row.get(2) },
            lane: outbox::Lane::Live,
            traceparent: None,
        })
        .collect();
    let held = Held { request_id: claims[0].request_id, claim: 1 };
    outbox::take(&client, held, "w", HOUR).await.expect("take").expect("ours");
    assert_eq!(outbox::give_back_unpublished(&client, &claims).await.expect("give back"), 1);
    assert_eq!(stack.count(r#""runningSince" is not null"#).await, 1);
}
