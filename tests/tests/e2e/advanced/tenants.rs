//! Several tenants and targets side by side.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

#[tokio::test]
async fn two_tenants_with_two_and_three_targets_see_only_their_own() {
    let stack = Stack::plan().externals(5).start().await;
    let _workers = stack.start_workers().await;
    let (a, b) = (Tenant::create(&stack).await, Tenant::create(&stack).await);
    // The same keys on both sides: only the tenant tells them apart.
    a.users(1, 200).await;
    b.users(101, 200).await;
    let mut targets = Vec::new();
    for (number, tenant) in [a, a, b, b, b].iter().enumerate() {
        targets.push(tenant.target(stack.external(number)).id(&format!("t{number}")).add().await);
    }
    for target in &targets {
        target.caught_up().await;
    }
    a.sql(r#"update "ProjectUser" set "displayName" = 'A' where "tenancyId" = '{tenancy}'"#).await;
    b.sql(r#"delete from "ProjectUser" where "tenancyId" = '{tenancy}' and "displayName" < '000150'"#).await;
    for target in &targets {
        target.caught_up().await;
    }
    let seen = "select count(*), min(display_name), max(display_name) from users";
    for target in &targets[..2] {
        assert_eq!(target.value(seen).await, "200|A|A");
    }
    for target in &targets[2..] {
        assert_eq!(target.value(seen).await, "151|000150|000300");
    }
}

#[tokio::test]
async fn a_tenant_may_have_two_schemas_of_one_database() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let all = tenant.target(stack.external(0)).id("all").schema("all rows").add().await;
    let some = tenant.target(stack.external(0)).id("some").schema("Some").mapping("users").add().await;
    tenant.users(1, 50).await;
    all.caught_up().await;
    some.caught_up().await;
    assert_eq!(
        some.rows("select to_regclass('contact_channels') is null").await,
        ["t"],
        "it was not asked for"
    );

    tenant.sql(r#"delete from "ProjectUser" where "displayName" > '000040'"#).await;
    all.caught_up().await;
    some.caught_up().await;
}
