//! HTTP requests: the whole road against a bare loop, one request for each of many destinations, the time to arrive, and one
//! black hole among twenty endpoints.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::receiver::{Behaviour, Receiver};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;
use tokio_postgres::Client;

use super::bare;
use super::cost::{Cost, Counters};

/// Long enough that beginning and end, which take a tenth of a second, are no part of what is measured.
const REQUESTS: usize = 300_000;
const AT_ONCE: usize = 32;
const ROUNDS: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Destinations that have one request each.
const DESTINATIONS: usize = 20_000;
const ENDPOINTS: usize = 20;
const SAMPLES: usize = 300;
const DEADLINE: Duration = Duration::from_secs(300);

/// Measures, prints, and returns the section of the report.
pub(crate) async fn measure() -> Value {
    // In turn, so that both see the same machine; the best of each.
    let (mut rounds, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bares.push(bare_loop().await);
        rounds.push(whole_road().await);
    }
    let best = |a: f64, b: f64| a.max(b);
    let bare = bares.iter().map(|took| took.per_second).fold(f64::MIN, best);
    let ours = rounds.iter().map(|(per_second, _)| *per_second).fold(f64::MIN, best);
    let ratio = ours / bare;
    for (took, (per_second, cost)) in bares.iter().zip(&rounds) {
        println!(
            "  a round: {per_second:.0} a second, {}\n    the bare loop {:.0} a second, CPU a request in us: {:.1}",
            cost.line(),
            took.per_second,
            took.cpu_micros
        );
    }
    println!(
        "HTTP requests, {REQUESTS} to one fast local server, {AT_ONCE} at once: {ours:.0} a second, a bare loop {bare:.0}   ratio {ratio:.2} (goal 0.6)"
    );
    let (each_per_second, each_cost) = one_each().await;
    println!(
        "HTTP requests, {DESTINATIONS} that go to as many destinations: {each_per_second:.0} a second\n  {}",
        each_cost.line()
    );
    let alone = arrivals(false).await;
    let beside = arrivals(true).await;
    let slower = percentile(&beside, 99) / percentile(&alone, 99);
    println!(
        "HTTP request on an idle system, commit to arrival, {SAMPLES} samples over {ENDPOINTS} endpoints\n  p50 {:.0} ms   p90 {:.0} ms   p99 {:.0} ms (goal 100)   max {:.0} ms",
        percentile(&alone, 50),
        percentile(&alone, 90),
        percentile(&alone, 99),
        percentile(&alone, 100)
    );
    println!(
        "  with one of them a black hole: p50 {:.0} ms   p99 {:.0} ms   ratio of p99 {slower:.2} (goal 1.5)",
        percentile(&beside, 50),
        percentile(&beside, 99)
    );
    let summary = |samples: &[f64]| {
        json!({"samples": samples.len(), "p50Millis": percentile(samples, 50), "p90Millis": percentile(samples, 90),
               "p99Millis": percentile(samples, 99), "maxMillis": percentile(samples, 100)})
    };
    json!({
        "throughput": {"requests": REQUESTS, "atOnce": AT_ONCE, "oursPerSecond": ours, "barePerSecond": bare, "ratio": ratio,
            "costs": rounds.iter().map(|(_, cost)| cost.json()).collect::<Vec<_>>()},
        "oneEach": {"requests": DESTINATIONS, "perSecond": each_per_second, "costs": each_cost.json()},
        "idle": summary(&alone), "besideABlackHole": summary(&beside), "p99Ratio": slower,
    })
}

fn percentile(samples: &[f64], p: usize) -> f64 {
    samples[(samples.len() * p / 100).min(samples.len() - 1)]
}

async fn workers(stack: &Stack) -> (Worker, Worker) {
    let poller = stack.poller().start().await;
    let worker = stack.request_worker().allow("a destination fails").start().await;
    (poller, worker)
}

async fn stack() -> Stack {
    Stack::plan().externals(0).template(Template::Engine).start().await
}

/// The same number of requests with the same body by nothing but `reqwest`.
async fn bare_loop() -> bare::Took {
    let receiver = Receiver::start().await;
    receiver.keep_nothing();
    let took = bare::run(&receiver.url(), REQUESTS, AT_ONCE).await;
    assert_eq!(receiver.count(), REQUESTS);
    took
}

