//! The source steps back, or a second deployment comes.

use tenant_sync_tests::tenant::Tenant;

use super::road::{first_sync, quiet_stack, sequencer_and_poller};

/// A target shows a watermark that this source has never given: as after a restore.
#[tokio::test]
async fn a_target_ahead_of_its_source_begins_an_epoch_and_is_mended() {
    let stack = quiet_stack().await;
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 20).await;
    first_sync(&stack, &target).await;
    // What it has seen of the lost future: a row too many, one too few, one that is newer.
    target
        .sql(
            "update _sync_metadata set last_synced_sequence_id = last_synced_sequence_id + 1000;
             delete from users where display_name = '000001';
             update users set display_name = 'lost' where display_name = '000002';
             insert into users (id, display_name, primary_email_verified, client_metadata, client_read_only_metadata, server_metadata)
             values (gen_random_uuid(), 'lost', false, '{}', '{}', '{}')",
        )
        .await;
    let worker = stack.sync_worker().allow("has stepped back").start().await;
    target.ask().await;
    target.caught_up().await;
    stack.settled().await;
    assert_eq!(worker.logs().matching("the internal database has stepped back").len(), 1);
    let late = tenant.user("late").await;
    target.caught_up().await;
    let above = format!(r#"select "sequenceId" > 1000 from "ProjectUser" where "projectUserId" = '{late}'"#);
    stack.sequenced().await;
    assert_eq!(tenant.value(&above).await, "t", "no id is given twice");
}

/// A staging copy of everything but the name of the deployment.
#[tokio::test]
async fn a_second_deployment_is_refused() {
    let stack = quiet_stack().await;
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.user("ours").await;
    first_sync(&stack, &target).await;
    let staging = stack.sync_worker().set("deployment.name", "staging").allow("the target failed");
    let mut staging = staging.start().await;
    let before = target.rows("select * from _sync_metadata").await;
    tenant.user("of staging").await;
    target.is("refused|ownedByAnother").await;
    assert_eq!(target.value("select count(*) from users").await, "1");
    assert_eq!(target.rows("select * from _sync_metadata").await, before);
    staging.terminate().await;

    let _worker = stack.sync_worker().start().await;
    target.try_now().await;
    target.caught_up().await;
    target.is("ok|∅").await;
}
