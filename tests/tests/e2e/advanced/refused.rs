//! Rows that a target does not take because of what its owner added: they are set aside, the rows after them go on,
//! and they arrive once they may.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Target, Tenant};
use tenant_sync_tests::wait::eventually;

const REFUSED: &str = "select mapping_name, sqlstate from _sync_refused order by 1, 2";

/// What was refused is due again, as it is a minute or more later.
async fn retry(target: &Target<'_>) {
    target.sql("update _sync_refused set retry_at = now()").await;
    target.try_now().await;
}

#[tokio::test]
async fn a_row_that_a_check_refuses_stops_no_other_and_heals() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    target.sql("alter table users add constraint no_bad check (display_name not like '%bad%')").await;

    tenant
        .sql(
            r#"insert into "ProjectUser" ("tenancyId", "displayName")
               select '{tenancy}', case when n in (7, 8, 50) then 'bad secret ' || n else 'fine ' || n end
               from generate_series(1, 100) n"#,
        )
        .await;
    target.shows("select count(*) from users", &["97"]).await;
    target.shows(REFUSED, &["users|23514", "users|23514", "users|23514"]).await;
    tenant.user("after").await;
    target.shows("select count(*) from users", &["98"]).await;
    target.is("ok|∅").await;
    let reasons = target.rows("select reason || key::text from _sync_refused").await.concat();
    assert!(reasons.contains("no_bad") && !reasons.contains("secret"), "{reasons}");
    assert!(workers.sync_worker.logs().matching("secret").is_empty(), "values stay out of the log");
    assert_eq!(
        tenant.value(r#"select "refusedRows" from "SyncState" where "mappingName" = 'users'"#).await,
        "3"
    );

    // One is deleted, one is changed to what may be there; then the constraint goes.
    tenant.sql(r#"delete from "ProjectUser" where "displayName" like '% 7'"#).await;
    tenant.sql(r#"update "ProjectUser" set "displayName" = 'good' where "displayName" like '% 8'"#).await;
    target.shows(REFUSED, &["users|23514"]).await;
    target.shows("select count(*) from users where display_name = 'good'", &["1"]).await;
    retry(&target).await;
    target.shows("select attempts from _sync_refused", &["2"]).await;
    target.sql("alter table users drop constraint no_bad").await;
    retry(&target).await;
    target.caught_up().await;
    target.shows(REFUSED, &[]).await;
    stack.settled().await;
    assert_eq!(
        tenant.value(r#"select "refusedRows" from "SyncState" where "mappingName" = 'users'"#).await,
        "0"
    );
}

#[tokio::test]
async fn a_table_whose_rows_are_all_refused_was_not_emptied() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    target.sql("alter table users add constraint no_bad check (display_name not like '%bad%')").await;
    for name in ["bad one", "bad two"] {
        tenant.user(name).await;
    }
    target.shows(REFUSED, &["users|23514", "users|23514"]).await;
    let emptied = || workers.sync_worker.logs().matching("the table was emptied").len();

    // A visit that finds nothing new leaves them where they are.
    let visit = async || {
        let since = target.value("select clock_timestamp()").await;
        target.try_now().await;
        target
            .shows(&format!("select bool_and(complete_as_of > '{since}') from _sync_metadata"), &["t"])
            .await;
    };
    visit().await;
    assert_eq!(emptied(), 0);

    // A row that is not refused arrives; taken away in the target, it comes again.
    tenant.user("good").await;
    target.shows("select display_name from users", &["good"]).await;
    target.sql("delete from users").await;
    visit().await;
    target.shows("select display_name from users", &["good"]).await;
    // A line is read from the worker's pipe a moment after what it tells of.
    eventually(SOON, "one line about it", async || match emptied() {
        1 => Ok(()),
        lines => Err(format!("{lines} lines")),
    })
    .await;
}

#[tokio::test]
async fn rows_in_each_others_way_under_a_unique_index() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 30).await;
    target.caught_up().await;
    target.sql("create unique index one_name on users (display_name)").await;

    // Two swap their names, and ten pass theirs on in a ring: all may be there, in some order or together.
    let rename = |to: &str, which: &str| {
        format!(
            r#"update "ProjectUser" set "displayName" = {to} where ("clientMetadata" ->> 'n')::int {which}"#
        )
    };
    tenant
        .sql(&rename("case \"displayName\" when '000001' then '000002' else '000001' end", "in (1, 2)"))
        .await;
    target.caught_up().await;
    let next = "lpad((10 + (\"displayName\"::int - 10 + 1) % 10)::text, 6, '0')";
    tenant.sql(&rename(next, "between 10 and 19")).await;
    target.caught_up().await;
    assert!(workers.sync_worker.logs().matching("refuses a row").is_empty(), "nothing was refused");

    // Two have the same name: one is there, the other follows when it may.
    tenant.sql(&rename("'same'", "in (21, 22)")).await;
    target.shows(REFUSED, &["users|23505"]).await;
    target.shows("select count(*) from users where display_name = 'same'", &["1"]).await;
    tenant.user("after").await;
    target.shows("select count(*) from users where display_name = 'after'", &["1"]).await;
    tenant.sql(&rename("'same' || \"projectUserId\"", "in (21, 22)")).await;
    target.caught_up().await;
    target.shows(REFUSED, &[]).await;
}

