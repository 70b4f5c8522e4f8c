//! A destination's turn is a trace over two processes, with a span for each call; its receiver is told nothing of it.

use secrecy::ExposeSecret as _;
use tenant_sync_tests::endpoint::Endpoint;
use tenant_sync_tests::otlp::{Collector, Span};
use tenant_sync_tests::receiver::{Behaviour, Receiver};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::SOON;
use tenant_sync_tests::wait::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn each_call_is_a_span_with_its_status_and_attempt_and_nothing_that_a_url_may_hide() {
    let mut stack = Stack::plan().externals(0).start().await;
    let collector = Collector::start().await;
    stack.set("telemetry.otlp_endpoint", collector.endpoint());
    stack.set("requests.retry_schedule", "10ms,10ms,10ms");
    let _poller = stack.poller().start().await;
    let _worker = stack.request_worker().allow("a destination fails").start().await;
    let receiver = Receiver::start().await;
    receiver.next([Behaviour::Status(500)]);
    let url = format!("{}?token=hunter2", receiver.url());
    let endpoint = Endpoint::register(&stack, &url, "").await;
    endpoint.send(0, 1, 0).await;
    endpoint.drained(SOON).await;

    let calls = eventually(SOON, "both calls", async || {
        let spans = collector.spans();
        let mut calls: Vec<Span> = spans.into_iter().filter(|span| span.name == "call").collect();
        calls.sort_by_key(|call| call.from);
        if calls.len() == 2 { Ok(calls) } else { Err(format!("{calls:#?}")) }
    })
    .await;
    let id = receiver.received()[0].id().to_owned();
    let told = |name: &str| calls.iter().map(|call| call.attributes[name].clone()).collect::<Vec<_>>();
    assert_eq!(told("tenant_sync.request"), [id.clone(), id]);
    assert_eq!(told("tenant_sync.attempt"), ["1", "2"]);
    assert_eq!(told("http.response.status_code"), ["500", "200"]);
    assert_eq!(told("tenant_sync.class"), ["serverError", "delivered"]);
    assert!(!calls[0].error.is_empty() && calls[1].error.is_empty(), "{calls:#?}");

    // The turn is told when it is over.
    let (spans, way) = eventually(SOON, "the turn of the last call", async || {
        let spans = collector.spans();
        let way = calls[1].way(&spans);
        if way.len() == 3 { Ok((spans, way)) } else { Err(format!("{way:#?}")) }
    })
    .await;
    let steps: Vec<_> = way.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect();
    assert_eq!(steps, [("request-worker", "call"), ("request-worker", "deliver"), ("poller", "publish")]);
    assert!(way.iter().all(|span| span.trace == way[0].trace), "one trace");
    for span in &way[1..] {
        assert_eq!(span.attributes["tenant_sync.destination"], endpoint.id.to_string());
    }
    assert_eq!(way[1].attributes["tenant_sync.request"], way[2].attributes["tenant_sync.request"]);
    assert_eq!(way[1].attributes["tenant_sync.outcome"], "done");
    let parts: Vec<_> =
        spans.iter().filter(|span| span.parent == way[1].id).map(|span| span.name.as_str()).collect();
    for step in ["read", "call", "settle"] {
        assert!(parts.contains(&step), "{step}: {parts:?}");
    }
    // Neither the URL nor what signs is in any span, and the receiver, a stranger, is told nothing of our traces.
    let all = format!("{spans:?}");
    for hidden in ["hunter2", "/hook", endpoint.secrets[0].expose_secret()] {
        assert!(!all.contains(hidden), "{hidden} in {all}");
    }
    for received in receiver.received() {
        assert!(received.header("traceparent").is_empty() && received.header("tracestate").is_empty());
    }
}

/// Most turns are of one request: what they do besides is what many tenants pay for.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_of_one_request_reads_calls_and_settles_once() {
    let mut stack = Stack::plan().externals(0).start().await;
    let collector = Collector::start().await;
    stack.set("telemetry.otlp_endpoint", collector.endpoint());
    let receiver = Receiver::start().await;
    let endpoint = Endpoint::register(&stack, &receiver.url(), "").await;
    endpoint.send(0, 1, 0).await;
    let _poller = stack.poller().start().await;
    let _worker = stack.request_worker().start().await;
    // A turn is told after its parts.
    let (turn, spans) = eventually(SOON, "the turn", async || {
        let spans = collector.spans();
        let turn = spans.iter().find(|span| span.name == "deliver").cloned();
        turn.map(|turn| (turn, spans)).ok_or("not told yet")
    })
    .await;
    let mut parts: Vec<_> =
        spans.iter().filter(|span| span.parent == turn.id).map(|span| span.name.as_str()).collect();
    parts.sort_unstable();
    assert_eq!(parts, ["call", "read", "settle"]);
    assert_eq!(turn.attributes["tenant_sync.outcome"], "done");
}
