//! What customers do to the rows and tables of ours: it is noticed, or mended when somebody asks for it.

use tenant_sync_tests::database::rows;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

/// Nobody changes anything or asks for a sync: visits notice it.
#[tokio::test]
async fn what_the_customer_drops_or_empties_is_filled_by_the_next_visit() {
    let mut stack = Stack::start().await;
    stack.set("sync.heartbeat", "1s");
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 300).await;
    let reader = stack.external(0).role("nosuperuser").await;
    let target = tenant.target(stack.external(0)).reader(&reader.name).add().await;
    target.caught_up().await;
    for damage in [
        "drop table users",
        "drop table users; drop table contact_channels",
        "truncate contact_channels",
        "delete from users",
        "delete from users; truncate contact_channels",
    ] {
        target.sql(damage).await;
        target.caught_up().await;
    }
    // A table that was made again is as the first one was.
    let made = format!(
        "select has_table_privilege('{}', c.oid, 'SELECT'), (select count(*) from pg_index where indrelid = c.oid),
           obj_description(c.oid) like '%tenant-sync%' from pg_class c where relname in ('users', 'contact_channels')
           and relnamespace = 'tenant_sync'::regnamespace",
        reader.name
    );
    assert_eq!(target.rows(&made).await, ["t|2|t", "t|2|t"]);
    target.is("ok|∅").await;
}

/// A hole in a table that is not empty is seen by a comparison only, which somebody asks for.
#[tokio::test]
async fn a_resync_mends_what_was_partly_deleted_and_writes_nothing_else() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 300).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    stack.settled().await;
    let written = "select id, xmin from users union all select id, xmin from contact_channels order by 1";
    let before = target.rows(written).await;
    target
        .sql("delete from users where display_name <= '000100'; delete from contact_channels where value > 'user000250@example.com'")
        .await;
    stack.cli().json(&["sync", "resync", "--tenancy", &tenant.id().to_string()]).await;
    target.caught_up().await;
    stack.settled().await;
    let after = target.rows(written).await;
    let kept = after.iter().filter(|row| before.contains(row)).count();
    assert_eq!((after.len(), kept), (600, 450), "rows that were there are not touched");
}

/// During a resync readers see every row that they saw before, and what the customer built on our tables lives on.
#[tokio::test]
async fn a_resync_leaves_the_customers_things_and_the_readers_alone() {
    let mut stack = Stack::start().await;
    for bound in ["sync.batch_rows", "sync.atomic_rows", "sync.turn_rows"] {
        stack.set(bound, 100);
    }
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 500).await;
    let guest = stack.external(0).role("nosuperuser").await;
    let target = tenant.target(stack.external(0)).reader(&guest.name).add().await;
    let mut workers = stack.start_workers().await;
    target.caught_up().await;
    stack.settled().await;
    workers.sync_worker.terminate().await;
    target.sql(&customers_things(&guest.name)).await;
    target.sql(DAMAGE).await;
    let written = "select id, xmin from users order by 1";
    let before = target.rows(written).await;

    stack.cli().json(&["sync", "resync", "--tenancy", &tenant.id().to_string()]).await;
    let hold = stack.hold("sync.after_write@2");
    let _worker = stack.sync_worker().failpoint(hold.failpoint()).start().await;
    hold.reached().await;
    let reader = target.session().await;
    reader.batch_execute("set statement_timeout = '2s'").await.expect("sets a bound");
    let look = "select (select count(*) from users) between 499 and 501, (select count(*) from customers where note like 'of %') >= 499";
    assert_eq!(rows(&reader, look).await.expect("nobody holds the table"), ["t|t"]);
    hold.release();
    let seen = target.caught_up();
    tokio::pin!(seen);
    loop {
        tokio::select! {
            () = &mut seen => break,
            found = rows(&reader, look) => assert_eq!(found.expect("answers"), ["t|t"]),
        }
    }
    stack.settled().await;

    let after = target.rows(written).await;
    assert_eq!(
        after.iter().filter(|row| before.contains(row)).count(),
        497,
        "rows that agree are not touched"
    );
    let changes = "select what, name from changes order by 1, 2";
    assert_eq!(
        target.rows(changes).await,
        ["DELETE|surplus", "INSERT|000200", "UPDATE|000001", "UPDATE|000333"],
        "the trigger saw what was changed, and nothing else"
    );
    assert_eq!(target.value("select count(*) from users where note = 'of ' || display_name").await, "499");
    assert_eq!(
        target.value("select indisvalid from pg_index where indexrelid = 'by_lower_name'::regclass").await,
        "t"
    );
    let may = format!(
        "select has_table_privilege('{0}', 'customers', 'SELECT'), has_table_privilege('{0}', 'users', 'SELECT')",
        guest.name
    );
    assert_eq!(target.value(&may).await, "t|t");
}

/// What a customer may build on a table of ours.
fn customers_things(guest: &str) -> String {
    format!(
        "alter table users add note text not null default 'mine';
         update users set note = 'of ' || display_name;
         create index by_lower_name on users (lower(display_name));
         create view customers as select id, display_name, note from users;
         grant select on customers to {guest};
         create table changes (what text, name text);
         create function note_change() returns trigger language plpgsql set search_path from current as $$ begin
           insert into changes values (tg_op, coalesce(new.display_name, old.display_name)); return null; end $$;
         create trigger note_change after insert or update or delete on users
           for each row execute function note_change()"
    )
}

/// Unseen by the customer's trigger.
const DAMAGE: &str = "set session_replication_role = replica;
    update users set display_name = 'spoilt' where display_name in ('000001', '000333');
    delete from users where display_name = '000200';
    insert into users (id, display_name, primary_email_verified, client_metadata, client_read_only_metadata, server_metadata)
      values (gen_random_uuid(), 'surplus', false, '{}', '{}', '{}')";

/// Emptied between a turn's lock and what it writes: the turn has seen the table as it was, so the next one sees the
/// difference, though the table is not empty any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_truncated_while_a_turn_runs_is_filled_again() {
    let stack = Stack::start().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 3).await;
    let target = tenant.target(stack.external(0)).add().await;
    let mut workers = stack.start_workers().await;
    target.caught_up().await;
    stack.settled().await;
    workers.sync_worker.terminate().await;
    tenant
        .sql(r#"update "ProjectUser" set "displayName" = 'changed' where "tenancyId" = '{tenancy}' and "displayName" = '000001'"#)
        .await;
    let hold = stack.hold("sync.after_read@1");
    let _worker = stack.sync_worker().failpoint(hold.failpoint()).start().await;
    hold.reached().await;
    target.sql("truncate users").await;
    hold.release();
    target.caught_up().await;
}
