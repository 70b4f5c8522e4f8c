//! What is not committed is invisible, and nobody's open transaction holds up anybody else.

use tokio_postgres::Client;
use uuid::Uuid;

use super::source::{BATCH, Source, insert_channel, insert_user, pass, run};

#[tokio::test]
async fn uncommitted_is_invisible_and_what_is_rolled_back_never_gets_an_id() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    let mut application = source.session().await;
    let open = application.transaction().await.expect("begin");
    run(open.client(), &insert_user(tenancy, Uuid::new_v4())).await;
    assert_eq!(source.pass().await.rows, 0);
    open.rollback().await.expect("rollback");
    assert_eq!(source.pass().await.rows, 0);
    assert_eq!(source.value(r#"select count(*) from "OutgoingRequest""#).await, "0");
    assert_eq!(source.value("select is_called from global_seq_id").await, "f", "no id was spent");
}

/// The open transaction is older than passes and thousands of transactions that come after it.
#[tokio::test]
async fn a_long_open_transaction_holds_up_nobody_and_is_found_when_it_commits() {
    let source = Source::new().await;
    let tenancies = [source.tenancy_with_target().await, source.tenancy_with_target().await];
    let mut application = source.session().await;
    let late = Uuid::new_v4();
    let open = application.transaction().await.expect("begin");
    run(open.client(), &insert_user(tenancies[0], late)).await;
    for tenancy in [tenancies[0], tenancies[1], tenancies[0]] {
        let user = source.user(tenancy).await;
        assert_eq!(source.pass().await.rows, 1);
        assert!(source.user_id(user).await.is_some());
    }
    burn_transactions(&source, 12_000).await;
    source.pass().await;
    source.pass().await;
    open.commit().await.expect("commit");
    assert_eq!(source.pass().await.rows, 1);
    assert!(source.user_id(late).await.is_some());
}

/// So many that the ledger moves on although nothing was pending.
async fn burn_transactions(source: &Source, count: u32) {
    source
        .run(&format!(
            "do $$ begin for i in 1..{count} loop begin perform pg_current_xact_id(); perform 1/0;
             exception when division_by_zero then null; end; end loop; end $$;
             create temp table burnt (x int)"
        ))
        .await;
    for _ in 0..3 {
        source.run("insert into burnt select 1").await;
    }
}

/// A pass that somebody holds open has the user's row locked; a channel is inserted meanwhile.
async fn child_insert_during_a_pass(source: &Source) -> Result<(), tokio_postgres::Error> {
    let tenancy = source.tenancy_with_target().await;
    let user = source.user(tenancy).await;
    let mut sequencer = source.session().await;
    let open = sequencer.transaction().await.expect("begin");
    assert_eq!(pass(open.client(), BATCH).await.rows, 1);
    let insert = insert_channel(tenancy, user, Uuid::new_v4());
    source.sql.batch_execute(&format!("set lock_timeout = '1s'; {insert}")).await?;
    open.commit().await.expect("commit");
    source.settle().await;
    assert_eq!(source.pending().await, 0);
    Ok(())
}

#[tokio::test]
async fn inserting_a_child_never_waits_for_a_pass() {
    child_insert_during_a_pass(&Source::new().await).await.expect("it does not wait");

    let source = Source::new().await;
    source
        .without("build_sequencer", "for no key update of r skip locked) p", "for update of r skip locked) p")
        .await;
    let refused = child_insert_during_a_pass(&source).await.expect_err("a stronger lock would make it wait");
    assert_eq!(refused.code().expect("an SQLSTATE").code(), "55P03");
}

#[tokio::test]
async fn a_pass_does_not_wait_for_rows_that_somebody_has_locked() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    let (held, free) = (source.user(tenancy).await, source.user(tenancy).await);
    let mut application = source.session().await;
    let open = application.transaction().await.expect("begin");
    lock_user(open.client(), held).await;
    let before = std::time::Instant::now();
    let done = source.pass().await;
    assert!(before.elapsed() < std::time::Duration::from_secs(2), "it waited");
    assert_eq!((done.rows, source.user_id(held).await), (1, None));
    assert!(source.user_id(free).await.is_some());
    open.rollback().await.expect("rollback");
    assert_eq!(source.pass().await.rows, 1, "remembered, although its transaction was seen long ago");
    assert!(source.user_id(held).await.is_some());
}

/// An update of a pending row is in an open transaction: the old version waits with the new one.
#[tokio::test]
async fn a_row_with_an_open_update_comes_when_that_ends() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    let (kept, undone) = (source.user(tenancy).await, source.user(tenancy).await);
    let (mut a, mut b) = (source.session().await, source.session().await);
    let (commits, rolls_back) =
        (a.transaction().await.expect("begin"), b.transaction().await.expect("begin"));
    for (client, user) in [(commits.client(), kept), (rolls_back.client(), undone)] {
        let update =
            format!(r#"update "ProjectUser" set "displayName" = 'new' where "projectUserId" = '{user}'"#);
        run(client, &update).await;
    }
    assert_eq!(source.pass().await.rows, 0);
    commits.commit().await.expect("commit");
    rolls_back.rollback().await.expect("rollback");
    assert_eq!(source.pass().await.rows, 2);
    assert_eq!(source.pending().await, 0);
}

pub(super) async fn lock_user(client: &Client, user: Uuid) {
    run(client, &format!(r#"select from "ProjectUser" where "projectUserId" = '{user}' for update"#)).await;
}
