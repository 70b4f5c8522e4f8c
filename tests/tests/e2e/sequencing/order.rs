//! One allocation at a time, to its commit: ids become visible in the order in which they were given. A pass is one
//! statement: what one transaction changed gets its ids in one pass.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use uuid::Uuid;

use super::gate::Gate;
use super::source::{BATCH, Source, insert_channel, insert_user, pass, run};

/// Somebody who follows the changes as a worker does: what is above its watermark, then on to the horizon.
#[derive(Default)]
struct Follower {
    watermark: i64,
    seen: BTreeSet<String>,
}

impl Follower {
    async fn read(&mut self, source: &Source) {
        let query = r#"select coalesce((select "lastSequenceId" from "SequencerPass" order by "pass" desc limit 1), 0),
                         array(select "projectUserId"::text from "ProjectUser" where "sequenceId" > $1)"#;
        let row = source.sql.query_one(query, &[&self.watermark]).await.expect("a read");
        self.seen.extend(row.get::<_, Vec<String>>(1));
        self.watermark = row.get(0);
    }

    async fn missed(&self, source: &Source) -> usize {
        let all = source.rows(r#"select "projectUserId" from "ProjectUser""#).await;
        all.iter().filter(|user| !self.seen.contains(*user)).count()
    }
}

/// A pass is held open while another runs and somebody reads; returns how many rows the reader never saw.
async fn missed_by_a_reader(source: &Source) -> usize {
    let tenancy = source.tenancy_with_target().await;
    let (mut early, mut reader) = (source.session().await, Follower::default());
    source.user(tenancy).await;
    let open = early.transaction().await.expect("begin");
    assert_eq!(pass(open.client(), BATCH).await.rows, 1);
    let other = source.tenancy_with_target().await;
    source.user(other).await;
    source.pass().await;
    reader.read(source).await;
    open.commit().await.expect("commit");
    source.settle().await;
    reader.read(source).await;
    reader.missed(source).await
}

#[tokio::test]
async fn a_second_pass_stands_by_until_the_first_has_committed() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    let first = source.user(tenancy).await;
    let mut early = source.session().await;
    let open = early.transaction().await.expect("begin");
    assert_eq!(pass(open.client(), BATCH).await.rows, 1);
    let second = source.user(tenancy).await;
    let standby = source.pass().await;
    assert_eq!((standby.outcome.as_str(), standby.rows), ("standby", 0));
    assert_eq!(source.user_id(second).await, None);

    open.commit().await.expect("commit");
    assert_eq!(source.pass().await.rows, 1);
    assert!(source.user_id(first).await < source.user_id(second).await);
}

