//! What happened in which order, and what a target sees of it.

use tenant_sync_tests::database::rows;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{Target, Tenant};

/// The customer writes down everything that is done to `users`.
const AUDIT: &str = "create table audit (n serial, op text, name text);
    create function audit() returns trigger language plpgsql as $$ begin
      insert into tenant_sync.audit (op, name) values (tg_op, coalesce(new.display_name, old.display_name)); return null; end $$;
    create trigger audit after insert or update or delete on users for each row execute function audit()";

async fn audited<'a>(stack: &'a Stack, tenant: &Tenant<'a>) -> Target<'a> {
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    target.sql(AUDIT).await;
    target
}

#[tokio::test]
async fn the_last_of_several_changes_wins_and_what_was_deleted_before_is_never_seen() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = audited(&stack, &tenant).await;
    stack.settled().await;
    workers.sequencer.terminate().await;

    let kept = tenant.user("first").await;
    let gone = tenant.user("never seen").await;
    tenant.primary(gone, "gone@example.com").await;
    for name in ["second", "third", "last"] {
        let rename = r#"update "ProjectUser" set "displayName" ="#;
        tenant.sql(&format!(r#"{rename} '{name}' where "projectUserId" = '{kept}'"#)).await;
    }
    tenant.sql(&format!(r#"delete from "ProjectUser" where "projectUserId" = '{gone}'"#)).await;
    workers.sequencer.launch_again();
    workers.sequencer.wait_ready().await;
    target.caught_up().await;
    stack.settled().await;
    assert_eq!(target.rows("select op, name from audit order by n").await, ["INSERT|last"]);
    assert_eq!(target.value("select count(*) from contact_channels").await, "0");
}

#[tokio::test]
async fn the_same_address_and_the_same_key_come_back() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let user = tenant.user("Ada").await;
    for round in 1..=3 {
        // Another channel with the same address.
        let channel = tenant.primary(user, "ada@example.com").await;
        target.shows("select primary_email from users", &["ada@example.com"]).await;
        target.shows("select id from contact_channels", &[&channel.to_string()]).await;
        tenant.sql(r#"delete from "ContactChannel""#).await;
        if round == 2 {
            target.shows("select primary_email from users", &["∅"]).await;
        }
    }
    // Delete and insert of the same key, in one transaction and in two, also with the channel moved along.
    for name in ["one transaction", "again"] {
        tenant
            .sql(&format!(
                r#"begin; delete from "ProjectUser" where "projectUserId" = '{user}';
                   insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ('{{tenancy}}', '{user}', '{name}');
                   insert into "ContactChannel" ("tenancyId", "projectUserId", "id", "value", "isPrimary")
                   values ('{{tenancy}}', '{user}', '{user}', 'new@example.com', true); commit"#
            ))
            .await;
        target
            .shows("select display_name, primary_email from users", &[&format!("{name}|new@example.com")])
            .await;
        target.caught_up().await;
    }
    tenant.sql(&format!(r#"delete from "ProjectUser" where "projectUserId" = '{user}'"#)).await;
    tenant
        .sql(&format!(
            r#"insert into "ProjectUser" ("tenancyId", "projectUserId", "displayName") values ('{{tenancy}}', '{user}', 'two')"#
        ))
        .await;
    target.shows("select display_name, primary_email from users", &["two|∅"]).await;
    target.caught_up().await;
    stack.settled().await;
    target.caught_up().await;
}

#[tokio::test]
async fn a_long_sequence_of_everything_ends_equal() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let client = stack.internal().connect().await;
    tenant.users(1, 60).await;
    let steps = [
        r#"update "ProjectUser" set "displayName" = "displayName" || '+' where random() < 0.3"#,
        r#"delete from "ContactChannel" where random() < 0.1"#,
        r#"delete from "ProjectUser" where random() < 0.05"#,
        r#"update "ContactChannel" set "isVerified" = not "isVerified" where random() < 0.3"#,
        r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "value")
           select "tenancyId", "projectUserId", 'more@example.com' from "ProjectUser" where random() < 0.2"#,
        r#"update "ContactChannel" c set "isPrimary" = true where not c."isPrimary" and c."id" = (
             select min(o."id"::text)::uuid from "ContactChannel" o where o."projectUserId" = c."projectUserId")
           and not exists (select from "ContactChannel" p where p."projectUserId" = c."projectUserId" and p."isPrimary")"#,
        r#"begin; update "ProjectUser" set "displayName" = 'rolled back'; delete from "ContactChannel"; rollback"#,
        r#"begin; savepoint a; delete from "ProjectUser" where random() < 0.1; rollback to a;
           update "ProjectUser" set "serverMetadata" = '{"n": 1}' where random() < 0.2; commit"#,
        r#"insert into "ProjectUser" ("tenancyId", "displayName") select "id", 'new' from "Tenancy""#,
    ];
    client.batch_execute("select setseed(0.42)").await.expect("seeds");
    for round in 0..8 {
        for step in steps {
            client.batch_execute(step).await.unwrap_or_else(|error| panic!("{step}: {error:?}"));
        }
        if round % 3 == 0 {
            target.caught_up().await;
        }
    }
    target.caught_up().await;
    assert_eq!(target.value("select count(*) from users where display_name = 'rolled back'").await, "0");
    // Nothing that still travels undoes it.
    stack.settled().await;
    target.caught_up().await;
}

#[tokio::test]
async fn rows_that_did_not_change_are_not_rewritten() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 1500).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    stack.settled().await;
    let versions = "select 'user', id, xmin from users union all select 'channel', id, xmin from contact_channels order by 1, 2";
    let session = target.session().await;
    let before = rows(&session, versions).await.expect("a query");

    // An ORM saves what it read, a sync is asked for, a worker starts anew, a resync compares everything.
    tenant.sql(r#"update "ProjectUser" set "displayName" = "displayName", "updatedAt" = now(), "sequenceId" = null"#).await;
    tenant.sql(r#"update "ProjectUser" set "lastActiveAt" = now(), "shouldUpdateSequenceId" = true"#).await;
    target.ask().await;
    stack.settled().await;
    workers.sync_worker.terminate().await;
    workers.sync_worker.launch_again();
    workers.sync_worker.wait_ready().await;
    tenant.sql(r#"update "SyncState" set "fillRequested" = true"#).await;
    target.ask().await;
    stack.settled().await;
    assert_eq!(workers.sync_worker.logs().matching("a resync was asked for").len(), 2);
    assert_eq!(tenant.value(r#"select bool_or("fillRequested" or "filling") from "SyncState""#).await, "f");
    assert_eq!(rows(&session, versions).await.expect("a query"), before);

    // Changes one by one touch these rows and no other; a change there and back touches none.
    tenant.sql(r#"update "ProjectUser" set "displayName" = 'changed' where "displayName" = '000003'"#).await;
    target.caught_up().await;
    stack.settled().await;
    let after = rows(&session, versions).await.expect("a query");
    let differ = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    assert_eq!((before.len(), after.len(), differ), (3000, 3000, 1));
}
