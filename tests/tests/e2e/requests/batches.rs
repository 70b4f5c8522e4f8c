//! Several events in one call.

use std::collections::HashSet;

use serde_json::Value;
use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::{Behaviour, Receiver};

use super::signatures::verified;
use super::{FAILS, SOON, road, stack, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_holds_up_to_so_many_events_or_what_came_in_a_while() {
    let stack = stack(&[("requests.retry_schedule", "200ms")]).await;
    let receiver = Receiver::start().await;
    receiver.next([Behaviour::Status(500)]);
    let limits = r#""batchEvents" = 10, "batchWaitMillis" = 1500, "parallelism" = 1"#;
    let endpoint = Endpoint::register(&stack, &receiver.url(), limits).await;
    let _road = road(&stack, &[FAILS]).await;
    endpoint.send(0, 25, 0).await;
    until("the full ones to arrive", async || endpoint.counts().await.contains("|0|20|")).await;
    endpoint.drained(SOON).await;

    let received = receiver.received();
    assert_eq!(received.len(), 4, "three calls, one of them twice");
    assert!(received.iter().any(|again| again.id() == received[0].id() && again.at > received[0].at));
    let calls: HashSet<&str> = received.iter().map(|r| r.id()).collect();
    assert_eq!(calls.len(), 3);
    let mut events = HashSet::new();
    for call in &received {
        verified(&endpoint.secrets[0], call);
        let body: Value = serde_json::from_str(&call.body).expect("JSON");
        let list = body.as_array().expect("an array");
        assert!(list.len() <= 10);
        events.extend(list.iter().map(|event| (event["id"].to_string(), event["data"]["n"].as_u64())));
    }
    assert_eq!(events.len(), 25);
    assert_eq!(endpoint.counts().await, "0|0|25|10");
}
