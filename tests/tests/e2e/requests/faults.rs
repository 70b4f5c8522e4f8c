//! Workers and brokers that die or stop in the middle.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tenant_sync_tests::broker::PrivateBroker;
use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::{Behaviour, Receiver};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::urls;

use super::order::number;
use super::{FAILS, Road, road, stack, until};

/// Until everything is well again, on a busy machine.
const HEALED: Duration = Duration::from_secs(90);
const SHORT_LEASES: [(&str, &str); 2] = [("requests.run_lease", "3s"), ("poller.claim_lease", "3s")];

/// The ids of all events that were committed.
async fn committed(stack: &Stack) -> HashSet<String> {
    let ids =
        r#"select id from "OutgoingRequest" where kind = 'http' union select "requestId" from "HttpAttempt""#;
    stack.internal().rows(ids).await.into_iter().collect()
}

/// Every event at least once, none invented, and of each key the first arrivals in order.
fn check(receiver: &Receiver, committed: &HashSet<String>, keys: usize) {
    let received = receiver.received();
    let arrived: HashSet<String> = received.iter().map(|r| r.id().to_owned()).collect();
    assert_eq!(&arrived, committed);
    let mut seen: HashSet<usize> = HashSet::new();
    let mut last: HashMap<usize, usize> = HashMap::new();
    for n in received.iter().map(number) {
        if seen.insert(n) {
            let before = last.insert(n % keys, n);
            assert!(before.is_none_or(|before| before + keys == n), "{n} came after {before:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_sending_and_settling_loses_nothing_and_keeps_the_order() {
    let stack = stack(&SHORT_LEASES).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let mut road = road(&stack, &[FAILS]).await;
    drop(road.worker);
    endpoint.send(0, 2_000, 10).await;
    let all = committed(&stack).await;
    let mut dying = stack.request_worker().failpoint("requests.before_settle=abort@2").spawn();
    let _ = dying.wait_exit(HEALED).await;
    assert!(receiver.count() > 0 && receiver.count() < 2_000, "{}", receiver.count());
    dying.clear_failpoints();
    dying.launch_again();
    endpoint.drained(HEALED).await;
    check(&receiver, &all, 10);
    assert!(receiver.count() > 2_000, "what was not settled came again");
    assert!(endpoint.counts().await.starts_with("0|0|2000|"), "{}", endpoint.counts().await);
    road.worker = dying;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_moment_is_followed_by_another() {
    let stack = stack(&SHORT_LEASES).await;
    let receiver = Receiver::start().await;
    receiver.behave(Behaviour::Slow(Duration::from_millis(5)));
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let mut road = road(&stack, &[FAILS]).await;
    endpoint.send(0, 1_500, 10).await;
    let all = committed(&stack).await;
    until("it to be busy", async || receiver.count() > 100).await;
    let _second = stack.request_worker().allow(FAILS).start().await;
    road.worker.kill9();
    endpoint.drained(HEALED).await;
    check(&receiver, &all, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_the_middle_loses_nothing() {
    if !PrivateBroker::available() {
        return eprintln!("skipped: this machine has no RabbitMQ");
    }
    let mut broker = PrivateBroker::start().await;
    let mut stack = stack(&SHORT_LEASES).await;
    // This vhost is there again when the node has forgotten what it was told last.
    stack.set("rabbitmq.url", urls::with_path(broker.amqp_url(), "%2f"));
    let receiver = Receiver::start().await;
    receiver.behave(Behaviour::Slow(Duration::from_millis(5)));
    let mut endpoints = Vec::new();
    for _ in 0..5 {
        endpoints.push(Endpoint::register(&stack, &receiver.url(), "").await);
    }
    let mut road = road(&stack, &[FAILS, "lost RabbitMQ, connecting again"]).await;
    for text in ["lost RabbitMQ, connecting again", "not published, giving back"] {
        road.poller.allow(text);
    }
    let send = async |first: usize| {
        for endpoint in &endpoints {
            endpoint.send(first, 300, 0).await;
        }
    };
    send(0).await;
    until("it to be busy", async || receiver.count() > 100).await;
    broker.kill9();
    send(300).await;
    broker.launch().await;
    let all = committed(&stack).await;
    for endpoint in &endpoints {
        endpoint.drained(HEALED).await;
    }
    let arrived: HashSet<String> = receiver.received().iter().map(|r| r.id().to_owned()).collect();
    assert_eq!(arrived.len(), 3_000);
    assert_eq!(arrived, all);
    let Road { poller: _poller, worker } = road;
    assert!(worker.metrics().await.contains("tenant_sync_requests_total{class=\"delivered\"}"));
}

/// Both at the same moment, in the middle of deliveries: each event at least once, none invented, the order of each key kept.
#[tokio::test(flavor = "multi_thread")]
async fn worker_and_broker_killed_together_lose_nothing_and_keep_the_order() {
    if !PrivateBroker::available() {
        return eprintln!("skipped: this machine has no RabbitMQ");
    }
    let mut broker = PrivateBroker::start().await;
    let mut stack = stack(&SHORT_LEASES).await;
    stack.set("rabbitmq.url", urls::with_path(broker.amqp_url(), "%2f"));
    let receivers = [Receiver::start().await, Receiver::start().await, Receiver::start().await];
    let mut endpoints = Vec::new();
    for receiver in &receivers {
        receiver.behave(Behaviour::Slow(Duration::from_millis(5)));
        endpoints.push(Endpoint::register(&stack, &receiver.url(), "").await);
    }
    let mut road = road(&stack, &[FAILS]).await;
    for text in ["lost RabbitMQ, connecting again", "not published, giving back"] {
        road.poller.allow(text);
        road.worker.allow(text);
    }
    let send = async |first: usize| {
        for endpoint in &endpoints {
            endpoint.send(first, 400, 10).await;
            let invented = format!("begin; {}; rollback", endpoint.events(10_000, 50, 10));
            stack.internal().sql(&invented).await;
        }
    };
    send(0).await;
    until("all to be busy", async || receivers.iter().all(|receiver| receiver.count() > 20)).await;
    road.worker.kill9();
    broker.kill9();
    let before: usize = receivers.iter().map(Receiver::count).sum();
    assert!(before < 1_200, "something was still to be sent");
    send(400).await;
    road.worker.launch_again();
    broker.launch().await;
    for endpoint in &endpoints {
        endpoint.drained(HEALED).await;
    }
    for (receiver, endpoint) in receivers.iter().zip(&endpoints) {
        let of_one =
            format!(r#"select "requestId" from "HttpAttempt" where "destinationId" = '{}'"#, endpoint.id);
        let ids: HashSet<String> = stack.internal().rows(&of_one).await.into_iter().collect();
        assert_eq!(ids.len(), 800);
        check(receiver, &ids, 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_gives_back_what_it_holds_and_counts_no_attempt() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    receiver.behave(Behaviour::Silent);
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let mut road = road(&stack, &[]).await;
    endpoint.send(0, 20, 0).await;
    until("some to be under way", async || receiver.count() == 8).await;
    road.worker.terminate().await;
    let given_back = r#"select count(*) filter (where kind = 'delivery' and "runningSince" is null), sum(attempts),
                          count(*) filter (where kind = 'http') from "OutgoingRequest""#;
    assert_eq!(stack.internal().value(given_back).await, "1|0|20");
    assert_eq!(endpoint.counts().await, "20|0|0|0");

    receiver.behave(Behaviour::Status(200));
    road.worker.launch_again();
    endpoint.drained(HEALED).await;
    assert_eq!(endpoint.counts().await, "0|0|20|0");
}
