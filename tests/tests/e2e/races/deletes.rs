//! Tombstones and the rows that are alive again, in either order of their ids; and tombstones that are gone.

use std::time::{Duration, SystemTime};

use tenant_sync_core::db::Internal;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;
use tenant_sync_tests::worker::Worker;
use tokio_postgres::Client;

use super::road::{first_sync, quiet_stack};

/// Poller and worker; passes are made by the test.
async fn poller_and_worker(stack: &Stack) -> [Worker; 2] {
    let mut both = [stack.poller().spawn(), stack.sync_worker().spawn()];
    for worker in &mut both {
        worker.wait_ready().await;
    }
    both
}

/// A pass, once no worker holds a request: whose request is held has its turn in the next pass, which only a sequencer
/// would make.
async fn pass(client: &Client) -> i64 {
    let waiting = r#"select count(*) from "OutgoingRequest""#;
    eventually(SOON, "every request to be done", async || {
        let left: i64 = client.query_one(waiting, &[]).await.expect("an answer").get(0);
        if left == 0 { Ok(()) } else { Err(format!("{left} are not")) }
    })
    .await;
    client
        .query_one("select rows_given from backfill_null_sequence_ids(5000)", &[])
        .await
        .expect("a pass")
        .get(0)
}

/// Deletes a user with its channel and inserts both again; one of the two, tombstone or row, gets its id in an earlier
/// pass, because the other is locked by somebody. Between the passes the target is brought up to date.
async fn reinserted(held_back: &str) {
    let stack = quiet_stack().await;
    let inside = stack.internal().connect().await;
    let _workers = poller_and_worker(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let user = tenant.user("before").await;
    let channel = tenant.primary(user, "before@example.com").await;
    pass(&inside).await;
    target.caught_up().await;
    stack.settled().await;

    tenant.sql(r#"delete from "ProjectUser""#).await;
    tenant
        .sql(&format!(
            r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ('{{tenancy}}', '{user}', 'after');
               insert into "ContactChannel" ("tenancyId", "projectUserId", "id", "value", "isPrimary")
               values ('{{tenancy}}', '{user}', '{channel}', 'after@example.com', true)"#
        ))
        .await;
    let mut other = stack.internal().connect().await;
    let open = other.transaction().await.expect("begin");
    open.batch_execute(&format!("select {held_back} for update")).await.expect("locks");
    assert!(pass(&inside).await > 0, "the others have their ids: {held_back}");
    target.caught_up().await;
    open.rollback().await.expect("rollback");
    assert!(pass(&inside).await > 0, "what was held back has its id");
    stack.settled().await;
    target.caught_up().await;
    assert_eq!(
        target.value("select display_name, primary_email from users").await,
        "after|after@example.com"
    );

    // Nothing of it is left over for the next change, or for a target that is new.
    tenant.sql(r#"update "ProjectUser" set "displayName" = 'last'"#).await;
    pass(&inside).await;
    target.caught_up().await;
    let second = tenant.target(stack.external(0)).id("second").schema("second").add().await;
    second.caught_up().await;
}

#[tokio::test]
async fn a_reinserted_row_stays_if_its_tombstone_comes_last() {
    reinserted(r#"from "DeletedRow""#).await;
}

#[tokio::test]
async fn a_reinserted_row_stays_if_its_tombstone_comes_first() {
    reinserted(r#"from "ProjectUser" u join "ContactChannel" c using ("tenancyId", "projectUserId")"#).await;
}

/// The channel keeps its id and changes its user: its old key leaves a tombstone, and the row must stay.
#[tokio::test]
async fn a_channel_that_moves_to_another_user_stays() {
    let stack = quiet_stack().await;
    let inside = stack.internal().connect().await;
    let _workers = poller_and_worker(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let (from, to) = (tenant.user("from").await, tenant.user("to").await);
    let channel = tenant.primary(from, "moves@example.com").await;
    pass(&inside).await;
    target.caught_up().await;
    tenant
        .sql(&format!(r#"update "ContactChannel" set "projectUserId" = '{to}' where "id" = '{channel}'"#))
        .await;
    assert_eq!(pass(&inside).await, 4, "channel, tombstone and both users");
    target.caught_up().await;
    let users = "select display_name, primary_email from users order by 1";
    assert_eq!(target.rows(users).await, ["from|∅", "to|moves@example.com"]);
    assert_eq!(target.value("select user_id from contact_channels").await, to.to_string());
}

/// Tombstones go while a target is behind for longer than they are kept: it is filled again.
#[tokio::test]
async fn a_target_behind_the_purge_is_filled_again() {
    let stack = quiet_stack().await;
    let inside = stack.internal().connect().await;
    let workers = poller_and_worker(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 50).await;
    pass(&inside).await;
    target.caught_up().await;
    stack.settled().await;
    let [_poller, mut worker] = workers;
    worker.terminate().await;

    tenant.sql(r#"delete from "ProjectUser" where "displayName" < '000021'"#).await;
    pass(&inside).await;
    assert_eq!(purge(&stack).await, 0, "the target needs them");
    tenant.sql(r#"update "DeletedRow" set "deletedAt" = now() - interval '31 days'"#).await;
    assert_eq!(purge(&stack).await, 40, "20 users and their channels");
    assert_eq!(target.value("select count(*) from users").await, "50");

    // A target that is new never needs them.
    let second = tenant.target(stack.external(0)).id("second").schema("second").add().await;
    worker.launch_again();
    worker.wait_ready().await;
    target.caught_up().await;
    second.caught_up().await;
    assert_eq!(target.value("select count(*) from users").await, "30");
    assert!(!worker.logs().matching("deletes that it has not seen are gone").is_empty());
}

/// Once every target is past them they go, and nobody is filled again for it.
#[tokio::test]
async fn tombstones_that_everybody_has_seen_are_purged() {
    let stack = quiet_stack().await;
    let inside = stack.internal().connect().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 5).await;
    let [_poller, worker] = poller_and_worker(&stack).await;
    pass(&inside).await;
    target.caught_up().await;
    tenant.sql(r#"delete from "ProjectUser" where "displayName" < '000003'"#).await;
    pass(&inside).await;
    target.caught_up().await;
    stack.settled().await;
    assert_eq!(purge(&stack).await, 4);
    tenant.user("later").await;
    pass(&inside).await;
    target.caught_up().await;
    stack.settled().await;
    assert!(worker.logs().matching("deletes that it has not seen are gone").is_empty());
}

async fn purge(stack: &Stack) -> i64 {
    let internal = Internal::new(&stack.config().database, "test").expect("internal");
    let purged = tenant_sync_sequencer::purge(&internal, Duration::ZERO, SystemTime::UNIX_EPOCH).await;
    purged.expect("purges").rows
}

/// The first sync of an empty tenant, then a row that lived for less than a pass: the target never shows it.
#[tokio::test]
async fn a_row_that_was_deleted_before_its_first_pass_is_never_seen() {
    let stack = quiet_stack().await;
    let inside = stack.internal().connect().await;
    let poller = stack.poller().start().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    first_sync(&stack, &target).await;
    target.sql("create table seen (name text); create function note() returns trigger language plpgsql as $$ begin insert into tenant_sync.seen values (new.display_name); return new; end $$; create trigger note before insert on users for each row execute function note()").await;
    let _worker = stack.sync_worker().start().await;
    tenant.user("short").await;
    tenant.sql(r#"delete from "ProjectUser""#).await;
    tenant.user("long").await;
    pass(&inside).await;
    target.caught_up().await;
    assert_eq!(target.rows("select name from seen").await, ["long"]);
    drop(poller);
}
