//! The internal Postgres: killed, read-only. A fault of ours costs no target an attempt.

use tenant_sync_tests::cluster::{Options, PrivateCluster};
use tenant_sync_tests::database::try_connect;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::wait::eventually;

use super::support::{
    Load, SOON, add_users, allow_lost_servers, answers, becomes_equal, no_private_servers, settled, standing,
    tenant,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_internal_server_may_be_killed_in_the_middle_of_20_000_changes() {
    if no_private_servers() {
        return;
    }
    let mut cluster = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().internal_on(&cluster.url()).start().await;
    stack.set("poller.claim_lease", "2s");
    stack.set("sync.run_lease", "2s");
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    allow_lost_servers(&mut workers);
    let mut load = Load::start(stack.internal().url(), tenancy);
    for steps in [5, 12] {
        load.reached(steps).await;
        cluster.kill9();
        cluster.launch().await;
    }
    load.finished().await;
    becomes_equal(&stack, tenancy, stack.external(0).url()).await;
    settled(&stack).await;
    assert!(
        standing(&stack, "main").await.is_ok_and(|found| found.starts_with("ok|0|")),
        "it costs no attempt"
    );
}

/// How often a table began to be filled.
fn fills(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.contains("filling a table")).count()
}

/// A restart in order is no step back: watermarks stay, nothing is compared.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_restart_of_the_internal_server_fills_nothing() {
    if no_private_servers() {
        return;
    }
    let mut cluster = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().internal_on(&cluster.url()).start().await;
    stack.set("sync.heartbeat", "1s");
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    allow_lost_servers(&mut workers);
    let (inside, outside) = (stack.internal(), stack.external(0).url());
    inside.sql(&add_users(tenancy, 200, "user")).await;
    becomes_equal(&stack, tenancy, outside).await;
    let epochs = r#"select count(*) from "SourceEpoch""#;
    answers(inside.url(), epochs, "1").await;
    // Changes that were written before they had an id would be a reason to compare.
    stack.sequenced().await;
    settled(&stack).await;
    answers(outside, "select bool_or(flagged_rows > 0) from tenant_sync._sync_metadata", "f").await;

    cluster.stop();
    cluster.launch().await;
    answers(inside.url(), epochs, "2").await;
    inside.sql(&add_users(tenancy, 5, "later")).await;
    becomes_equal(&stack, tenancy, outside).await;
    // The target was written in the new epoch.
    let known = r#"select "id" from "SourceEpoch" order by "number" desc limit 1"#;
    let epoch = inside.value(known).await;
    answers(outside, "select epoch from tenant_sync._sync_identity", &epoch).await;
    assert_eq!(fills(&workers.sync_worker.logs().lines()), 2, "two tables, each filled when it was new only");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_internal_server_that_is_read_only_for_a_while_heals_by_itself() {
    if no_private_servers() {
        return;
    }
    let cluster = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().internal_on(&cluster.url()).start().await;
    stack.set("poller.claim_lease", "2s");
    stack.set("sync.run_lease", "2s");
    let tenancy = tenant(&stack).await;
    let mut workers = stack.start_workers().await;
    allow_lost_servers(&mut workers);
    let (inside, outside) = (stack.internal().url(), stack.external(0).url());
    stack.internal().sql(&add_users(tenancy, 200, "user")).await;
    becomes_equal(&stack, tenancy, outside).await;

    cluster.append_conf("default_transaction_read_only = on");
    cluster.reload();
    answers(inside, "show default_transaction_read_only", "on").await;
    // The application may write all the same: as after a failover, some sessions are through before others.
    let application = try_connect(inside).await.expect("connects");
    application.batch_execute("set default_transaction_read_only = off").await.expect("sets");
    application.batch_execute(&add_users(tenancy, 300, "meanwhile")).await.expect("writes");
    let failing = "a pass failed, trying again";
    let logs = workers.sequencer.logs();
    eventually(
        SOON,
        failing,
        async || if logs.matching(failing).is_empty() { Err("no line") } else { Ok(()) },
    )
    .await;
    cluster.append_conf("default_transaction_read_only = off");
    cluster.reload();
    becomes_equal(&stack, tenancy, outside).await;
    settled(&stack).await;
    assert!(
        standing(&stack, "main").await.is_ok_and(|found| found.starts_with("ok|0|")),
        "it costs no attempt"
    );
}
