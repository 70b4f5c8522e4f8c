//! How many series there are does not depend on the number of tenants, targets, triggers and destinations.

use std::collections::BTreeSet;

use tenant_sync_tests::console::Console;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;

use super::exported::series;

/// What the workers export, without the values.
async fn exported(workers: &[&Worker]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (at, worker) in workers.iter().enumerate() {
        let text = worker.metrics().await;
        all.extend(series(&text).into_iter().map(|one| format!("{at} {}{:?}", one.name, one.labels)));
    }
    all
}

/// One tenant whose target is written, and whose endpoint is called.
async fn one(stack: &Stack) {
    let tenant = Tenant::create(stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    stack.internal().sql("select enqueue_http_request('http://127.0.0.1:9/')").await;
    for round in 0..3 {
        tenant.user(&format!("user {round}")).await;
        target.caught_up().await;
    }
}

/// 2,000 tenants, each with a target in some state, progress, a request to sync, a trigger and its destination with a
/// request that waits; and 2,000 users who are to get an id.
const MANY: &str = r#"
insert into "Project" (id) select 'p' || n from generate_series(1, 2000) n;
insert into "Tenancy" (id, "projectId") select gen_random_uuid(), 'p' || n from generate_series(1, 2000) n;
insert into "ExternalDatabase" ("tenancyId", id, state, "nextVisitAt")
select t.id, 'main', (array['ok', 'retrying', 'broken', 'paused', 'refused'])[1 + abs(hashtext(t.id::text)) % 5], now() + interval '1 day'
from "Tenancy" t where t."projectId" like 'p%' and not exists (select from "ExternalDatabase" e where e."tenancyId" = t.id);
insert into "SyncState" ("tenancyId", "databaseId", "mappingName", "mappingVersion", "completeAsOf")
select e."tenancyId", e.id, m, 1, now() from "ExternalDatabase" e, unnest(array['users', 'contact_channels']) m on conflict do nothing;
insert into "OutgoingRequest" (kind, "deduplicationKey", "tenancyId", "databaseId", "dueAt")
select 'sync', 'sync:' || "tenancyId" || ':main', "tenancyId", id, now() + interval '1 day' from "ExternalDatabase"
on conflict do nothing;
insert into "HttpDestination" (id, origin, state, "nextAttemptAt")
select gen_random_uuid(), 'http://h' || n || '.invalid', (array['ok', 'retrying', 'broken'])[1 + n % 3], now() + interval '1 day' from generate_series(1, 2000) n;
insert into "OutgoingRequest" (kind, "destinationId", "dueAt")
select 'delivery', id, now() + interval '1 day' from "HttpDestination" where "nextAttemptAt" is not null;
insert into "ProjectUser" ("tenancyId", "displayName") select id, 'Ada' from "Tenancy" where "projectId" like 'p%'"#;

#[tokio::test]
async fn two_thousand_tenants_are_not_one_series_more_than_one() {
    let stack = Stack::start().await;
    let workers = stack.start_workers().await;
    let request_worker = stack.request_worker().allow("a destination fails").start().await;
    let console = Console::start(&stack).await;
    let all = [&workers.sequencer, &workers.poller, &workers.sync_worker, &request_worker, &console.worker];
    one(&stack).await;
    eventually(SOON, "the request to have failed", async || {
        let text = request_worker.metrics().await;
        if text.contains("tenant_sync_request_seconds_count ") { Ok(()) } else { Err("not yet") }
    })
    .await;

    let before = exported(&all).await;
    assert!(before.len() > 300, "{}", before.len());

    stack.internal().sql(MANY).await;
    stack.sequenced().await;
    eventually(SOON, "all of them to be seen", async || {
        let text = workers.sequencer.metrics().await;
        let seen = |of: &str| {
            let lines = text.lines().filter(|line| line.starts_with(of));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        let (targets, destinations) = (seen("tenant_sync_targets{"), seen("tenant_sync_destinations{"));
        if targets > 2_000.0 && destinations > 2_000.0 {
            Ok(())
        } else {
            Err(format!("{targets}, {destinations}"))
        }
    })
    .await;
    let after = exported(&all).await;
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:#?}");
    eprintln!("{} series of five workers, with 1 tenant and with 2,001", after.len());
}
