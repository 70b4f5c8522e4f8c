//! The source may step back: ids are never used twice, as far as targets can tell.

use super::source::Source;

async fn epochs(source: &Source) -> Vec<String> {
    source.rows(r#"select "firstSequenceId", "reason" from "SourceEpoch" order by "number""#).await
}

#[tokio::test]
async fn a_watermark_from_a_lost_future_begins_an_epoch_and_is_jumped_over() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    source.user(tenancy).await;
    source.settle().await;
    assert_eq!(epochs(&source).await, ["1|first start"]);
    assert_eq!(source.value("select note_source_rewound(1)").await, "f", "that was given");
    assert_eq!(source.value("select note_source_rewound(5000)").await, "t");
    assert_eq!(
        epochs(&source).await.last().map(String::as_str),
        Some("2|a target was ahead of this database")
    );
    assert_eq!(source.value("select note_source_rewound(5000)").await, "f", "noted once");

    let user = source.user(tenancy).await;
    assert_eq!(source.pass().await.last, 5001);
    assert_eq!(source.user_id(user).await, Some(5001));
}

/// A watermark is a stranger's input: it must not spend all ids there are.
#[tokio::test]
async fn an_impossible_watermark_does_not_move_the_sequence() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    source.user(tenancy).await;
    source.settle().await;
    assert_eq!(source.value(&format!("select note_source_rewound({})", i64::MAX)).await, "f");
    source.user(tenancy).await;
    assert_eq!(source.pass().await.last, 2);
}

#[tokio::test]
async fn a_note_waits_for_the_pass_and_a_pass_for_nobody() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    source.user(tenancy).await;
    source.settle().await;
    let mut noting = source.session().await;
    let open = noting.transaction().await.expect("begin");
    open.query_one("select note_source_rewound(100)", &[]).await.expect("notes");
    source.user(tenancy).await;
    assert_eq!(source.pass().await.outcome, "standby");
    open.commit().await.expect("commit");
    assert_eq!(source.pass().await.last, 101);
}

/// A copy or a promoted standby: the server was started, and its sequence may lie behind its own ledger.
#[tokio::test]
async fn another_start_of_the_server_begins_an_epoch_before_any_id_is_given() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    for _ in 0..40 {
        source.user(tenancy).await;
    }
    source.settle().await;
    source
        .run(r#"update "SourceEpoch" set "postmasterStartedAt" = now() - interval '1 day'; select setval('global_seq_id', 7)"#)
        .await;
    let user = source.user(tenancy).await;
    source.pass().await;
    assert_eq!(epochs(&source).await, ["1|first start", "41|the server was started"]);
    assert_eq!(source.user_id(user).await, Some(41), "no id is used twice");
}

/// A copy made by logical replication has the rows of the feed, and a sequence that begins anew.
#[tokio::test]
async fn another_start_of_the_server_does_not_use_an_id_of_the_feed_twice() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    let pointer = format!(
        r#"insert into "ChangedRow" ("tenancyId", "tableName", "primaryKey") values ('{tenancy}', 'public.t', '{{}}')"#
    );
    for _ in 0..3 {
        source.run(&pointer).await;
    }
    source.settle().await;
    source
        .run(r#"update "SourceEpoch" set "postmasterStartedAt" = now() - interval '1 day'; select setval('changed_row_seq', 1)"#)
        .await;
    source.pass().await;
    source.run(&pointer).await;
    assert_eq!(
        source.value(r#"select max("id"::text) from "ChangedRow""#).await,
        "00000000-0000-0000-0000-000000000004"
    );
}

/// The ledger of another cluster is ahead of this one's transactions (a dump restored elsewhere).
#[tokio::test]
async fn a_ledger_from_another_cluster_is_not_believed() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    source.user(tenancy).await;
    source.settle().await;
    source.run(r#"update "SequencerPass" set "fromXid" = '9999999999999', "scannedFullyAt" = now()"#).await;
    let user = source.user(tenancy).await;
    source.pass().await;
    assert_eq!(source.user_id(user).await, Some(2));
    assert_eq!(source.value(&format!("select tail_start('{tenancy}') < '9999999999999'::xid8")).await, "t");
}
