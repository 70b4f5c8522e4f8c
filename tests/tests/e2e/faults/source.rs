//! The source steps back, moves house, or is copied: targets are compared and mended, and no copy writes where the original
//! does.

use std::time::Duration;

use tenant_sync_tests::cluster::{Options, PrivateCluster};
use tenant_sync_tests::proxy::Proxy;
use tenant_sync_tests::stack::{Stack, Workers};
use tenant_sync_tests::urls;
use tenant_sync_tests::vhost::Vhost;
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

use super::support::{
    HEALED, add_users, allow_lost_servers, answers, ask, becomes_equal, equal, no_private_servers, settled,
    tenant,
};

const WATERMARK: &str = "select max(last_synced_sequence_id) from tenant_sync._sync_metadata";
const EPOCHS: &str = r#"select count(*) from "SourceEpoch""#;

async fn number(url: &str, query: &str) -> i64 {
    ask(url, query).await.expect("answers").parse().expect("a number")
}

/// Changes that a loss will take back: new users, changed ones, and a deleted one that will be there again.
fn changes_to_be_lost(tenancy: Uuid) -> String {
    format!(
        r#"{} update "ProjectUser" set "displayName" = 'lost' where "displayName" like 'user 1%';
           delete from "ProjectUser" where "displayName" like 'user 2%';"#,
        add_users(tenancy, 100, "phantom")
    )
}

async fn start(stack: &Stack) -> Workers {
    let mut workers = stack.start_workers().await;
    allow_lost_servers(&mut workers);
    workers.sync_worker.allow("the internal database has stepped back");
    workers
}

