//! Requests with the same key go one after the other.

use std::collections::HashMap;

use serde_json::Value;
use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::{Behaviour, Received, Receiver};

use super::{FAILS, SOON, road, stack};

/// The number of an event.
pub(super) fn number(received: &Received) -> usize {
    let body: Value = serde_json::from_str(&received.body).expect("JSON");
    usize::try_from(body["data"]["n"].as_u64().expect("a number")).expect("small")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_waits_for_its_first_request_and_no_other_key_does() {
    let stack =
        stack(&[("requests.retry_schedule", &["150ms"; 40].join(",")), ("requests.breaker_samples", "1000")])
            .await;
    let receiver = Receiver::start().await;
    // The first one stays until a second one is there, which can only be another key's.
    receiver.next([Behaviour::InCompany]);
    receiver.next((0..300).map(|n| Behaviour::Status(if n % 3 == 0 { 500 } else { 200 })));
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let _road = road(&stack, &[FAILS]).await;
    for first in [0, 100, 200] {
        endpoint.send(first, 100, 7).await;
    }
    endpoint.drained(SOON).await;
    let mut last: HashMap<usize, usize> = HashMap::new();
    for received in receiver.received() {
        let n = number(&received);
        let before = last.insert(n % 7, n);
        // The same one again, or the next of its key.
        assert!(before.is_none_or(|before| before == n || before + 7 == n), "{n} came after {before:?}");
    }
    assert!(receiver.most_at_once() > 1, "keys go side by side");
    assert!(endpoint.counts().await.starts_with("0|0|300|"), "{}", endpoint.counts().await);
}