#[tokio::test]
async fn a_pass_that_is_rolled_back_leaves_its_rows_to_the_next() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    let user = source.user(tenancy).await;
    let mut early = source.session().await;
    let open = early.transaction().await.expect("begin");
    assert_eq!(pass(open.client(), BATCH).await.rows, 1);
    open.rollback().await.expect("rollback");
    assert_eq!(source.value(r#"select count(*) from "OutgoingRequest""#).await, "0");
    assert_eq!(source.pass().await.rows, 1);
    assert!(source.user_id(user).await.is_some());
}

#[tokio::test]
async fn a_reader_misses_nothing_while_a_pass_is_open() {
    let source = Source::new().await;
    assert_eq!(missed_by_a_reader(&source).await, 0);
}

#[tokio::test]
async fn without_the_lock_a_reader_would_miss_rows() {
    let source = Source::new().await;
    source
        .without(
            "backfill_null_sequence_ids",
            "not pg_try_advisory_xact_lock(1952805748, hashtext(current_schema()))",
            "false",
        )
        .await;
    // Both write a row of the ledger; its number would be refused, too.
    source.run(r#"alter table "SequencerPass" drop constraint "SequencerPass_pkey""#).await;
    assert_eq!(missed_by_a_reader(&source).await, 1);
}

#[tokio::test]
async fn with_a_lock_that_ends_before_the_commit_a_reader_would_miss_rows() {
    let source = Source::new().await;
    source.without("backfill_null_sequence_ids", "pg_try_advisory_xact_lock", "pg_try_advisory_lock").await;
    let release = "outcome := 'done'; perform pg_advisory_unlock(1952805748, hashtext(current_schema()));";
    source.without("backfill_null_sequence_ids", "outcome := 'done';", release).await;
    source.run(r#"alter table "SequencerPass" drop constraint "SequencerPass_pkey""#).await;
    assert_eq!(missed_by_a_reader(&source).await, 1);
}

/// Two sequencers take turns; returns how many rows a reader never saw.
async fn missed_over_turns(source: &Source) -> usize {
    let tenancy = source.tenancy().await;
    let sessions = [source.session().await, source.session().await];
    let mut reader = Follower::default();
    for turn in [0, 1, 0, 1, 1, 0] {
        source.user(tenancy).await;
        assert_eq!(pass(&sessions[turn], BATCH).await.rows, 1);
        reader.read(source).await;
    }
    reader.missed(source).await
}

#[tokio::test]
async fn ids_follow_each_other_over_sessions() {
    let source = Source::new().await;
    assert_eq!(
        source.value("select seqcache from pg_sequence where seqrelid = 'global_seq_id'::regclass").await,
        "1"
    );
    assert_eq!(missed_over_turns(&source).await, 0);

    let source = Source::new().await;
    source.run("alter sequence global_seq_id cache 50").await;
    assert!(missed_over_turns(&source).await > 0, "a cached sequence would lose rows");
}

/// A transaction over both tables commits while a pass is in the middle of its statement.
#[tokio::test]
async fn a_transaction_that_commits_in_the_middle_of_a_pass_is_not_split() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    source.user(tenancy).await;
    let gate = Gate::close(&source).await;
    source.run(r#"create trigger "gate" before update on "ProjectUser" for each row execute function gate_trigger()"#).await;
    let sequencer = source.session().await;
    let passing = tokio::spawn(async move { pass(&sequencer, BATCH).await });
    gate.reached().await;
    let (user, channel) = (Uuid::new_v4(), Uuid::new_v4());
    source
        .run(&format!(
            "begin; {}; {}; commit",
            insert_user(tenancy, user),
            insert_channel(tenancy, user, channel)
        ))
        .await;
    gate.open().await;
    assert_eq!(passing.await.expect("the pass").rows, 1, "what came later is not part of it");
    assert_eq!((source.user_id(user).await, source.channel_id(channel).await), (None, None));
    assert_eq!(source.pass().await.rows, 2);
    assert!(source.user_id(user).await.is_some() && source.channel_id(channel).await.is_some());
}

/// The same while the pass has its snapshot and has not locked the rows yet: a newer version of a row is left, with
/// everything else that its transaction changed.
#[tokio::test]
async fn a_row_that_changes_between_snapshot_and_lock_waits_with_its_transaction() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    let user = source.user(tenancy).await;
    let channel = source.channel(tenancy, user).await;
    source.settle().await;
    let other = source.user(tenancy).await;
    touch_user(&source.sql, user, "first").await;
    let gate = gate_before_locks(&source).await;
    let sequencer = source.session().await;
    let passing = tokio::spawn(async move { pass(&sequencer, BATCH).await });
    gate.reached().await;
    source
        .run(&format!(
            r#"begin; update "ProjectUser" set "displayName" = 'second' where "projectUserId" = '{user}';
               update "ContactChannel" set "value" = 'second' where "id" = '{channel}'; commit"#
        ))
        .await;
    gate.open().await;
    assert_eq!(passing.await.expect("the pass").rows, 1, "the other user alone");
    assert!(source.user_id(other).await.is_some());
    assert_eq!((source.user_id(user).await, source.channel_id(channel).await), (None, None));
    source.settle().await;
    assert!(source.user_id(user).await.is_some() && source.channel_id(channel).await.is_some());
}

/// A channel that changes between snapshot and lock does not send its user ahead: both wait.
#[tokio::test]
async fn what_depends_on_a_row_that_changed_after_the_snapshot_waits_with_it() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    let user = source.user(tenancy).await;
    let channel = source.channel(tenancy, user).await;
    source.settle().await;
    let before = source.user_id(user).await;
    touch_channel(&source.sql, channel, "first").await;
    let gate = gate_before_locks(&source).await;
    let sequencer = source.session().await;
    let passing = tokio::spawn(async move { pass(&sequencer, BATCH).await });
    gate.reached().await;
    touch_channel(&source.sql, channel, "second").await;
    gate.open().await;
    assert_eq!(passing.await.expect("the pass").rows, 0);
    assert_eq!((source.user_id(user).await, source.channel_id(channel).await), (before, None));
    source.settle().await;
    assert!(source.user_id(user).await > before && source.channel_id(channel).await.is_some());
}

async fn touch_channel(client: &Client, channel: Uuid, value: &str) {
    run(client, &format!(r#"update "ContactChannel" set "value" = '{value}' where "id" = '{channel}'"#))
        .await;
}

async fn touch_user(client: &Client, user: Uuid, name: &str) {
    let update =
        format!(r#"update "ProjectUser" set "displayName" = '{name}' where "projectUserId" = '{user}'"#);
    run(client, &update).await;
}

/// The pass looks at "ParkedRow" while it picks rows: before it locks the first.
async fn gate_before_locks(source: &Source) -> Gate {
    let gate = Gate::close(source).await;
    source
        .run(
            r#"alter table "ParkedRow" rename to "ParkedRowTable";
               create view "ParkedRow" as select * from "ParkedRowTable" where gate()"#,
        )
        .await;
    gate
}

/// Two sequencers in two schemas of one database do not hinder each other.
#[tokio::test]
async fn the_lock_is_in_a_class_of_our_own() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    source.user(tenancy).await;
    let application = source.session().await;
    run(&application, "select pg_advisory_lock(hashtext('public')), pg_advisory_lock(1952805748)").await;
    assert_eq!(source.pass().await.rows, 1);
}
