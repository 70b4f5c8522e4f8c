//! Every tenant with something pending gets a share of each pass before any gets a second.

use std::time::Duration;

use super::source::Source;

async fn import(source: &Source, tenancy: uuid::Uuid, rows: u32) {
    let insert = format!(
        r#"insert into "ProjectUser" ("tenancyId", "displayName") select '{tenancy}', 'U' from generate_series(1, {rows})"#
    );
    source.run(&insert).await;
}

#[tokio::test]
async fn one_row_is_in_the_next_pass_while_another_tenant_imports_100_000() {
    let source = Source::new().await;
    let (large, small) = (source.tenancy_with_target().await, source.tenancy_with_target().await);
    import(&source, large, 100_000).await;
    let first = source.user(small).await;
    let pass = source.pass().await;
    assert!(pass.more && source.user_id(first).await.is_some(), "both are new: {pass:?}");
    assert!(pass.rows > 1, "the large one got its share, too: {pass:?}");

    // The large one is known as a backlog by now; the small one comes again.
    let second = source.user(small).await;
    let pass = source.pass().await;
    assert!(pass.more && source.user_id(second).await.is_some(), "{pass:?}");

    // Each full pass says that the next is to follow at once; the last one does not.
    let (mut passes, mut pass) = (2, pass);
    while pass.more {
        assert!(pass.rows > 0, "a pass that gives nothing is followed at once: {pass:?}");
        pass = source.pass().await;
        passes += 1;
    }
    assert_eq!(source.pending().await, 0);
    assert!(passes < 30, "100,000 rows in passes of up to 5,000 took {passes}");
}

#[tokio::test]
async fn with_more_tenants_than_rows_a_pass_all_are_served_in_turn() {
    let source = Source::new().await;
    let mut tenancies = Vec::new();
    for _ in 0..30 {
        tenancies.push(source.tenancy().await);
    }
    for tenancy in &tenancies {
        import(&source, *tenancy, 3).await;
    }
    for _ in 0..3 {
        assert_eq!(source.pass_of(10).await.rows, 10);
    }
    let served = r#"select count(distinct "tenancyId"), count(*) from "ProjectUser" where not "shouldUpdateSequenceId""#;
    assert_eq!(source.value(served).await, "30|30", "nobody got a second row before all had one");
    for _ in 0..6 {
        assert_eq!(source.pass_of(10).await.rows, 10);
    }
    assert_eq!(source.pending().await, 0);
}

/// A tenant whose pending rows are of many small transactions is no more in the way than one with a large one.
#[tokio::test]
async fn one_row_is_in_the_next_pass_after_another_tenants_many_transactions() {
    let source = Source::new().await;
    let (busy, small) = (source.tenancy().await, source.tenancy().await);
    for _ in 0..40 {
        source.user(busy).await;
    }
    let user = source.user(small).await;
    assert_eq!(source.pass_of(5).await.rows, 3, "two of the busy one, and the one");
    assert!(source.user_id(user).await.is_some());
    source.settle().await;
    assert_eq!(source.pending().await, 0);
}

/// Somebody who always has something new does not push the others back.
#[tokio::test]
async fn a_tenant_that_never_stops_does_not_starve_the_others() {
    let source = Source::new().await;
    let busy: Vec<_> = [source.tenancy().await, source.tenancy().await].into();
    let patient = source.tenancy().await;
    import(&source, patient, 4).await;
    let mut passes = 0;
    while source.value(&format!(r#"select count(*) from "ProjectUser" where "tenancyId" = '{patient}' and "shouldUpdateSequenceId""#)).await != "0" {
        for tenancy in &busy {
            import(&source, *tenancy, 5).await;
        }
        source.pass_of(2).await;
        passes += 1;
        assert!(passes <= 8, "3 tenants, 2 rows a pass, 4 rows");
    }
}

/// The process follows a full pass at once, too: its interval would be over tomorrow.
#[tokio::test]
async fn the_interval_is_for_an_empty_pass() {
    let stack = tenant_sync_tests::stack::Stack::start().await;
    let tenancy = uuid::Uuid::new_v4();
    stack
        .internal()
        .sql(&format!(
            r#"insert into "Project" ("id") values ('p');
               insert into "Tenancy" ("id", "projectId") values ('{tenancy}', 'p');
               insert into "ProjectUser" ("tenancyId") select '{tenancy}' from generate_series(1, 95)"#
        ))
        .await;
    let sequencer = stack.sequencer().set("sequencer.poll_interval", "1d").set("sequencer.batch_size", 10);
    let _sequencer = sequencer.start().await;
    tenant_sync_tests::wait::eventually(Duration::from_secs(20), "all rows to have ids", async || {
        let left = stack
            .internal()
            .value(r#"select count(*) from "ProjectUser" where "shouldUpdateSequenceId""#)
            .await;
        if left == "0" { Ok(()) } else { Err(format!("{left} rows left")) }
    })
    .await;
}
