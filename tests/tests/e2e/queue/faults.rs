//! The broker goes, comes back, loses its queues; a poller dies on the way; an operator throws the switch.

use std::process::Stdio;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use tenant_sync_core::outbox::{self, Held};
use tenant_sync_core::queue::{Broker, names::Queue};
use tenant_sync_core::worker::failpoint;
use tenant_sync_poller::{Handed, Tick};

use super::gate::Gate;
use super::stack::{Stack, addresses, eventually, through};

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
    stack.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_nothing_is_claimed_and_afterwards_everything_is() {
    let stack = Stack::new(&[]).await;
    let (postgres, amqp) = addresses(&stack.config);
    let gate = Gate::new(amqp, false).await;
    let settings = through(&stack.config, postgres, gate.address);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let gated = stack.config_with(&settings);
    let (publisher, link) =
        tenant_sync_core::queue::publisher(Broker::new(&gated.rabbitmq, "gated").expect("broker"));
    let stop = tokio_util::sync::CancellationToken::new();
    let linked = tokio::spawn(link.run(stop.clone()));
    let fusebox = std::sync::Arc::new(tenant_sync_core::worker::Fusebox::new(stack.internal()));
    let mut poller = tenant_sync_poller::Poller::new(&gated, stack.internal(), fusebox, publisher.clone());

    stack.due_rows(50).await;
    assert_eq!(poller.tick().await.expect("tick"), Tick::NoBroker);
    assert_eq!(stack.count("claim = 0").await, 50);
    gate.set_open(true);
    eventually("connected", || async { publisher.is_up() }).await;
    assert!(matches!(poller.tick().await.expect("tick"), Tick::Claimed(Handed { published: 50, .. })));

    // Gone in the middle of the day: seen without publishing, and back.
    gate.set_open(false);
    eventually("the loss is noticed", || async { !publisher.is_up() }).await;
    stack.due_rows(50).await;
    assert_eq!(poller.tick().await.expect("tick"), Tick::NoBroker);
    gate.set_open(true);
    eventually("connected again", || async { publisher.is_up() }).await;
    assert!(matches!(poller.tick().await.expect("tick"), Tick::Claimed(Handed { published: 50, .. })));
    stop.cancel();
    linked.await.expect("task").expect("stops");
    stack.close().await;
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
    stack.close().await;
}

/// Dies after the broker has the message and before anything else happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_dies_after_publishing_loses_nothing() {
    let stack = Stack::new(&[("POLLER__CLAIM_LEASE", "500ms")]).await;
    stack.due_rows(10).await;
    let status = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "queue::faults::poller_process", "--nocapture"])
        .env("TENANT_SYNC_TEST_POLLER_PROCESS", "1")
        .env("TENANT_SYNC_DATABASE__URL", stack.config.database.url().expose_secret())
        .env("TENANT_SYNC_RABBITMQ__URL", stack.config.rabbitmq.url.expose_secret())
        .env("TENANT_SYNC_POLLER__CLAIM_LEASE", "500ms")
        .env(failpoint::VARIABLE, "poller.after_publish=abort")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .expect("run");
    assert!(!status.success(), "it should have died");
    assert_eq!(stack.count("claim = 1").await, 10);

    let mut poller = stack.poller().await;
    let mut claimed = 0;
    let began = Instant::now();
    while claimed < 10 {
        assert!(began.elapsed() < Duration::from_secs(10), "the claims did not lapse");
        if let Tick::Claimed(handed) = poller.poller.tick().await.expect("tick") {
            claimed += handed.published;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let client = stack.internal().get().await.expect("session");
    let row =
        stack.sql.query_one(r#"select id, claim from "OutgoingRequest" limit 1"#, &[]).await.expect("row");
    let (request_id, claim): (_, i64) = (row.get(0), row.get(1));
    let hour = Duration::from_secs(3600);
    let stale = Held { request_id, claim: claim - 1 };
    assert_eq!(outbox::take(&client, stale, "w", hour).await.expect("take"), None);
    stack.close().await;
}

/// The process of the test above: a poller as its own program runs it.
#[test]
fn poller_process() {
    if std::env::var_os("TENANT_SYNC_TEST_POLLER_PROCESS").is_some() {
        failpoint::init_from_env().expect("failpoints");
        let runtime = tokio::runtime::Runtime::new().expect("runtime");
        let config = tenant_sync_core::config::Config::load(None).expect("configuration");
        let shutdown = tokio_util::sync::CancellationToken::new();
        runtime.block_on(tenant_sync_poller::run(std::sync::Arc::new(config), shutdown)).expect("runs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_only_seemed_to_fail_leaves_a_running_row_alone() {
    let stack = Stack::new(&[]).await;
    stack.due_rows(2).await;
    stack.poller().await.poller.tick().await.expect("tick");
    let client = stack.internal().get().await.expect("session");
    let rows = stack.sql.query(r#"select id, "tenancyId", "databaseId" from "OutgoingRequest""#, &[]).await;
    let claims: Vec<_> = rows
        .expect("rows")
        .iter()
        .map(|row| outbox::Claim {
            request_id: row.get(0),
            claim: 1,
            target: outbox::TargetKey { tenancy_id: row.get(1), database_id: row.get(2) },
            lane: outbox::Lane::Live,
        })
        .collect();
    let held = Held { request_id: claims[0].request_id, claim: 1 };
    outbox::take(&client, held, "w", Duration::from_secs(3600)).await.expect("take").expect("ours");
    assert_eq!(outbox::give_back_unpublished(&client, &claims).await.expect("give back"), 1);
    assert_eq!(stack.count(r#""runningSince" is not null"#).await, 1);
    stack.close().await;
}
