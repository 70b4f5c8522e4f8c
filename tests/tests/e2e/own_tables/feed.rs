//! The feed of a tracked table: its pointers are read with the live row, and go when they are not needed any more.

use tenant_sync_core::db::Internal;
use tenant_sync_tests::database::connect;
use tenant_sync_tests::tenant::SOON;

use super::application::{Application, INVOICES, invoices_of};

/// Half of the changes come while nobody reads; the rows that they point to change again, go and come back.
#[tokio::test(flavor = "multi_thread")]
async fn pointers_are_read_with_the_live_row_page_by_page() {
    let mut application = Application::start(INVOICES).await;
    application.stack.set("sync.batch_rows", 7);
    application.stack.set("sync.atomic_rows", 7);
    application.adopt("public.invoices", "org_id").await;
    let (one, other) = (application.tenant("1").await, application.tenant("2").await);
    let inside = application.stack.internal();
    inside
        .sql("insert into invoices (org_id, number) select 1 + n % 2, n::text from generate_series(1, 60) n")
        .await;
    let workers = application.stack.start_workers().await;
    let target = invoices_of(&application, one, 1).add().await;
    target.caught_up().await;
    target.pause().await;
    application.settled().await;
    for change in [
        "update invoices set amount = 1",
        "update invoices set amount = 2 where id <= 30",
        "delete from invoices where id between 10 and 20",
        "insert into invoices select n, 1, 'again' from generate_series(10, 14) n",
        "update invoices set id = id + 1000 where id between 31 and 36",
    ] {
        inside.sql(change).await;
        application.sequenced().await;
    }
    assert_eq!(inside.value(r#"select count(distinct "tenancyId") from "ChangedRow""#).await, "2");
    target.resume().await;
    target.caught_up().await;
    let second = invoices_of(&application, other, 2).schema("second").add().await;
    second.caught_up().await;
    drop(workers);
}

#[tokio::test(flavor = "multi_thread")]
async fn pointers_go_when_every_target_is_past_them() {
    let application = Application::start(INVOICES).await;
    application.adopt("public.invoices", "org_id").await;
    let tenant = application.tenant("1").await;
    let inside = application.stack.internal();
    let _workers = application.stack.start_workers().await;
    let target = invoices_of(&application, tenant, 1).add().await;
    inside.sql("insert into invoices (org_id, number) select 1, n::text from generate_series(1, 10) n").await;
    target.caught_up().await;
    application.sequenced().await;
    application.settled().await;
    target.pause().await;
    inside.sql("update invoices set paid = true where id = 1").await;
    application.sequenced().await;
    let pointers = r#"select count(*) from "ChangedRow""#;
    let database = Internal::new(&application.stack.config().database, "test").expect("a pool");
    let week = std::time::Duration::from_secs(7 * 86_400);
    tenant_sync_sequencer::purge_all(&database, week).await.expect("purges");
    assert_eq!(inside.value(pointers).await, "11", "too young to go");
    inside.sql(r#"update "ChangedRow" set "changedAt" = now() - interval '1 hour'"#).await;
    tenant_sync_sequencer::purge_all(&database, week).await.expect("purges");
    assert_eq!(inside.value(pointers).await, "1", "the target has yet to see one");
    inside.sql(r#"update "ChangedRow" set "changedAt" = now() - interval '8 days'"#).await;
    tenant_sync_sequencer::purge_all(&database, week).await.expect("purges");
    assert_eq!(inside.value(pointers).await, "0", "nothing is kept beyond the retention");
    // What it could not see any more it is compared for.
    target.resume().await;
    target.caught_up().await;
    assert_eq!(target.value("select paid from invoices where id = 1").await, "t");
}

/// A row was written, and not committed, before its tenant was known: no trigger could say whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_older_than_its_tenant_arrives() {
    let application = Application::start(INVOICES).await;
    application.adopt("public.invoices", "org_id").await;
    let _workers = application.stack.start_workers().await;
    let mut early = connect(application.stack.internal().url()).await;
    let open = early.transaction().await.expect("begin");
    open.batch_execute("insert into invoices (org_id, number) values (1, 'early')").await.expect("inserts");
    let tenant = application.tenant("1").await;
    application.stack.internal().sql("insert into invoices (org_id, number) values (1, 'late')").await;
    let target = invoices_of(&application, tenant, 1).add().await;
    target.shows("select number from invoices", &["late"]).await;
    open.commit().await.expect("commits");
    target.caught_up().await;
    target.shows("select number from invoices order by id", &["early", "late"]).await;
    let settled = r#"select "settled" from "Tenancy" where "tenantKey" = '1'"#;
    assert_eq!(application.stack.internal().value(settled).await, "t");
}

/// The same where the transaction writes only when its tenant is long known to everybody else: its snapshot is older.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_snapshot_that_is_older_than_its_tenant_arrives() {
    for level in ["repeatable read", "serializable"] {
        let application = Application::start(INVOICES).await;
        application.adopt("public.invoices", "org_id").await;
        let _workers = application.stack.start_workers().await;
        let inside = application.stack.internal();
        inside.sql("insert into invoices (org_id, number) values (1, 'old'), (1, 'gone')").await;
        let early = connect(inside.url()).await;
        let begin = format!("begin isolation level {level}; select count(*) from invoices");
        early.batch_execute(&begin).await.expect("takes its snapshot");
        let tenant = application.tenant("1").await;
        let target = invoices_of(&application, tenant, 1).add().await;
        target.caught_up().await;
        let known = r#"select "settled", "settlesAt" is null from "Tenancy" where "tenantKey" = '1'"#;
        application.becomes(known, "f|f").await;
        let writes = "insert into invoices (org_id, number) values (1, 'new');
             update invoices set paid = true where number = 'old'; delete from invoices where number = 'gone'";
        early.batch_execute(writes).await.expect("writes");
        assert_eq!(inside.value(r#"select count(*) from "ChangedRow""#).await, "0", "no trigger knew whose");
        early.batch_execute("commit").await.expect("commits");
        target.shows("select number, paid from invoices order by id", &["old|t", "new|f"]).await;
        application.becomes(known, "t|f").await;
    }
}

/// Tenants whose keys are equal as values, and not as text, are two tenants: in the first copy, in changes, in deletes.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_told_apart_by_what_their_keys_read() {
    let application = Application::start(
        "create table invoices (id bigint primary key, org_id numeric not null, number text);
         create index on invoices (org_id, id);
         insert into invoices values (1, 1, 'one'), (2, 1.0, 'one point nought')",
    )
    .await;
    application.adopt("public.invoices", "org_id").await;
    let _workers = application.stack.start_workers().await;
    let inside = application.stack.internal();
    let mut targets = Vec::new();
    for key in ["1", "1.0"] {
        let tenant = application.tenant(key).await;
        let target = tenant.target(application.stack.external(0)).mapping("invoices");
        targets.push(target.schema(&format!("of_{}", key.replace('.', "_"))).add().await);
    }
    let numbers = "select number from invoices order by id";
    targets[0].shows(numbers, &["one"]).await;
    targets[1].shows(numbers, &["one point nought"]).await;
    inside.sql("insert into invoices values (3, 1, 'more'), (4, 1.0, 'more point nought'); update invoices set org_id = 1.0 where id = 1").await;
    targets[0].shows(numbers, &["more"]).await;
    targets[1].shows(numbers, &["one", "one point nought", "more point nought"]).await;
}

/// The worker dies in the middle of the first copy while the application writes: the next one goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_copy_goes_on_where_it_was() {
    let mut application = Application::start(INVOICES).await;
    application.stack.set("sync.batch_rows", 50);
    application.stack.set("sync.atomic_rows", 50);
    application.stack.set("sync.turn_rows", 100);
    application.stack.set("sync.run_lease", "2s");
    application.stack.set("sync.target_connections", 9);
    application.adopt("public.invoices", "org_id").await;
    let tenant = application.tenant("1").await;
    let inside = application.stack.internal();
    inside
        .sql(
            "insert into invoices (org_id, number) select 1 + n % 2, n::text from generate_series(1, 2000) n",
        )
        .await;
    let (_sequencer, _poller) =
        tokio::join!(application.stack.sequencer().start(), application.stack.poller().start());
    application.becomes(r#"select "settled" from "Tenancy""#, "t").await;
    let target = invoices_of(&application, tenant, 1).add().await;
    let mut dying = application.stack.sync_worker().failpoint("sync.before_commit=abort@4").spawn();
    assert!(!dying.wait_exit(SOON).await.success(), "it did not die");
    let half: usize = target.value("select count(*) from invoices").await.parse().expect("a number");
    assert!(0 < half && half < 1000, "{half} rows are there");
    inside
        .sql("update invoices set paid = true where id % 3 = 0; delete from invoices where id % 7 = 0")
        .await;
    let successor = application.stack.sync_worker().start().await;
    target.caught_up().await;
    assert!(successor.logs().matching("filling a table").is_empty(), "it does not begin again");
}
