//! One writer: a worker that is frozen at any point is followed by another, and does no harm when it wakes up.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Target, Tenant};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;

use super::road::{TAKEOVER, first_sync, has_ended_a_job, quiet_stack, sequencer_and_poller, sync_worker};

const WATERMARK: &str = "select min(last_synced_sequence_id) from _sync_metadata";

/// Freezes a worker at `failpoint` while it brings a change, lets another bring newer ones, and wakes the first.
async fn freeze_at(failpoint: &str) {
    let stack = quiet_stack().await;
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let (changed, deleted) = (tenant.user("old").await, tenant.user("old").await);
    first_sync(&stack, &target).await;

    let hold = stack.hold(&format!("{failpoint}@1"));
    let mut frozen = sync_worker(&stack).failpoint(hold.failpoint()).start().await;
    tenant.sql(r#"update "ProjectUser" set "displayName" = 'middle'"#).await;
    hold.reached().await;
    frozen.pause();
    hold.release();

    tenant
        .sql(&format!(
            r#"update "ProjectUser" set "displayName" = 'new' where "projectUserId" = '{changed}'"#
        ))
        .await;
    tenant.sql(&format!(r#"delete from "ProjectUser" where "projectUserId" = '{deleted}'"#)).await;
    tenant.user("inserted").await;
    stack.sequenced().await;
    let other = sync_worker(&stack).start().await;
    caught_up_late(&target).await;
    stack.settled().await;
    let watermark: i64 = target.value(WATERMARK).await.parse().expect("a number");

    // Frozen for longer than the broker waits for a sign of life.
    frozen.allow("lost RabbitMQ");
    frozen.resume();
    has_ended_a_job(&frozen).await;
    target.equal().await.expect("the one that was frozen changed nothing");
    assert!(target.value(WATERMARK).await.parse::<i64>().expect("a number") >= watermark);
    works_on(&stack, &tenant, &target, [frozen, other]).await;
}

async fn caught_up_late(target: &Target<'_>) {
    eventually(TAKEOVER, "another worker to take over", async || target.equal().await).await;
}

/// Whoever is alone serves the target.
async fn works_on(stack: &Stack, tenant: &Tenant<'_>, target: &Target<'_>, workers: [Worker; 2]) {
    for mut worker in workers {
        tenant.user("later").await;
        target.caught_up().await;
        stack.settled().await;
        worker.terminate().await;
    }
}

#[tokio::test]
async fn a_worker_frozen_before_the_lock_reads_what_is_true_when_it_has_it() {
    freeze_at("sync.before_lock").await;
}

#[tokio::test]
async fn a_worker_frozen_between_lock_and_reading_is_thrown_out() {
    freeze_at("sync.after_lock").await;
}

#[tokio::test]
async fn a_worker_frozen_between_reading_and_writing_never_writes_what_it_read() {
    freeze_at("sync.after_read").await;
}

#[tokio::test]
async fn a_worker_frozen_before_its_commit_never_commits() {
    freeze_at("sync.before_commit").await;
}

#[tokio::test]
async fn a_worker_frozen_after_its_commit_leaves_the_row_to_the_other() {
    freeze_at("sync.before_finish").await;
}

/// A worker stands still at `failpoint` and never learns that its row was given to another, which brings newer changes.
async fn overtaken_at(failpoint: &str) {
    let mut stack = quiet_stack().await;
    // Renewed after a third of it: not in this test.
    stack.set("sync.run_lease", "1h");
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.user("old").await;
    first_sync(&stack, &target).await;

    let hold = stack.hold(&format!("{failpoint}@1"));
    let late = sync_worker(&stack).set("sync.concurrency", 1).failpoint(hold.failpoint()).start().await;
    tenant.sql(r#"update "ProjectUser" set "displayName" = 'middle'"#).await;
    hold.reached().await;
    tenant.sql(r#"update "ProjectUser" set "displayName" = 'new'"#).await;
    stack.sequenced().await;
    stack.internal().sql(r#"update "OutgoingRequest" set "dueAt" = now()"#).await;
    let _other = sync_worker(&stack).start().await;
    // Whoever has the lock keeps it; whoever waits for it stands in the server's list.
    let waits = "select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    eventually(SOON, "the other to have written, or to wait", async || {
        let (name, waits) = (target.value("select display_name from users").await, target.value(waits).await);
        if name == "new" || waits == "t" { Ok(()) } else { Err(name) }
    })
    .await;
    hold.release();
    has_ended_a_job(&late).await;
    target.caught_up().await;
    stack.settled().await;
    target.equal().await.expect("nothing older came after it");
}

#[tokio::test]
async fn a_worker_that_was_overtaken_before_its_lock_reads_after_it() {
    overtaken_at("sync.before_lock").await;
}

#[tokio::test]
async fn nobody_writes_between_a_workers_reading_and_its_writing() {
    overtaken_at("sync.after_read").await;
}

#[tokio::test]
async fn the_lease_of_a_dead_worker_ends_and_its_job_is_done_by_another() {
    let stack = quiet_stack().await;
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    first_sync(&stack, &target).await;
    for failpoint in ["sync.after_write", "sync.before_finish"] {
        let hold = stack.hold(&format!("{failpoint}@1"));
        let mut dies = stack.sync_worker().failpoint(hold.failpoint()).start().await;
        tenant.user(failpoint).await;
        hold.reached().await;
        dies.kill9();
        let mut other = sync_worker(&stack).start().await;
        target.caught_up().await;
        stack.settled().await;
        other.terminate().await;
    }
}

/// A change that is made while a worker holds an older version of the row in memory.
#[tokio::test]
async fn a_row_deleted_right_after_its_update_was_read_is_gone() {
    let stack = quiet_stack().await;
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let user = tenant.user("old").await;
    tenant.primary(user, "old@example.com").await;
    first_sync(&stack, &target).await;

    let hold = stack.hold("sync.after_read@1");
    let _worker = stack.sync_worker().failpoint(hold.failpoint()).start().await;
    tenant.sql(r#"update "ProjectUser" set "displayName" = 'new'"#).await;
    hold.reached().await;
    tenant.sql(r#"delete from "ProjectUser""#).await;
    stack.sequenced().await;
    hold.release();
    target.shows("select count(*) from users", &["0"]).await;
    target.caught_up().await;
    stack.settled().await;
}