#[tokio::test]
async fn a_constraint_that_speaks_only_at_commit() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    target
        .sql(
            "create function tenant_sync.late() returns trigger language plpgsql as $$ begin
               if new.value like 'bad%' then raise exception 'not %', new.value using errcode = 'P0001'; end if; return null; end $$;
             create constraint trigger late after insert or update on contact_channels deferrable initially deferred
               for each row execute function tenant_sync.late()",
        )
        .await;
    tenant.users(1, 40).await;
    tenant.sql(r#"update "ContactChannel" set "value" = 'bad' where "value" in ('user000009@example.com', 'user000033@example.com')"#).await;
    target.shows(REFUSED, &["contact_channels|P0001", "contact_channels|P0001"]).await;
    target.shows("select count(*) from contact_channels", &["38"]).await;
    target
        .shows("select count(*), count(*) filter (where primary_email = 'bad') from users", &["40|2"])
        .await;
    target.sql("drop trigger late on contact_channels").await;
    retry(&target).await;
    target.caught_up().await;
    target.shows(REFUSED, &[]).await;
}

#[tokio::test]
async fn a_row_larger_than_the_bound_is_set_aside_with_that_reason() {
    let mut stack = Stack::start().await;
    stack.set("sync.max_row_bytes", "20KiB");
    stack.set("sync.quarantine_rows", 3);
    // However often it is tried until somebody looks, it does not count as broken.
    stack.set("sync.breaker_failures", 1_000);
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    workers.sync_worker.allow("the target failed");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 10).await;
    target.caught_up().await;
    let enlarge = |from: usize, to: usize| {
        format!(
            r#"update "ProjectUser" set "profileImageUrl" = repeat('x', 30000)
               where ("clientMetadata" ->> 'n')::int between {from} and {to}"#
        )
    };
    tenant.sql(&enlarge(3, 4)).await;
    tenant.user("after").await;
    target.shows(REFUSED, &["users|54000", "users|54000"]).await;
    target.shows("select count(*) from users where profile_image_url is null", &["11"]).await;
    assert!(target.rows("select reason from _sync_refused").await[0].contains("sync.max_row_bytes"));
    tenant.sql(r#"update "ProjectUser" set "profileImageUrl" = repeat('y', 15000)"#).await;
    target.caught_up().await;
    target.shows(REFUSED, &[]).await;

    // More than may be set aside: then it is the target that is broken, not rows.
    tenant.sql(&enlarge(1, 8)).await;
    target.is("retrying|rowRefused").await;
    tenant.sql(r#"update "ProjectUser" set "profileImageUrl" = null"#).await;
    target.try_now().await;
    target.caught_up().await;
    target.is("ok|∅").await;
}
