//! 20,000 due rows and no worker: the backlog is not published again and again, and is worked off afterwards.

use std::time::Duration;

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tenant_sync_tests::wait::eventually;

use super::road::{counter, jobs, quiet_stack};

const ROWS: u64 = 20_000;
const QUEUED_MAX: u64 = 500;
const LEASE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_backlog_without_workers_is_published_no_further_than_workers_consume() {
    let mut stack = quiet_stack().await;
    stack.set("poller.max_queued", QUEUED_MAX);
    stack.set("poller.claim_lease", format!("{}s", LEASE.as_secs()));
    let tenants = [Tenant::create(&stack).await, Tenant::create(&stack).await];
    let mut targets = Vec::new();
    for (index, tenant) in tenants.iter().enumerate() {
        tenant.users(1, 30).await;
        for n in 0..4 {
            let id = format!("t{index}{n}");
            targets.push(tenant.target(stack.external(0)).id(&id).schema(&id).add().await);
        }
    }
    // Most of the rows are of targets that were removed meanwhile: a job like any other for the queue.
    stack
        .internal()
        .sql(&format!(
            r#"insert into "OutgoingRequest" ("kind", "deduplicationKey", "tenancyId", "databaseId", "dueAt")
               select 'sync', 'sync:' || t || ':gone', t, 'gone', now() - random() * interval '1 hour'
               from (select gen_random_uuid() as t from generate_series(1, {ROWS})) made"#
        ))
        .await;
    let poller = stack.poller().start().await;
    let began = std::time::Instant::now();
    eventually(LEASE * 20, "three leases to pass", async || {
        let queued = stack.vhost().ready_messages("tenant-sync.live").await.unwrap_or(0);
        assert!(u64::from(queued) <= QUEUED_MAX * 2, "{queued} messages wait in the broker");
        let claimed: u64 = value(&stack, r#"select sum("claim") from "OutgoingRequest""#).await;
        if claimed >= QUEUED_MAX * 4 { Ok(()) } else { Err(format!("{claimed} claims")) }
    })
    .await;
    let leases = began.elapsed().as_secs() / LEASE.as_secs() + 2;
    let published = counter(&poller, "tenant_sync_poller_published_total").await;
    assert!(published <= QUEUED_MAX * leases, "{published} messages in {leases} leases");

    let worker = stack.sync_worker().start().await;
    eventually(Duration::from_secs(180), "the backlog to be worked off", async || {
        let left: u64 = value(&stack, r#"select count(*) from "OutgoingRequest""#).await;
        if left == 0 { Ok(()) } else { Err(format!("{left} rows left")) }
    })
    .await;
    for target in &targets {
        target.caught_up().await;
    }
    let (stale, gone) = (jobs(&worker, "stale").await, jobs(&worker, "no_target").await);
    assert_eq!(gone, ROWS, "each once");
    assert!(stale <= ROWS / 10, "{stale} messages were taken from the queue in vain");
}

async fn value(stack: &Stack, query: &str) -> u64 {
    stack.internal().value(query).await.parse().expect("a number")
}
