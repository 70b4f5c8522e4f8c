//! A schema has one owner, and what is not ours is not touched.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

#[tokio::test]
async fn a_second_tenant_and_a_second_target_are_refused_on_an_owned_schema() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target failed");
    let (first, second) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    first.users(1, 20).await;
    second.users(11, 20).await;
    let owner = first.target(stack.external(0)).add().await;
    owner.caught_up().await;

    let stranger = second.target(stack.external(0)).add().await;
    let sibling = first.target(stack.external(0)).id("sibling").add().await;
    for refused in [&stranger, &sibling] {
        refused.is("refused|ownedByAnother").await;
        let said = refused.last_error().await;
        assert!(said.contains("already belongs to another") && said.contains("schema of its own"), "{said}");
    }
    first
        .sql(r#"delete from "ProjectUser" where "tenancyId" = '{tenancy}' and "displayName" = '000001'"#)
        .await;
    owner.caught_up().await;
    owner.is("ok|∅").await;
}

#[tokio::test]
async fn a_second_deployment_is_refused_and_a_copy_of_the_source_harms_nobody() {
    let stack = Stack::start().await;
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 20).await;
    let target = tenant.target(stack.external(0)).add().await;
    {
        let _workers = stack.start_workers().await;
        target.caught_up().await;
        stack.settled().await;
    }
    // The same rows, ids and secrets: only the configuration says that it is another one.
    let mut copy = stack;
    copy.set("deployment.name", "staging");
    let tenant = Tenant::of(&copy, tenant_id(&copy).await);
    let target = tenant.target(copy.external(0));
    let mut workers = copy.start_workers().await;
    workers.sync_worker.allow("the target failed");
    let before = target.rows("select id, xmin from users order by 1").await;
    tenant.sql(r#"update "ProjectUser" set "displayName" = 'staging'"#).await;
    target.is("refused|ownedByAnother").await;
    assert!(target.last_error().await.contains("Another deployment"), "{}", target.last_error().await);
    assert_eq!(target.rows("select id, xmin from users order by 1").await, before);
}

async fn tenant_id(stack: &Stack) -> uuid::Uuid {
    stack.internal().value(r#"select "id" from "Tenancy""#).await.parse().expect("an id")
}

#[tokio::test]
async fn tables_of_a_stranger_are_not_touched() {
    let stack = Stack::plan().externals(2).start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target failed");
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 5).await;
    let table = "create schema tenant_sync; create table tenant_sync.users (id int); insert into tenant_sync.users values (7)";
    let view = "create schema tenant_sync; create view tenant_sync._sync_metadata as select 1 as one";
    stack.external(0).sql(table).await;
    stack.external(1).sql(view).await;
    let with_table = tenant.target(stack.external(0)).id("table").add().await;
    let with_view = tenant.target(stack.external(1)).id("view").add().await;
    for (target, name) in [(&with_table, "users"), (&with_view, "_sync_metadata")] {
        target.is("refused|foreignTable").await;
        let said = target.last_error().await;
        assert!(said.contains("did not create") && said.contains(name), "{said}");
    }
    assert_eq!(with_table.rows("select id from users").await, ["7"]);
    let relations = "select relname from pg_class where relnamespace = 'tenant_sync'::regnamespace";
    assert_eq!(with_table.rows(relations).await, ["users"], "and nothing was made beside it");
    assert_eq!(with_view.rows(relations).await, ["_sync_metadata"]);

    // The customer moves it out of the way.
    with_table.sql("alter table users rename to my_users").await;
    with_table.try_now().await;
    with_table.caught_up().await;
    with_table.is("ok|∅").await;
    assert_eq!(with_table.rows("select id from my_users").await, ["7"]);
}