/// After a step back: everything is as the source says, a new epoch is known, and ids go on above all watermarks.
async fn is_mended(stack: &Stack, tenancy: Uuid, watermark: i64, epochs: i64) {
    let (inside, outside) = (stack.internal().url(), stack.external(0).url());
    becomes_equal(stack, tenancy, outside).await;
    assert_eq!(
        ask(outside, "select count(*) from tenant_sync.users where display_name like 'phantom%'")
            .await
            .as_deref(),
        Ok("0")
    );
    assert!(number(inside, EPOCHS).await > epochs, "an epoch is noted");
    stack.internal().sql(&add_users(tenancy, 20, "afterwards")).await;
    becomes_equal(stack, tenancy, outside).await;
    // A visit brings what has no id yet, too.
    stack.sequenced().await;
    let given = number(
        inside,
        r#"select min("sequenceId") from "ProjectUser" where "displayName" like 'afterwards%'"#,
    )
    .await;
    assert!(given > watermark, "an id was given twice: {given} after {watermark}");
    settled(stack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_to_before_the_watermarks_is_mended() {
    if no_private_servers() {
        return;
    }
    let mut cluster = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().internal_on(&cluster.url()).start().await;
    stack.set("sync.heartbeat", "1s");
    let tenancy = tenant(&stack).await;
    let _workers = start(&stack).await;
    stack.internal().sql(&add_users(tenancy, 200, "user")).await;
    let outside = stack.external(0).url();
    becomes_equal(&stack, tenancy, outside).await;
    let backup = cluster.back_up();
    stack.internal().sql(&changes_to_be_lost(tenancy)).await;
    becomes_equal(&stack, tenancy, outside).await;
    let (watermark, epochs) =
        (number(outside, WATERMARK).await, number(stack.internal().url(), EPOCHS).await);

    cluster.restore(&backup).await;
    is_mended(&stack, tenancy, watermark, epochs).await;
}

/// The same, but by the time that anybody looks, new changes have used the lost ids again.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_were_used_twice_hide_no_change() {
    if no_private_servers() {
        return;
    }
    let mut cluster = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().internal_on(&cluster.url()).start().await;
    stack.set("sync.heartbeat", "1s");
    let tenancy = tenant(&stack).await;
    let mut workers = start(&stack).await;
    let (inside, outside) = (stack.internal(), stack.external(0).url());
    inside.sql(&add_users(tenancy, 200, "user")).await;
    becomes_equal(&stack, tenancy, outside).await;
    let backup = cluster.back_up();
    inside.sql(&changes_to_be_lost(tenancy)).await;
    becomes_equal(&stack, tenancy, outside).await;
    let watermark = number(outside, WATERMARK).await;

    workers.sync_worker.terminate().await;
    cluster.restore(&backup).await;
    inside.sql(&add_users(tenancy, 1_000, "again")).await;
    let horizon = r#"select coalesce(max("lastSequenceId"), 0) from "SequencerPass""#;
    eventually(HEALED, "the ids to be used again", async || {
        let now: i64 = ask(inside.url(), horizon).await?.parse().map_err(|_| "no number".to_owned())?;
        if now > watermark + 100 { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    workers.sync_worker.launch_again();
    becomes_equal(&stack, tenancy, outside).await;
    settled(&stack).await;
}

/// The standby had not received the last changes, which the target already has.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_that_lost_changes_is_followed() {
    if no_private_servers() {
        return;
    }
    let mut primary = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().internal_on(&primary.url()).start().await;
    let road = Proxy::for_url(&primary.url()).await;
    let database_url = road.url(stack.internal().url());
    stack.set("database.url", database_url);
    stack.set("sync.heartbeat", "1s");
    let tenancy = tenant(&stack).await;
    let _workers = start(&stack).await;
    let outside = stack.external(0).url();
    stack.internal().sql(&add_users(tenancy, 200, "user")).await;
    becomes_equal(&stack, tenancy, outside).await;

    let standby = primary.standby().await;
    let copy = urls::with_address(stack.internal().url(), urls::address(&standby.url()));
    for statement in ["alter system set primary_conninfo = ''", "select pg_reload_conf()"] {
        ask(&copy, statement).await.expect("a standby may be configured");
    }
    answers(&copy, "select count(*) from pg_stat_wal_receiver", "0").await;
    stack.internal().sql(&changes_to_be_lost(tenancy)).await;
    becomes_equal(&stack, tenancy, outside).await;
    let watermark = number(outside, WATERMARK).await;

    primary.kill9();
    assert_eq!(ask(&copy, "select pg_promote()").await.as_deref(), Ok("t"));
    road.point_at(urls::address(&standby.url()));
    road.cut_connections();
    let mended = async || equal(&copy, tenancy, outside).await;
    eventually(HEALED, "the target to follow the new primary", mended).await;
    ask(&copy, &add_users(tenancy, 20, "afterwards")).await.expect("writes");
    eventually(HEALED, "changes on the new primary", mended).await;
    let given = number(
        &copy,
        r#"select min("sequenceId") from "ProjectUser" where "displayName" like 'afterwards%'"#,
    )
    .await;
    assert!(given > watermark, "an id was given twice: {given} after {watermark}");
}

/// A staging system on a copy of the production database has everything but the name.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_deployment_on_a_copy_harms_nobody() {
    if no_private_servers() {
        return;
    }
    let cluster = PrivateCluster::start(Options::default()).await;
    let mut stack = Stack::plan().internal_on(&cluster.url()).start().await;
    stack.set("sync.heartbeat", "1s");
    let tenancy = tenant(&stack).await;
    let _workers = start(&stack).await;
    let (inside, outside) = (stack.internal(), stack.external(0).url());
    inside.sql(&add_users(tenancy, 200, "user")).await;
    becomes_equal(&stack, tenancy, outside).await;

    let copy = cluster.clone_now().await;
    let copy_url = urls::with_address(inside.url(), urls::address(&copy.url()));
    let vhost = Vhost::create(stack.services()).await;
    let second = ["sequencer", "poller", "sync-worker"].map(|program| {
        let setup = stack.worker(program).set("deployment.name", "staging").set("database.url", &copy_url);
        setup.set("rabbitmq.url", vhost.url()).allow("the target failed; it is tried again").spawn()
    });
    ask(&copy_url, r#"update "ProjectUser" set "displayName" = 'staging'"#).await.expect("writes");
    answers(
        &copy_url,
        r#"select "state", "lastErrorClass" from "ExternalDatabase""#,
        "refused|ownedByAnother",
    )
    .await;
    inside.sql(&add_users(tenancy, 20, "production")).await;
    becomes_equal(&stack, tenancy, outside).await;
    settled(&stack).await;
    let staged = "select count(*) from tenant_sync.users where display_name = 'staging'";
    assert_eq!(ask(outside, staged).await.as_deref(), Ok("0"));
    for mut worker in second {
        assert!(worker.exit_status().is_none(), "it goes on for its own targets");
        worker.terminate().await;
    }
    eventually(Duration::from_secs(20), "production alone", async || {
        equal(inside.url(), tenancy, outside).await
    })
    .await;
}
