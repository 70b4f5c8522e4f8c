//! The row of a request is the truth: asked again while it runs, lapsed, or published twice, nothing is lost and
//! nothing is done twice.

use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

use super::road::{first_sync, jobs, quiet_stack, sequencer_and_poller};

/// The sequencer asks while the worker has committed in the target and not yet removed the row.
#[tokio::test]
async fn what_is_asked_for_between_commit_and_finish_is_not_lost() {
    let stack = quiet_stack().await;
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    first_sync(&stack, &target).await;

    let hold = stack.hold("sync.before_finish@1");
    let _worker = stack.sync_worker().failpoint(hold.failpoint()).start().await;
    tenant.user("first").await;
    hold.reached().await;
    tenant.user("second").await;
    stack.sequenced().await;
    assert_eq!(
        tenant.value(r#"select "counter" from "OutgoingRequest""#).await,
        "1",
        "asked again, in the same row"
    );
    assert_eq!(target.value("select count(*) from users").await, "1");
    hold.release();
    target.caught_up().await;
    stack.settled().await;
}

/// Whatever is asked for, a target has one row, and a row belongs to one target.
#[tokio::test]
async fn a_target_has_one_row_however_often_it_is_asked_for() {
    let stack = quiet_stack().await;
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let mut targets = Vec::new();
    for id in ["a", "b"] {
        targets.push(tenant.target(stack.external(0)).id(id).schema(id).add().await);
    }
    for name in ["one", "two", "three"] {
        tenant.user(name).await;
        targets[0].ask().await;
        stack.sequenced().await;
    }
    eventually(SOON, "the asks to be folded", async || {
        let asks = tenant.value(r#"select count(*) from "OutgoingRequest" where "kind" = 'ask'"#).await;
        if asks == "0" { Ok(()) } else { Err(asks) }
    })
    .await;
    let rows = stack.internal().rows(r#"select "databaseId" from "OutgoingRequest" order by 1"#).await;
    assert_eq!(rows, ["a", "b"]);
    let _worker = stack.sync_worker().start().await;
    for target in &targets {
        target.caught_up().await;
    }
    stack.settled().await;
}

/// Messages whose claim has lapsed reach a worker nevertheless: it drops them.
#[tokio::test]
async fn stale_messages_are_dropped() {
    let mut stack = quiet_stack().await;
    stack.set("poller.claim_lease", "1s");
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    first_sync(&stack, &target).await;

    stack.internal().sql(r#"update "Fusebox" set "syncEngineEnabled" = false"#).await;
    let worker = stack.sync_worker().start().await;
    tenant.user("late").await;
    eventually(SOON, "the claim to lapse three times", async || {
        let claims = stack.internal().rows(r#"select "claim" from "OutgoingRequest""#).await;
        let last = claims.first().and_then(|claim| claim.parse::<i64>().ok());
        if last >= Some(4) { Ok(()) } else { Err(format!("{claims:?}")) }
    })
    .await;
    assert_eq!(jobs(&worker, "").await, 0);
    stack.internal().sql(r#"update "Fusebox" set "syncEngineEnabled" = true"#).await;
    target.caught_up().await;
    stack.settled().await;
    eventually(SOON, "the stale messages to be dropped", async || {
        let (stale, done) = (jobs(&worker, "stale").await, jobs(&worker, "up_to_date").await);
        if stale >= 3 && done == 1 { Ok(()) } else { Err(format!("{stale} stale, {done} done")) }
    })
    .await;
}
