//! A target is added while more changes wait for their ids than a slice holds.

use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

use super::road::{jobs, quiet_stack};

/// No pass runs. What the tail is too long for waits, but the copy of the first mapping does not, and nobody spins.
#[tokio::test]
async fn a_copy_begins_while_an_import_has_no_ids_yet() {
    let mut stack = quiet_stack().await;
    stack.set("sync.batch_rows", 10);
    stack.set("sync.atomic_rows", 10);
    let _poller = stack.poller().start().await;
    let worker = stack.sync_worker().start().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 20).await;
    tenant.value("select outcome from backfill_null_sequence_ids(1000)").await;
    tenant.users(21, 30).await;

    let target = tenant.target(stack.external(0)).add().await;
    target.shows("select count(*) from users", &["50"]).await;
    eventually(SOON, "the target to be left alone", async || {
        let requests = tenant.value(r#"select count(*) from "OutgoingRequest""#).await;
        if requests == "0" { Ok(()) } else { Err(requests) }
    })
    .await;
    assert_eq!(target.value("select count(*) from _sync_metadata where complete_as_of is null").await, "2");
    let flagged = "select bool_and(flagged_rows > 0) from _sync_metadata where mapping_name = 'users'";
    assert_eq!(target.value(flagged).await, "t", "what the source may lose is known to have been written");
    let ended = jobs(&worker, "").await;
    assert!(ended <= 20, "{ended} jobs for 5 slices");

    // With every piece of the import that gets its ids, the rest comes.
    let _sequencer = stack.sequencer().set("sequencer.batch_size", 20).start().await;
    target.caught_up().await;
    stack.settled().await;
    assert_eq!(target.value("select count(*) from contact_channels").await, "50");
}
