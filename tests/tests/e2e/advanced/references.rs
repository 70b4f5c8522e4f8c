//! Foreign keys of the customer's.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{Target, Tenant};

const REFUSED: &str = "select mapping_name, sqlstate, key ->> 'id' from _sync_refused order by 1, 2, 3";

/// What was refused is due again, as it is a minute or more later.
async fn retry(target: &Target<'_>) {
    target.sql("update _sync_refused set retry_at = now()").await;
    target.try_now().await;
}

#[tokio::test]
async fn references_between_the_tables_hold_whatever_comes() {
    let mut stack = Stack::start().await;
    stack.set("sync.batch_rows", 50);
    stack.set("sync.atomic_rows", 50);
    let mut workers = stack.start_workers().await;
    // In slices this small a user may have to wait for its channels in the next one.
    workers.sync_worker.allow("the target refuses a row");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    target.caught_up().await;
    target.sql("alter table contact_channels add foreign key (user_id) references users (id)").await;
    tenant.users(1, 300).await;
    target.caught_up().await;
    // Cascades, a channel that moves to a new user, users whose key changes, and a new start.
    tenant.sql(r#"delete from "ProjectUser" where "displayName" < '000100'"#).await;
    let user = tenant.user("new").await;
    tenant
        .sql(&format!(
            r#"update "ContactChannel" set "projectUserId" = '{user}', "isPrimary" = false where "value" < 'user000150'"#
        ))
        .await;
    tenant
        .sql(r#"update "ProjectUser" set "projectUserId" = gen_random_uuid() where "displayName" > '000280'"#)
        .await;
    target.caught_up().await;
    tenant.sql(r#"delete from "ProjectUser""#).await;
    tenant.users(200, 100).await;
    target.caught_up().await;
    // A comparison of everything.
    target
        .sql("delete from contact_channels where value < 'user000220'; update users set display_name = ''")
        .await;
    tenant.sql(r#"update "SyncState" set "fillRequested" = true"#).await;
    target.try_now().await;
    target.caught_up().await;
    assert_eq!(target.rows(REFUSED).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_user_that_the_customer_refers_to_stays_until_it_may_go() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target refuses a row");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.users(1, 20).await;
    target.caught_up().await;
    target.sql("create table orders (user_id uuid references users (id)); insert into orders select id from users where display_name = '000005'").await;
    let id = target.value("select user_id from orders").await;
    let refused = format!("users|23503|{id}");

    tenant.sql(r#"delete from "ProjectUser" where "displayName" between '000003' and '000008'"#).await;
    target.shows("select count(*) from users", &["15"]).await;
    target.shows(REFUSED, &[&refused]).await;
    // Tried again, it is refused again, and stops nothing else.
    retry(&target).await;
    target.shows("select attempts from _sync_refused", &["2"]).await;
    tenant.user("after the retry").await;
    target.shows("select count(*) from users", &["16"]).await;
    // The same where the whole table is compared.
    tenant.sql(r#"update "SyncState" set "fillRequested" = true"#).await;
    target.try_now().await;
    tenant.user("after the comparison").await;
    target.shows("select count(*) from users", &["17"]).await;
    stack.settled().await;
    target.shows(REFUSED, &[&refused]).await;
    target.is("ok|∅").await;

    target.sql("delete from orders").await;
    retry(&target).await;
    target.caught_up().await;
    target.shows(REFUSED, &[]).await;
}
