//! The operator's switches: what is off does nothing within a second, and goes on where it was.

use std::time::{Duration, Instant};

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

/// The promise, and a little for a busy machine.
const HONOURED: Duration = Duration::from_millis(1000);
/// As long again: what is off does nothing in it.
const QUIET: Duration = Duration::from_millis(1500);

async fn throw(stack: &Stack, switch: &str, on: bool) {
    stack.internal().sql(&format!(r#"update "Fusebox" set "{switch}" = {on}"#)).await;
}

/// Time passes while `nothing` stays true of the stack.
async fn for_a_while(nothing: impl AsyncFn() -> bool) {
    let began = Instant::now();
    eventually(QUIET * 10, "time to pass", async || {
        assert!(nothing().await, "something was done although it is switched off");
        if began.elapsed() >= QUIET { Ok(()) } else { Err("not yet") }
    })
    .await;
}

async fn honoured() {
    let began = Instant::now();
    eventually(HONOURED * 2, "the switch to be honoured", async || {
        if began.elapsed() >= HONOURED { Ok(()) } else { Err("not yet") }
    })
    .await;
}

#[tokio::test]
async fn a_sequencer_that_is_switched_off_gives_no_id_after_a_second() {
    let stack = Stack::start().await;
    let _sequencer = stack.sequencer().start().await;
    let tenant = Tenant::create(&stack).await;
    tenant.user("before").await;
    stack.sequenced().await;
    throw(&stack, "sequencerEnabled", false).await;
    honoured().await;
    tenant.user("while it is off").await;
    let pending = r#"select count(*) from "ProjectUser" where "shouldUpdateSequenceId""#;
    for_a_while(async || tenant.value(pending).await == "1").await;
    throw(&stack, "sequencerEnabled", true).await;
    stack.sequenced().await;
}

#[tokio::test]
async fn a_sync_worker_that_is_switched_off_takes_no_job_after_a_second() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.user("before").await;
    target.caught_up().await;
    stack.settled().await;
    throw(&stack, "syncEngineEnabled", false).await;
    honoured().await;
    tenant.user("while it is off").await;
    stack.sequenced().await;
    // The poller is not switched off: the job waits in the queue.
    let queued = r#"select count(*) from "OutgoingRequest" where "startedFulfillingAt" is not null"#;
    eventually(SOON, "the job to be queued", async || {
        let count = tenant.value(queued).await;
        if count == "1" { Ok(()) } else { Err(count) }
    })
    .await;
    let running = r#"select count(*) from "OutgoingRequest" where "runningSince" is not null"#;
    for_a_while(async || tenant.value(running).await == "0").await;
    assert_eq!(target.value("select count(*) from users").await, "1");
    throw(&stack, "syncEngineEnabled", true).await;
    target.caught_up().await;
}
