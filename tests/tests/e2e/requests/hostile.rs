//! Receivers that misbehave: each costs what it must, and nobody else anything.

use std::time::{Duration, Instant};

use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::{Behaviour, Receiver};

use super::{FAILS, road, stack, until};
use crate::dial::certificates::Authority;

/// Most memory that a worker may ever have used.
const MEMORY_MAX_KIB: u64 = 250 << 10;

fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_has_its_class_and_its_bounds() {
    let stack = stack(&[("requests.timeout", "2s"), ("requests.retry_schedule", "1h")]).await;
    let elsewhere = Receiver::start().await;
    let location = format!("Location: {}", elsewhere.url());
    let long = "x".repeat(5_000);
    let cases = [
        (Behaviour::Reset, "failed", "broken"),
        (Behaviour::Garbage, "failed", "broken"),
        (Behaviour::Silent, "failed", "timeout"),
        (Behaviour::Slow(Duration::from_secs(60)), "failed", "timeout"),
        (Behaviour::Slow(Duration::from_millis(300)), "delivered", ""),
        (Behaviour::Endless(200), "delivered", ""),
        (Behaviour::Endless(500), "failed", "serverError"),
        (Behaviour::Stalled, "delivered", ""),
        (Behaviour::Answer(302, location.clone(), String::new()), "failed", "redirected"),
        (Behaviour::Answer(307, location, String::new()), "failed", "redirected"),
        (Behaviour::Answer(400, String::new(), long), "failed", "refused"),
        (Behaviour::Status(204), "delivered", ""),
        (Behaviour::Status(429), "failed", "serverError"),
    ];
    let road = road(&stack, &[FAILS]).await;
    let mut endpoints = Vec::new();
    for (behaviour, outcome, class) in cases {
        let receiver = Receiver::start().await;
        receiver.behave(behaviour.clone());
        let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
        endpoint.send(0, 1, 0).await;
        endpoints.push((behaviour, outcome, class, receiver, endpoint));
    }
    for (behaviour, outcome, class, _receiver, endpoint) in &endpoints {
        // An endless answer is not read to the end of the time, but to a number of bytes.
        let longest = if matches!(behaviour, Behaviour::Endless(_)) { 1_900 } else { 10_000 };
        let log = format!(
            r#"select outcome, coalesce("errorClass", ''), octet_length(coalesce("responseExcerpt", '')) <= 1024,
                 "durationMillis" < {longest} from "HttpAttempt" where "destinationId" = '{}'"#,
            endpoint.id
        );
        until(&format!("{behaviour:?}"), async || !stack.internal().rows(&log).await.is_empty()).await;
        assert_eq!(stack.internal().value(&log).await, format!("{outcome}|{class}|t|t"), "{behaviour:?}");
    }
    assert_eq!(elsewhere.count(), 0, "a redirect is not followed");
    let peak = peak_memory_kib(road.worker.pid());
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_certificate_that_is_valid_for_the_name_is_called() {
    let mut stack = stack(&[("requests.retry_schedule", "1h")]).await;
    let (authority, stranger) = (Authority::new("The Root"), Authority::new("Somebody Else"));
    let roots = stack.scratch().path().join("roots.pem");
    std::fs::write(&roots, &authority.root).expect("our own folder");
    stack.set("network.ca_file", roots.display());
    let _road = road(&stack, &[FAILS]).await;
    let good = authority.sign(&["localhost"]);
    let expired = authority.sign_expired(&["localhost"]);
    let unknown = stranger.sign(&["localhost"]);
    let plain = Receiver::start().await;
    let receivers = [
        Receiver::start_tls(&good.chain, &good.key).await,
        Receiver::start_tls(&expired.chain, &expired.key).await,
        Receiver::start_tls(&unknown.chain, &unknown.key).await,
    ];
    let cases = [
        (receivers[0].url_of("localhost"), "delivered|", ""),
        (receivers[0].url(), "failed|tlsFailed", "(localhost): use that one in the URL"),
        (receivers[1].url_of("localhost"), "failed|tlsFailed", "2020"),
        (receivers[2].url_of("localhost"), "failed|tlsFailed", "Somebody Else"),
        (plain.url_of("localhost").replace("http:", "https:"), "failed|timeout", "no connection"),
    ];
    for (url, expected, words) in cases {
        let endpoint = Endpoint::register(&stack, &url, "").await;
        endpoint.send(0, 1, 0).await;
        let log = format!(
            r#"select outcome, "errorClass", error from "HttpAttempt" where "destinationId" = '{}'"#,
            endpoint.id
        );
        until(&url, async || !stack.internal().rows(&log).await.is_empty()).await;
        let found = stack.internal().value(&log).await;
        assert!(found.starts_with(expected) && found.contains(words), "{url}: {found}");
    }
    assert_eq!(receivers.iter().map(Receiver::count).collect::<Vec<_>>(), [1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_requests_for_a_black_hole_delay_nobody() {
    let stack = stack(&[]).await;
    let (hole, receiver) = (Receiver::start().await, Receiver::start().await);
    hole.behave(Behaviour::Silent);
    let dead = Endpoint::register(&stack, &hole.url(), "").await;
    dead.send(0, 10_000, 0).await;
    let mut good = Vec::new();
    for _ in 0..10 {
        good.push(Endpoint::register(&stack, &receiver.url(), "").await);
    }
    let _road = road(&stack, &[FAILS]).await;
    until("the black hole to be called", async || hole.count() >= 8).await;
    let began = Instant::now();
    for endpoint in &good {
        endpoint.send(0, 1, 0).await;
    }
    until("all others to be called", async || receiver.count() == good.len()).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "the black hole's answers take 20 s, the others took {took:?}");
    until("the breaker to open", async || dead.standing("state").await == "broken").await;
    let touched = format!(
        r#"select count(*) from "OutgoingRequest" where kind = 'http' and "destinationId" = '{}' and attempts > 0"#,
        dead.id
    );
    let touched: usize = stack.internal().value(&touched).await.parse().expect("a number");
    assert!(touched <= 16, "{touched} rows were touched");
    assert!(dead.counts().await.starts_with("10000|0|0|"), "{}", dead.counts().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_failing_destinations_leaves_places_to_others() {
    let stack = stack(&[
        ("requests.concurrency", "4"),
        ("requests.timeout", "3s"),
        ("requests.retry_schedule", &["50ms"; 200].join(",")),
        ("requests.breaker_samples", "1000000"),
    ])
    .await;
    let (hole, receiver) = (Receiver::start().await, Receiver::start().await);
    hole.behave(Behaviour::Silent);
    let mut holes = Vec::new();
    for _ in 0..8 {
        let endpoint = Endpoint::register(&stack, &hole.url(), r#""consecutiveFailures" = 1"#).await;
        endpoint.send(0, 50, 0).await;
        holes.push(endpoint);
    }
    let _road = road(&stack, &[FAILS]).await;
    until("holes to be called", async || hole.count() >= 8).await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    let began = Instant::now();
    endpoint.send(0, 1, 0).await;
    until("the good one to be called", async || receiver.count() == 1).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
