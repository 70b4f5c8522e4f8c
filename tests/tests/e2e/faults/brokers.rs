//! RabbitMQ: killed, emptied, wiped. The rows in the outbox are the truth.

use tenant_sync_tests::broker::PrivateBroker;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::urls;
use tenant_sync_tests::wait::eventually;

use super::support::{Load, SOON, allow_lost_servers, becomes_equal, settled, standing, tenant};

const QUEUES: [&str; 4] =
    ["tenant-sync.live", "tenant-sync.bulk", "tenant-sync.requests", "tenant-sync.dead"];

#[tokio::test(flavor = "multi_thread")]
async fn all_queues_may_be_deleted_while_running() {
    let mut stack = Stack::start().await;
    stack.set("poller.claim_lease", "2s");
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    allow_lost_servers(&mut workers);
    let mut load = Load::start(stack.internal().url(), tenancy);
    for steps in [4, 8, 12, 16] {
        load.reached(steps).await;
        for queue in QUEUES {
            // It may be gone, or about to be declared again.
            let _ = stack.vhost().management().delete_queue(stack.vhost().name(), queue).await;
        }
    }
    load.finished().await;
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_may_be_killed_and_forget_everything() {
    if !PrivateBroker::available() {
        return eprintln!("skipped: this machine has no RabbitMQ");
    }
    let mut broker = PrivateBroker::start().await;
    let mut stack = Stack::start().await;
    stack.set("poller.claim_lease", "2s");
    // This vhost is there again when the node has forgotten everything.
    stack.set("rabbitmq.url", urls::with_path(broker.amqp_url(), "%2f"));
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    allow_lost_servers(&mut workers);
    let mut load = Load::start(stack.internal().url(), tenancy);
    load.reached(5).await;
    broker.kill9();
    load.reached(10).await;
    broker.launch().await;
    eventually(SOON, "a message to travel again", async || {
        let metrics = workers.sync_worker.metrics().await;
        if metrics.contains("tenant_sync_jobs_total") { Ok(()) } else { Err("no job yet") }
    })
    .await;
    broker.wipe();
    load.finished().await;
    broker.launch().await;
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
    assert!(
        standing(&stack, "main").await.is_ok_and(|found| found.starts_with("ok|0|")),
        "it costs no attempt"
    );
}
