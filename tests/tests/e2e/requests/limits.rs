//! Parallelism, rate and breaker of one destination.

use std::time::Duration;

use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::{Behaviour, Receiver};

use super::{FAILS, SOON, road, stack, until};

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_under_way_than_the_destination_wants() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    receiver.behave(Behaviour::Slow(Duration::from_millis(50)));
    let endpoint = Endpoint::register(&stack, &receiver.url(), r#""parallelism" = 3"#).await;
    let _road = road(&stack, &[]).await;
    endpoint.send(0, 30, 0).await;
    endpoint.drained(SOON).await;
    assert_eq!((receiver.count(), receiver.most_at_once()), (30, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), r#""ratePerSecond" = 10"#).await;
    let _road = road(&stack, &[]).await;
    endpoint.send(0, 21, 0).await;
    endpoint.drained(SOON).await;
    let received = receiver.received();
    let took = received[20].at.duration_since(received[0].at);
    assert!(took >= Duration::from_millis(1_900), "20 more at 10 a second in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_below_one_a_second_waits_in_the_row() {
    let stack = stack(&[]).await;
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), r#""ratePerSecond" = 0.4"#).await;
    let _road = road(&stack, &[]).await;
    endpoint.send(0, 2, 0).await;
    let resting = r#"select count(*) from "OutgoingRequest" where kind = 'delivery' and "startedFulfillingAt" is null
                     and "dueAt" > now()"#;
    until("the destination to rest", async || stack.internal().value(resting).await == "1").await;
    assert_eq!(receiver.count(), 1);
    assert_eq!(
        endpoint.standing(r#"state, "nextAttemptAt" is null"#).await,
        "ok|t",
        "nothing is wrong with it"
    );
    endpoint.drained(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_probes_and_closes() {
    let stack = stack(&[
        ("requests.breaker_samples", "3"),
        ("requests.breaker_base", "400ms"),
        ("requests.breaker_max", "800ms"),
        ("requests.retry_schedule", &["100ms"; 100].join(",")),
    ])
    .await;
    let receiver = Receiver::start().await;
    receiver.behave(Behaviour::Status(502));
    let endpoint = Endpoint::register(&stack, &receiver.url(), r#""parallelism" = 4"#).await;
    let road = road(&stack, &[FAILS]).await;
    endpoint.send(0, 100, 0).await;
    until("the breaker to open", async || endpoint.standing("state").await == "broken").await;
    let before = receiver.count();
    assert!(before <= 8, "{before} requests before it opened");
    until("some probes", async || receiver.count() >= before + 3).await;
    let probes = receiver.received();
    let probes = &probes[before..before + 3];
    for pair in probes.windows(2) {
        let pause = pair[1].at.duration_since(pair[0].at);
        assert!(pause >= Duration::from_millis(190), "probes come one by one, {pause:?} apart");
    }
    receiver.behave(Behaviour::Status(200));
    endpoint.drained(SOON).await;
    assert_eq!(endpoint.standing(r#"state, "consecutiveFailures", "nextAttemptAt" is null"#).await, "ok|0|t");
    assert!(!road.worker.logs().matching("a destination works again").is_empty());
}
