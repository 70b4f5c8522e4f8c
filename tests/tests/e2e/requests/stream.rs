//! Many requests of one destination: nobody waits for a settlement, and nothing is sent twice for it.

use std::collections::HashSet;
use std::time::Duration;

use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::Receiver;
use tenant_sync_tests::stack::Stack;

use super::{SOON, road, stack, until};

/// Until everything is well again, on a busy machine.
const HEALED: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn sending_and_reading_go_on_while_a_settlement_waits() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 4_000, 0).await;
    let hold = stack.hold("requests.before_settle@1");
    let _poller = stack.poller().start().await;
    let worker = stack.request_worker().failpoint(hold.failpoint()).start().await;
    hold.reached().await;
    until("more to arrive than one read holds", async || receiver.count() > 1_200).await;
    assert!(endpoint.counts().await.starts_with("4000|0|0|"), "nothing is settled");
    hold.release();
    endpoint.drained(SOON).await;
    assert_eq!(endpoint.counts().await, "0|0|4000|0");
    let received = receiver.received();
    let ids: HashSet<&str> = received.iter().map(|r| r.id()).collect();
    assert_eq!((received.len(), ids.len()), (4_000, 4_000), "each once");
    drop(worker);
}

/// Whether more is there is asked when the turn ends, so nobody has to be told to come back for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_a_turn_is_over_is_sent_in_it() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 1, 0).await;
    let hold = stack.hold("requests.before_end@1");
    let mut poller = stack.poller().start().await;
    let _worker = stack.request_worker().failpoint(hold.failpoint()).start().await;
    hold.reached().await;
    poller.terminate().await;
    assert_eq!(endpoint.counts().await, "0|0|1|0");
    endpoint.send(1, 1, 0).await;
    hold.release();
    until("it to be sent without a poller", async || endpoint.counts().await == "0|0|2|0").await;
    until("the delivery row to be gone", async || {
        let turns = r#"select count(*) from "OutgoingRequest" where kind = 'delivery'"#;
        stack.internal().value(turns).await == "0"
    })
    .await;
}

/// What comes again is what was not settled, and that is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_a_stream_loses_nothing_and_repeats_a_bounded_part() {
    let stack = stack(&[("requests.run_lease", "3s"), ("poller.claim_lease", "3s")]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 5_000, 0).await;
    let _poller = stack.poller().start().await;
    let mut dying = stack.request_worker().failpoint("requests.before_settle=abort@3").spawn();
    let _ = dying.wait_exit(HEALED).await;
    let before = receiver.count();
    dying.clear_failpoints();
    dying.launch_again();
    endpoint.drained(HEALED).await;
    let ids: HashSet<String> = receiver.received().iter().map(|r| r.id().to_owned()).collect();
    assert_eq!(ids.len(), 5_000);
    assert!(before > 0 && receiver.count() > 5_000, "what was not settled came again");
    assert!(receiver.count() <= 5_000 + 3_000, "{}", receiver.count());
    assert!(endpoint.counts().await.starts_with("0|0|5000|"), "{}", endpoint.counts().await);
}

/// What an operator deletes while it is on its way is logged, with all that is known of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_gone_when_it_is_settled_is_logged_all_the_same() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 3, 0).await;
    let hold = stack.hold("requests.before_settle@1");
    let _poller = stack.poller().start().await;
    let _worker = stack.request_worker().failpoint(hold.failpoint()).start().await;
    hold.reached().await;
    until("all to arrive", async || receiver.count() == 3).await;
    stack
        .internal()
        .sql(r#"delete from "OutgoingRequest" where kind = 'http' and body::json -> 'data' ->> 'n' = '1'"#)
        .await;
    hold.release();
    endpoint.drained(SOON).await;
    let logged = r#"select count(*), count(body), min(number), max(status) from "HttpAttempt" where outcome = 'delivered'"#;
    until("it to be settled", async || stack.internal().value(logged).await == "3|2|1|200").await;
}

/// How often a destination went through the queue for these requests.
async fn turns_that_were_not_the_last(settings: &[(&str, &str)]) -> bool {
    let stack: Stack = stack(settings).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 300, 0).await;
    let road = road(&stack, &[]).await;
    endpoint.drained(SOON).await;
    until("the delivery row to be gone", async || {
        stack.internal().value(r#"select count(*) from "OutgoingRequest""#).await == "0"
    })
    .await;
    assert_eq!(receiver.count(), 300);
    !road.worker.metrics().await.contains("tenant_sync_deliveries_total{outcome=\"more\"} 0")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_gives_its_place_up_when_there_is_no_free_one() {
    assert!(
        turns_that_were_not_the_last(&[("requests.turn_rows", "50"), ("requests.concurrency", "1")]).await
    );
    assert!(
        !turns_that_were_not_the_last(&[("requests.turn_rows", "50")]).await,
        "nobody waits for its place"
    );
}
