//! Syncs: in the end every target equals its source.

use std::time::Duration;

use tenant_sync_tests::database::rows;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Target, Tenant};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;
use uuid::Uuid;

use super::deployment::{Deployment, Ended, GRACE, stop};
use super::load::Load;

/// Until the last change has arrived, on a machine that has much else to do.
const DONE: Duration = Duration::from_secs(240);

/// Users come, change and go, each with a channel; about 20 rows are touched.
fn transaction(tenancy: Uuid, number: usize) -> String {
    let of = |order: &str, n: usize| {
        format!(
            r#"("tenancyId", "projectUserId") in (select "tenancyId", "projectUserId" from "ProjectUser"
                 where "tenancyId" = '{tenancy}' order by {order} limit {n})"#
        )
    };
    format!(
        r#"begin;
           with fresh as (
             insert into "ProjectUser" ("tenancyId", "displayName")
             select '{tenancy}', '{number} ' || i from generate_series(1, 6) i
             returning "tenancyId", "projectUserId")
           insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary")
           select "tenancyId", "projectUserId", "projectUserId" || '@example.com', true from fresh;
           update "ProjectUser" set "displayName" = "displayName" || '!' where {changed};
           update "ContactChannel" set "isVerified" = not "isVerified" where {verified};
           delete from "ProjectUser" where {gone};
           commit"#,
        changed = of(r#""projectUserId""#, 4),
        verified = of(r#""projectUserId" desc"#, 4),
        gone = of(r#"md5("projectUserId"::text)"#, 3),
    )
}

/// Waits until each target is further than it was when it was asked.
async fn moves(targets: &[Target<'_>]) {
    const WATERMARKS: &str = "select min(last_synced_sequence_id) from _sync_metadata";
    let mut before = Vec::new();
    for target in targets {
        before.push(target.value(WATERMARKS).await.parse::<i64>().unwrap_or_default());
    }
    for (target, before) in targets.iter().zip(before) {
        let session = target.session().await;
        eventually(SOON, "a target to go on", async || {
            let now = rows(&session, WATERMARKS).await?.join("");
            if now.parse::<i64>().is_ok_and(|now| now > before) { Ok(()) } else { Err(now) }
        })
        .await;
    }
}

/// Waits until the first rows have arrived.
async fn has_begun(target: &Target<'_>) {
    let session = target.session().await;
    eventually(SOON, "the first rows", async || {
        let count = rows(&session, "select count(*) from users").await?.join("");
        if count == "0" { Err("none yet".to_owned()) } else { Ok(()) }
    })
    .await;
}

async fn goes_on(load: &mut [Load], targets: &[Target<'_>]) {
    for load in load {
        load.goes_on().await;
    }
    moves(targets).await;
}

/// Three tenants on two servers, with leases that lapse within the test.
async fn stack() -> Stack {
    let mut stack = Stack::plan().externals(2).start().await;
    stack.set("poller.claim_lease", "3s");
    stack.set("sync.run_lease", "3s");
    // Small turns, so that a worker is in the middle of something when it is stopped.
    stack.set("sync.batch_rows", 50);
    stack.set("sync.atomic_rows", 50);
    stack.set("sync.turn_rows", 200);
    // The slot of a session that died with its worker is free only when its heartbeat is too old.
    stack.set("sync.target_connections", 9);
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_orchestrator_does_loses_no_change() {
    let stack = stack().await;
    let (mut load, mut targets) = (Vec::new(), Vec::new());
    let mut sequencers = Deployment::<Worker>::start(&stack, "sequencer", 2).await;
    let mut pollers = Deployment::<Worker>::start(&stack, "poller", 2).await;
    let mut sync_workers = Deployment::<Worker>::start(&stack, "sync-worker", 2).await;
    for number in 0..3 {
        let tenant = Tenant::create(&stack).await;
        targets
            .push(tenant.target(stack.external(number % 2)).schema(&format!("tenant_{number}")).add().await);
        let id = tenant.id();
        load.push(Load::start(&stack, move |number| transaction(id, number)));
    }
    for target in &targets {
        has_begun(target).await;
    }

    // Scaling up, a rolling update of everything, scaling down.
    sync_workers.scale_to(4).await;
    goes_on(&mut load, &targets).await;
    for deployment in [&mut sequencers, &mut pollers, &mut sync_workers] {
        deployment.update().await;
    }
    goes_on(&mut load, &targets).await;
    sync_workers.scale_to(1).await;
    goes_on(&mut load, &targets).await;

    // A node is lost, with one of each on it.
    for deployment in [&mut sequencers, &mut pollers, &mut sync_workers] {
        deployment.lose_one().await;
    }
    goes_on(&mut load, &targets).await;

    // Another node is cut off: what is on it is replaced, and others go on when its leases have lapsed. Then it is back, and
    // what was replaced works on beside its successors until it is asked to stop; one of them has no time left.
    sync_workers.scale_to(2).await;
    let frozen = [
        sequencers.cut_one_off().await,
        pollers.cut_one_off().await,
        sync_workers.cut_one_off().await,
        sync_workers.cut_one_off().await,
    ];
    goes_on(&mut load, &targets).await;
    let [sequencer, poller, sync_worker, late] = frozen;
    assert_eq!(stop(late, Duration::from_millis(500)).await, Ended::Killed, "it is frozen");
    for pod in [&sequencer, &poller, &sync_worker] {
        pod.resume();
    }
    goes_on(&mut load, &targets).await;
    for pod in [sequencer, poller, sync_worker] {
        assert_eq!(stop(pod, GRACE).await, Ended::Cleanly);
    }

    let mut transactions = 0;
    for load in load {
        transactions += load.finish().await;
    }
    for target in &targets {
        eventually(DONE, "a target to equal its source", async || target.equal().await).await;
    }
    stack.settled().await;
    for target in &targets {
        target.equal().await.expect("nothing comes after the end");
    }
    eprintln!("{transactions} transactions arrived");
}