/// From the commit of all events until each is delivered, logged and gone from the outbox.
async fn whole_road() -> (f64, Cost) {
    let stack = stack().await;
    let receiver = Receiver::start().await;
    receiver.keep_nothing();
    let endpoint =
        Endpoint::register(&stack, &receiver.url(), &format!(r#""parallelism" = {AT_ONCE}"#)).await;
    let (poller, worker) = workers(&stack).await;
    let client = stack.internal().connect().await;
    let events = endpoint.events(0, REQUESTS, 0);
    client.batch_execute(&events).await.expect("commits");
    let began = Instant::now();
    let processes =
        [("request-worker", worker.pid()), ("poller", poller.pid()), ("receiver", std::process::id())];
    let before = Counters::read(&client, &processes).await;
    let took = settled(&client, &receiver, REQUESTS, began).await;
    let cost = before.until(&Counters::read(&client, &processes).await, REQUESTS);
    assert_eq!(endpoint.counts().await, format!("0|0|{REQUESTS}|0"));
    (REQUESTS as f64 / took.as_secs_f64(), cost)
}

/// From the commit of one event for each of many destinations until each is delivered, logged and gone from the outbox.
async fn one_each() -> (f64, Cost) {
    let stack = stack().await;
    let receiver = Receiver::start().await;
    receiver.keep_nothing();
    Endpoint::register_many(&stack, &receiver.url(), DESTINATIONS).await;
    let (poller, worker) = workers(&stack).await;
    let client = stack.internal().connect().await;
    client.batch_execute("vacuum analyze").await.expect("statistics");
    let processes =
        [("request-worker", worker.pid()), ("poller", poller.pid()), ("receiver", std::process::id())];
    let events = r#"
with made as (
    insert into "OutgoingRequest" (kind, "destinationId", position, "eventType", body)
    select 'http', id, nextval('outgoing_request_seq'), 'test.event',
        json_build_object('type', 'test.event', 'timestamp', now(), 'data', json_build_object('n', 1))
    from "HttpDestination")
insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
select 'deliveryAsk', id, pg_current_xact_id() from "HttpDestination""#;
    client.batch_execute(events).await.expect("commits");
    let began = Instant::now();
    let before = Counters::read(&client, &processes).await;
    let took = settled(&client, &receiver, DESTINATIONS, began).await;
    let cost = before.until(&Counters::read(&client, &processes).await, DESTINATIONS);
    (DESTINATIONS as f64 / took.as_secs_f64(), cost)
}

/// From `began` until so many requests have arrived, once each, and the outbox is empty.
async fn settled(client: &Client, receiver: &Receiver, requests: usize, began: Instant) -> Duration {
    let left = r#"select exists (select from "OutgoingRequest")"#;
    // The database is not asked before the last one has arrived: looking costs it something, too.
    while receiver.count() < requests || client.query_one(left, &[]).await.expect("looks").get(0) {
        assert!(began.elapsed() < DEADLINE, "{} of {requests} requests have arrived", receiver.count());
        tokio::time::sleep(LOOK_EVERY).await;
    }
    assert_eq!(receiver.count(), requests);
    began.elapsed()
}

/// Commit to arrival in milliseconds, sorted, one request at a time over the good endpoints.
async fn arrivals(with_a_black_hole: bool) -> Vec<f64> {
    let stack = stack().await;
    let (receiver, hole) = (Receiver::start().await, Receiver::start().await);
    hole.behave(Behaviour::Silent);
    let mut endpoints = Vec::new();
    for _ in 0..ENDPOINTS {
        endpoints.push(Endpoint::register(&stack, &receiver.url(), "").await);
    }
    let dead = Endpoint::register(&stack, &hole.url(), "").await;
    if with_a_black_hole {
        endpoints.pop();
        dead.send(0, 10_000, 0).await;
    }
    let _workers = workers(&stack).await;
    if with_a_black_hole {
        eventually(DEADLINE, "the black hole to be called", async || {
            if hole.count() > 0 { Ok(()) } else { Err("not yet") }
        })
        .await;
    }
    let client = stack.internal().connect().await;
    let mut samples = Vec::new();
    for n in 0..SAMPLES {
        let before = receiver.count();
        client.batch_execute(&endpoints[n % endpoints.len()].events(n, 1, 0)).await.expect("commits");
        let began = Instant::now();
        while receiver.count() == before {
            assert!(began.elapsed() < Duration::from_secs(30), "a request did not arrive");
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        samples.push(began.elapsed().as_secs_f64() * 1000.0);
        tokio::time::sleep(Duration::from_millis(20 + rand::random::<u64>() % 60)).await;
    }
    samples.sort_by(f64::total_cmp);
    samples
}
