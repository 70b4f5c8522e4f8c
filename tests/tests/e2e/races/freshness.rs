//! A caught-up write makes the target equal to one snapshot of the source, and `complete_as_of` says which.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tenant_sync_tests::database::rows;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

use super::road::{first_sync, quiet_stack, sequencer_and_poller};

/// While no ids are given, a visit brings the tail; with their ids the rows come again and are not rewritten.
#[tokio::test]
async fn a_visit_writes_what_has_no_id_yet() {
    let mut stack = quiet_stack().await;
    stack.set("sync.heartbeat", "1s");
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let (kept, gone) = (tenant.user("kept").await, tenant.user("gone").await);
    target.caught_up().await;
    let gate = stack.hold_passes().await;

    tenant
        .sql(&format!(
            r#"update "ProjectUser" set "displayName" = 'changed' where "projectUserId" = '{kept}';
               delete from "ProjectUser" where "projectUserId" = '{gone}'"#
        ))
        .await;
    let new = tenant.user("new").await;
    tenant.primary(new, "new@example.com").await;
    let committed = stack.internal().value("select extract(epoch from clock_timestamp())").await;
    target.caught_up().await;
    let complete =
        format!("select bool_and(complete_as_of >= to_timestamp({committed})) from _sync_metadata");
    target.shows(&complete, &["t"]).await;
    let pending = r#"select count(*) from "ProjectUser" where "shouldUpdateSequenceId""#;
    assert_eq!(tenant.value(pending).await, "2", "no pass has run");

    let written = "select id, xmin from users union all select id, xmin from contact_channels order by 1";
    let before = target.rows(written).await;
    gate.batch_execute("rollback").await.expect("lets passes run");
    stack.sequenced().await;
    let last = stack.internal().value(r#"select max("sequenceId") from "ProjectUser""#).await;
    target
        .shows(&format!("select bool_and(last_synced_sequence_id >= {last}) from _sync_metadata"), &["t"])
        .await;
    assert_eq!(target.rows(written).await, before, "rows that agree are not touched");
}

/// A channel changes, goes, or comes, while no ids are given: the user that it means is in the same write.
#[tokio::test]
async fn a_visit_writes_what_a_change_without_id_means_for_another_row() {
    let mut stack = quiet_stack().await;
    stack.set("sync.heartbeat", "1s");
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let (one, two, three) = (tenant.user("1").await, tenant.user("2").await, tenant.user("3").await);
    for user in [one, two] {
        tenant.primary(user, "before").await;
    }
    target.caught_up().await;
    stack.settled().await;

    let _gate = stack.hold_passes().await;
    tenant
        .sql(&format!(
            r#"update "ContactChannel" set "value" = 'after' where "projectUserId" = '{one}';
               delete from "ContactChannel" where "projectUserId" = '{two}'"#
        ))
        .await;
    tenant.primary(three, "new").await;
    let committed = stack.internal().value("select extract(epoch from clock_timestamp())").await;
    let complete =
        format!("select bool_and(complete_as_of >= to_timestamp({committed})) from _sync_metadata");
    target.shows(&complete, &["t"]).await;
    let emails = "select display_name, primary_email from users order by 1";
    assert_eq!(target.rows(emails).await, ["1|after", "2|∅", "3|new"]);
    let pending = r#"select count(*) from "ContactChannel" where "shouldUpdateSequenceId""#;
    assert_eq!(tenant.value(pending).await, "2", "no pass has run");
}

/// One transaction changes a user and a channel. The channel's row is locked by somebody when the pass comes, so only
/// the user has its id: the target shows both or neither.
#[tokio::test]
async fn half_of_a_transaction_with_ids_is_completed_by_the_tail() {
    let stack = quiet_stack().await;
    let _road = sequencer_and_poller(&stack).await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let (one, two) = (tenant.user("0").await, tenant.user("other").await);
    let channel = tenant.channel(two, "0").await;
    first_sync(&stack, &target).await;

    let _worker = stack.sync_worker().start().await;
    let mut application = stack.internal().connect().await;
    let gate = stack.hold_passes().await;
    tenant
        .sql(&format!(
            r#"begin; update "ProjectUser" set "displayName" = '1' where "projectUserId" = '{one}';
               update "ContactChannel" set "value" = '1' where "id" = '{channel}'; commit"#
        ))
        .await;
    let open = application.transaction().await.expect("begin");
    open.execute(r#"select from "ContactChannel" where "id" = $1 for update"#, &[&channel])
        .await
        .expect("locks");
    gate.batch_execute("rollback").await.expect("lets passes run");
    target.shows("select (select display_name from users where display_name <> 'other'), (select value from contact_channels)", &["1|1"]).await;
    let pending = r#"select (select count(*) from "ProjectUser" where "shouldUpdateSequenceId"), (select count(*) from "ContactChannel" where "shouldUpdateSequenceId")"#;
    assert_eq!(tenant.value(pending).await, "0|1", "the user has its id, the channel has none");
    open.rollback().await.expect("rollback");
    stack.sequenced().await;
    target.caught_up().await;
}

/// How many different states the reader must have seen before it is content.
const LOOKS: usize = 10;

/// Transactions that keep two sums equal, and a reader on the outside that looks all the time: it never sees half of
/// one, and never less than `complete_as_of` promises.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_sees_half_of_a_transaction_nor_less_than_promised() {
    let mut stack = quiet_stack().await;
    stack.set("sync.heartbeat", "100ms");
    let _workers = stack.start_workers().await;
    let _second = stack.sync_worker().start().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let user = tenant.user("0").await;
    tenant.channel(user, "0").await;
    target.caught_up().await;

    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(writes_until(stop.clone(), stack.internal().connect().await, user));
    let reader = target.session().await;
    // Counted as a user's name, as channels, and as the highest of them: all of one snapshot.
    let look = "select (select display_name from users), count(*) - 1, max(value::int),
                  (select min(extract(epoch from complete_as_of)) from _sync_metadata) from contact_channels";
    let mut samples = Vec::new();
    eventually(SOON, "enough different states", async || {
        let seen = rows(&reader, look).await.expect("a look").remove(0);
        let columns: Vec<f64> = seen.split('|').map(|value| value.parse().expect("a number")).collect();
        assert!(columns[0] == columns[1] && columns[1] == columns[2], "half of a transaction: {seen}");
        if samples.last() != Some(&(columns[0], columns[3])) {
            samples.push((columns[0], columns[3]));
        }
        let states: BTreeSet<u64> = samples.iter().map(|(seen, _)| *seen as u64).collect();
        if states.len() > LOOKS { Ok(()) } else { Err(format!("{} states", states.len())) }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let committed = writer.await.expect("the writer");
    for (seen, complete_as_of) in &samples {
        let promised = committed.iter().filter(|at| *at <= complete_as_of).count();
        assert!(*seen as usize >= promised, "{seen} transactions are there, {promised} were promised");
    }
    target.shows("select display_name from users", &[&committed.len().to_string()]).await;
    target.caught_up().await;
}

/// Numbered transactions over two tables, one after the other; returns the instant after each commit, by the
/// source's clock.
async fn writes_until(stop: Arc<AtomicBool>, inside: tokio_postgres::Client, user: Uuid) -> Vec<f64> {
    let mut committed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let n = committed.len() + 1;
        let change = format!(
            r#"begin; update "ProjectUser" set "displayName" = '{n}' where "projectUserId" = '{user}';
               insert into "ContactChannel" ("tenancyId", "projectUserId", "value")
                   select "tenancyId", "projectUserId", '{n}' from "ProjectUser" where "projectUserId" = '{user}';
               commit"#
        );
        inside.batch_execute(&change).await.expect("commits");
        let now = rows(&inside, "select extract(epoch from clock_timestamp())").await.expect("a clock");
        committed.push(now[0].parse::<f64>().expect("a number"));
    }
    committed
}
