//! What is asked for otherwise than by a change is a trace, too: visits, wishes of applications and of operators.

use serde_json::json;
use tenant_sync_tests::console::Console;
use tenant_sync_tests::otlp::{Collector, Span};
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

/// The spans from one called `step` to its beginning, once there is one that begins as it should.
async fn way(collector: &Collector, step: &str, begins: (&str, &str)) -> Vec<Span> {
    eventually(SOON, &format!("{step} that begins with {begins:?}"), async || {
        let spans = collector.spans();
        let ways = spans.iter().filter(|span| span.name == step).map(|span| span.way(&spans));
        let mut begun = ways.filter(|way| {
            way.last().is_some_and(|first| (first.service.as_str(), first.name.as_str()) == begins)
        });
        begun.next().ok_or_else(|| format!("{spans:#?}"))
    })
    .await
}

fn names(way: &[Span]) -> Vec<&str> {
    way.iter().map(|span| span.name.as_str()).collect()
}

#[tokio::test]
async fn a_visit_and_a_wish_are_traced_to_their_commit() {
    let mut stack = Stack::start().await;
    let collector = Collector::start().await;
    stack.set("telemetry.otlp_endpoint", collector.endpoint());
    let _workers = stack.start_workers().await;
    let console = Console::start(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    // Who adds a target asks for it; so does who wants it at once, from the command line or a console.
    target.caught_up().await;
    stack.target(tenant.id(), "second", stack.external(0).url(), &["--schema", "second"]).await;
    let added = way(&collector, "commit", ("tenant-sync", "target add")).await;
    assert_eq!(names(&added), ["commit", "sync", "publish", "target add"]);
    stack.settled().await;
    stack.cli().json(&["sync", "now", "--tenancy", &tenant.id().to_string()]).await;
    let asked = way(&collector, "sync", ("tenant-sync", "sync now")).await;
    assert_eq!(names(&asked), ["sync", "publish", "sync now"]);
    assert_eq!(asked[0].attributes["tenant_sync.tenancy"], tenant.id().to_string());
    assert_eq!(asked[2].attributes["tenant_sync.targets"], "2");
    stack.settled().await;
    console.post("…/sync", &json!({ "tenancyId": tenant.id() })).await;
    way(&collector, "sync", ("console", "sync now")).await;
    stack.settled().await;

    let wish = format!("select enqueue_tenant_sync('{}')", tenant.id());
    stack.internal().sql(&wish).await;
    assert_eq!(names(&way(&collector, "sync", ("poller", "asks")).await), ["sync", "publish", "asks"]);
    stack.settled().await;

    stack.internal().sql(r#"update "ExternalDatabase" set "nextVisitAt" = now()"#).await;
    let visited = way(&collector, "commit", ("poller", "visits")).await;
    assert_eq!(names(&visited), ["commit", "sync", "publish", "visits"]);
    assert!(visited.iter().all(|span| span.trace == visited[0].trace), "one trace");
    // A round without a visit is not told.
    let spans = collector.spans();
    let of_nothing = spans.iter().filter(|span| ["visits", "asks"].contains(&span.name.as_str()));
    assert!(of_nothing.clone().all(|span| span.attributes["tenant_sync.targets"] != "0"));
    assert!(of_nothing.count() < 10);
}

#[tokio::test]
async fn what_is_not_sampled_where_it_begins_is_recorded_nowhere() {
    let mut stack = Stack::start().await;
    let collector = Collector::start().await;
    stack.set("telemetry.otlp_endpoint", collector.endpoint());
    let _workers = {
        stack.set("telemetry.sample_ratio", 0.0);
        let sequencer = stack.sequencer().start().await;
        stack.set("telemetry.sample_ratio", 1.0);
        (sequencer, stack.poller().start().await, stack.sync_worker().start().await)
    };
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    stack.settled().await;
    tenant.user("Ada").await;
    target.caught_up().await;
    stack.settled().await;
    let before = collector.spans().len();
    // What comes after it is recorded, and so it would be there.
    stack.cli().json(&["sync", "now", "--tenancy", &tenant.id().to_string()]).await;
    way(&collector, "sync", ("tenant-sync", "sync now")).await;
    let spans = collector.spans();
    assert!(spans.len() > before);
    let commits = spans.iter().filter(|span| span.name == "commit").map(|span| span.way(&spans));
    let begun: Vec<_> = commits.filter_map(|way| way.last().map(|first| first.name.clone())).collect();
    assert!(begun.iter().all(|name| name != "pass" && name != "publish"), "{begun:?}");
}
