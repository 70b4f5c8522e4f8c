//! Somebody locks a whole table of the source (TRUNCATE, ALTER TABLE) and takes his time.

use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;

use super::road::{first_sync, quiet_stack};

async fn has_said(worker: &Worker, sentence: &str) {
    eventually(SOON, sentence, async || {
        if worker.logs().matching(sentence).is_empty() { Err("not yet") } else { Ok(()) }
    })
    .await;
}

/// Passes and turns give up soon, again and again, and hold nothing meanwhile; the target is not blamed for it.
#[tokio::test]
async fn a_locked_table_stops_nothing_for_longer_than_its_lock() {
    let stack = quiet_stack().await;
    let sequencer = stack.sequencer().allow("a pass failed").start().await;
    let _poller = stack.poller().start().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.user("old").await;
    first_sync(&stack, &target).await;

    let patient = stack.sync_worker().set("database.statement_timeout", "10m");
    let worker = patient.allow("a turn failed on our side").start().await;
    let mut application = stack.internal().connect().await;
    let open = application.transaction().await.expect("begin");
    open.batch_execute(r#"truncate "ProjectUser" cascade"#).await.expect("truncates");
    has_said(&sequencer, "a pass failed").await;
    target.try_now().await;
    has_said(&worker, "a turn failed on our side").await;
    let blamed = r#"select "state", "consecutiveFailures" from "ExternalDatabase""#;
    assert_eq!(tenant.value(blamed).await, "ok|0");
    assert_eq!(target.value("select count(*) from users").await, "1");
    let hasty = stack.sync_worker().set("database.statement_timeout", "1s");
    let mut late = hasty.allow("cannot be checked yet").spawn();
    has_said(&late, "cannot be checked yet").await;

    open.commit().await.expect("commit");
    late.wait_ready().await;
    target.shows("select count(*) from users", &["0"]).await;
    target.caught_up().await;
    stack.settled().await;
}
