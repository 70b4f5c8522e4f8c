//! A pass costs what is pending, not what was processed while somebody keeps an old snapshot open.

use tenant_sync_tests::database;

use super::source::{Source, run};

/// Pages that a pass touches.
async fn pages(source: &Source) -> i64 {
    let pass = "select * from backfill_null_sequence_ids(5000)";
    database::pages(&source.sql, pass).await.expect(pass).expect("a line on buffers")
}

/// A pass over one change, and one over none, right after a pass that looked at everything. The least of several:
/// where autovacuum has just looked at a table, a session reads catalogs anew.
async fn pages_of_a_small_pass(source: &Source, tenancy: uuid::Uuid) -> (i64, i64) {
    let mut least = (i64::MAX, i64::MAX);
    for _ in 0..5 {
        let (one, none) = pages_once(source, tenancy).await;
        least = (least.0.min(one), least.1.min(none));
    }
    least
}

async fn pages_once(source: &Source, tenancy: uuid::Uuid) -> (i64, i64) {
    source.run(r#"update "SequencerPass" set "scannedFullyAt" = clock_timestamp() + interval '1 hour' where "pass" = (select max("pass") from "SequencerPass")"#).await;
    source.settle().await;
    source.user(tenancy).await;
    let one = pages(source).await;
    assert_eq!(source.pending().await, 0, "the pass gave the id");
    (one, pages(source).await)
}

/// More tenants than a pass takes, each with a change, again and again: what the passes kept of them costs nothing later.
#[tokio::test]
async fn many_tenants_under_a_held_snapshot_do_not_make_passes_expensive() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    source.user(tenancy).await;
    source
        .run(
            r#"insert into "Project" ("id") values ('many');
               insert into "Tenancy" ("projectId", "branchId") select 'many', n::text from generate_series(1, 3000) n;
               insert into "ProjectUser" ("tenancyId", "displayName") select "id", 'U' from "Tenancy" where "projectId" = 'many'"#,
        )
        .await;
    let settle = async || while source.pass_of(500).await.rows > 0 {};
    settle().await;
    let before = pages_of_a_small_pass(&source, tenancy).await;

    let holder = source.session().await;
    run(&holder, r#"begin isolation level repeatable read; select count(*) from "Tenancy""#).await;
    for n in 0..8 {
        source.run(&format!(r#"update "ProjectUser" set "displayName" = '{n}'"#)).await;
        settle().await;
    }
    // As autovacuum does when it likes: it sees that no row waits for an id, and nothing that it could remove.
    source.run("analyze").await;
    let after = pages_of_a_small_pass(&source, tenancy).await;
    assert!(
        after.0 <= before.0 * 2 + 200 && after.1 <= before.1 * 2 + 200,
        "pages of a pass (with one change, with none): {before:?} before, {after:?} after 24,000 changes"
    );
    run(&holder, "commit").await;
}

#[tokio::test]
async fn a_held_snapshot_does_not_make_passes_expensive() {
    let source = Source::new().await;
    let tenancy = source.tenancy_with_target().await;
    source.user(tenancy).await;
    source.settle().await;
    let before = pages_of_a_small_pass(&source, tenancy).await;

    let holder = source.session().await;
    run(&holder, r#"begin isolation level repeatable read; select count(*) from "Tenancy""#).await;
    source
        .run(&format!(
            r#"insert into "ProjectUser" ("tenancyId", "displayName")
               select '{tenancy}', 'U' from generate_series(1, 25000);"#
        ))
        .await;
    source.settle().await;
    source.run(r#"update "ProjectUser" set "displayName" = 'V'"#).await;
    source.settle().await;
    let after = pages_of_a_small_pass(&source, tenancy).await;
    assert!(
        after.0 <= before.0 * 2 + 200 && after.1 <= before.1 * 2 + 200,
        "pages of a pass (with one change, with none): {before:?} before, {after:?} after 50,000 changes"
    );

    // What it would cost to look at all that is flagged, dead or alive.
    source
        .without(
            "backfill_null_sequence_ids",
            "full_scan := before is null",
            "full_scan := true or before is null",
        )
        .await;
    source.user(tenancy).await;
    let unbounded = pages(&source).await;
    assert!(unbounded > after.0 * 3, "{unbounded} pages against {}", after.0);
    run(&holder, "commit").await;
}
