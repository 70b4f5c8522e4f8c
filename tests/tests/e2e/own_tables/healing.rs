//! What no trigger could record is noticed and compared.

use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping;
use tenant_sync_sequencer::{Reads, follow_partitions};
use tenant_sync_tests::database::connect;

use super::application::{Application, INVOICES, invoices_of};

/// Our side is broken for a while: the application's writes go through, and arrive when it is mended. The fault is
/// handled only when the transaction that had it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_could_not_be_recorded_arrives_all_the_same() {
    let application = Application::start(INVOICES).await;
    application.adopt("public.invoices", "org_id").await;
    let tenant = application.tenant("1").await;
    let inside = application.stack.internal();
    let _sequencer =
        application.stack.sequencer().allow("writes of tracked tables could not be recorded").start().await;
    let (_poller, _worker) =
        tokio::join!(application.stack.poller().start(), application.stack.sync_worker().start());
    let target = invoices_of(&application, tenant, 1).add().await;
    inside.sql("insert into invoices (org_id, number) select 1, n::text from generate_series(1, 10) n").await;
    target.caught_up().await;
    // Whatever runs on this server when a tenancy comes, also for others, delays that its rows are compared once more.
    application
        .becomes(
            r#"select not exists (select from "Tenancy" where not "settled")
                   and not exists (select from "SyncState" where "fillRequested" or "filling")"#,
            "t",
        )
        .await;
    application.settled().await;

    inside.sql(r#"alter table "ChangedRow" add constraint "broken" check (false) not valid"#).await;
    let mut slow = connect(inside.url()).await;
    let open = slow.transaction().await.expect("begin");
    open.batch_execute("update invoices set paid = true where id = 1").await.expect("our fault is not its");
    inside.sql("update invoices set paid = true where id = 2").await;
    inside.sql(r#"alter table "ChangedRow" drop constraint "broken""#).await;
    application.becomes(r#"select count(*) from "TrackingWatch" where "noticedFault" = 2"#, "1").await;
    assert_eq!(target.value("select count(*) from invoices where paid").await, "0");
    open.commit().await.expect("commits");
    target.caught_up().await;
    assert_eq!(target.value("select count(*) from invoices where paid").await, "2");
    application.becomes(r#"select "handledFault" from "TrackingWatch""#, "2").await;
}

/// Triggers sleep while somebody writes. The rows are compared range by range, and what differs is mended; what agrees
/// is not touched, and none of it says that the target is behind.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_trigger_saw_is_found_by_comparing() {
    let mut application = Application::start(INVOICES).await;
    for (key, value) in
        [("sync.compare_interval", "1s"), ("sync.heartbeat", "500ms"), ("sync.batch_rows", "5")]
    {
        application.stack.set(key, value);
    }
    application.adopt("public.invoices", "org_id").await;
    let tenant = application.tenant("1").await;
    let inside = application.stack.internal();
    inside
        .sql("insert into invoices (org_id, number) select 1 + n % 2, n::text from generate_series(1, 40) n")
        .await;
    let (_sequencer, _poller) =
        tokio::join!(application.stack.sequencer().start(), application.stack.poller().start());
    let _worker = application.stack.sync_worker().allow("rows differed from their source").start().await;
    let target = invoices_of(&application, tenant, 1).add().await;
    target.caught_up().await;
    // As for a table that our schema's owner does not own.
    for event in ["insert", "update", "delete", "truncate"] {
        inside.sql(&format!("alter table invoices enable trigger \"~tenant_sync_public_{event}\"")).await;
    }
    let recorded = r#"select (select count(*) from "ChangedRow"), (select count(*) from "DeletedRow")"#;
    let known = inside.value(recorded).await;
    let unseen = "set session_replication_role = replica;
         update invoices set paid = true where id % 5 = 0; delete from invoices where id % 7 = 0;
         insert into invoices (id, org_id, number) values (1000, 1, 'unseen'), (0, 1, 'unseen, too')";
    inside.sql(unseen).await;
    inside
        .sql("alter table invoices disable trigger all; update invoices set org_id = 3 - org_id where id in (2, 3)")
        .await;
    assert_eq!(inside.value(recorded).await, known, "nothing was recorded");
    target.caught_up().await;

    let versions = "select string_agg(concat(id, ':', xmin), ' ' order by id) from invoices";
    let before = target.value(versions).await;
    let mut since = inside.value("select now()").await;
    for _ in 0..2 {
        let through = format!(
            r#"select count(*) from "SyncState" where "comparePosition" is null and "comparedAt" > '{since}'"#
        );
        application.becomes(&through, "1").await;
        since = inside.value("select now()").await;
    }
    assert_eq!(target.value(versions).await, before, "rows that agree are not touched");
    assert_eq!(inside.value(r#"select "filling" from "SyncState""#).await, "f");
}

const PARTED: &str = "
    create table invoices (
        id bigint generated by default as identity, org_id bigint not null, number text not null,
        amount numeric(12, 2) not null default 0, paid boolean not null default false, notes jsonb,
        updated_at timestamptz not null default now(), primary key (org_id, id)) partition by list (org_id);
    create table invoices_1 partition of invoices for values in (1);
    create table invoices_2 (like invoices including all);
    insert into invoices_2 (org_id, number) values (2, 'before'), (2, 'it was a part')";

/// A partition is attached with its rows, written to by name, and detached with them.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_come_and_go_with_their_rows() {
    let application = Application::start(PARTED).await;
    application.adopt("public.invoices", "org_id").await;
    let mappings = mapping::load(&application.stack.config()).expect("they are good");
    let (database, reads) =
        (Internal::new(&application.stack.config().database, "test").expect("a pool"), Reads::of(&mappings));
    let tenant = application.tenant("2").await;
    let inside = application.stack.internal();
    let _workers = application.stack.start_workers().await;
    let target = invoices_of(&application, tenant, 2).add().await;
    target.caught_up().await;
    let count = "select count(*) from invoices";
    assert_eq!(target.value(count).await, "0");
    inside.sql("alter table invoices attach partition invoices_2 for values in (2)").await;
    follow_partitions(&database, &reads).await.expect("no lock is in the way");
    target.shows(count, &["2"]).await;
    inside.sql("insert into invoices_2 (org_id, number) values (2, 'by name')").await;
    target.shows(count, &["3"]).await;
    inside.sql("update invoices_2 set paid = true where number = 'before'").await;
    target.caught_up().await;
    inside.sql("alter table invoices detach partition invoices_2").await;
    follow_partitions(&database, &reads).await.expect("no lock is in the way");
    target.shows(count, &["0"]).await;
}
