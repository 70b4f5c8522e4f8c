//! One trace from the sequencer's pass to the target's commit, over three processes.

use tenant_sync_tests::otlp::{Collector, Span};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

#[tokio::test]
async fn a_change_is_one_trace_from_its_pass_to_its_commit() {
    let mut stack = Stack::start().await;
    let collector = Collector::start().await;
    stack.set("telemetry.otlp_endpoint", collector.endpoint());
    let workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    stack.settled().await;
    tenant.user("Ada").await;
    target.caught_up().await;

    let commit = eventually(SOON, "a commit that belongs to a pass", async || {
        let spans = collector.spans();
        let of_a_pass = |span: &Span| span.way(&spans).last().is_some_and(|first| first.name == "pass");
        let commit = spans.iter().find(|span| span.name == "commit" && of_a_pass(span));
        commit.cloned().ok_or_else(|| format!("{spans:#?}"))
    })
    .await;
    let spans = collector.spans();
    let way = commit.way(&spans);
    let told: Vec<_> = way.iter().map(|span| (span.service.as_str(), span.name.as_str())).collect();
    assert_eq!(
        told,
        [("sync-worker", "commit"), ("sync-worker", "sync"), ("poller", "publish"), ("sequencer", "pass")]
    );
    assert!(way.iter().all(|span| span.trace == commit.trace), "one trace");
    let pass = &way[3];
    assert!(pass.parent.is_empty() && pass.attributes["tenant_sync.targets"] == "1", "{pass:?}");
    let sync = &way[1];
    assert_eq!(sync.attributes["tenant_sync.tenancy"], tenant.id().to_string());
    assert_eq!(sync.attributes["tenant_sync.target"], "main");
    assert_eq!(sync.attributes["tenant_sync.outcome"], "up_to_date");
    assert_eq!(sync.attributes["tenant_sync.request"], way[2].attributes["tenant_sync.request"]);
    assert!(way.windows(2).all(|pair| pair[1].from <= pair[0].from), "what causes comes first");
    let steps: Vec<_> =
        spans.iter().filter(|span| span.parent == sync.id).map(|span| span.name.as_str()).collect();
    for step in ["session", "lock", "read", "write", "commit"] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
    // A pass that asked for nothing is not told.
    let empty =
        spans.iter().filter(|span| span.name == "pass" && span.attributes["tenant_sync.targets"] == "0");
    assert_eq!(empty.count(), 0);
    let counted = workers.sync_worker.metrics().await;
    assert!(!counted.contains("tenant_sync_trace_spans_total{outcome=\"sent\"} 0"), "{counted}");
}

#[tokio::test]
async fn off_nothing_is_stored_and_the_message_says_that_it_is_not_sampled() {
    let stack = Stack::start().await;
    let tenant = Tenant::create(&stack).await;
    tenant.target(stack.external(0)).add().await;
    let _sequencer = stack.sequencer().start().await;
    tenant.user("Ada").await;
    stack.sequenced().await;
    let stored = r#"select count(*), count(traceparent) from "OutgoingRequest" where kind = 'sync'"#;
    assert_eq!(stack.internal().value(stored).await, "1|0");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_nothing_but_its_spans() {
    let mut stack = Stack::start().await;
    stack.set("telemetry.otlp_endpoint", "http://127.0.0.1:9");
    let mut workers = stack.start_workers().await;
    for worker in [&mut workers.sequencer, &mut workers.poller, &mut workers.sync_worker] {
        worker.allow("the collector of traces takes no spans");
    }
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    for name in ["Ada", "Grace", "Barbara"] {
        tenant.user(name).await;
        target.caught_up().await;
    }
    workers.sync_worker.shows("tenant_sync_trace_spans_total{outcome=\"lost\"}", |lost| lost > 0.0).await;
    // Told once, however many batches are lost.
    assert_eq!(workers.sync_worker.logs().matching("takes no spans").len(), 1);
    workers.sync_worker.terminate().await;
}
