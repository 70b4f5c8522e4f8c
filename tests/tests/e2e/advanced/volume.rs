//! Many rows.

use tenant_sync_tests::mappings::People;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;

#[tokio::test]
async fn five_thousand_rows_with_deletes_in_between() {
    let mut stack = Stack::start().await;
    stack.set("sync.batch_rows", 700);
    stack.set("sync.atomic_rows", 700);
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let number = r#"("clientMetadata" ->> 'n')::int"#;
    for thousand in 0..5 {
        tenant.users(thousand * 1000 + 1, 1000).await;
        let (from, to) = (thousand * 500, thousand * 1000);
        tenant
            .sql(&format!(
                r#"delete from "ProjectUser" where {number} between {from} and {to} and {number} % 3 = {}"#,
                thousand % 3
            ))
            .await;
        tenant
            .sql(&format!(r#"update "ProjectUser" set "displayName" = "displayName" || '+' where {number} % 7 = {thousand}"#))
            .await;
        tenant
            .sql(&format!(r#"delete from "ContactChannel" where "value" like '%{thousand}7@example.com'"#))
            .await;
    }
    target.caught_up().await;
    tenant.sql(&format!(r#"delete from "ProjectUser" where {number} % 2 = 0"#)).await;
    target.caught_up().await;
    stack.settled().await;
    target.caught_up().await;
}

#[tokio::test]
async fn fifty_thousand_users_through_slices_of_a_thousand_with_three_mappings() {
    let people = People::new().with("number", "integer", r#"(s."clientMetadata" ->> 'n')::integer"#);
    let mut stack = Stack::start().await;
    stack.set("sync.batch_rows", 1000);
    stack.set("sync.atomic_rows", 1000);
    stack.set("sync.turn_rows", 20_000);
    stack.set("mappings.dir", people.write(&stack).display());
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 50_000).await;
    let _workers = stack.start_workers().await;
    let target = tenant.target(stack.external(0)).compare(people.compared()).add().await;
    stack.settled().await;
    target.caught_up().await;

    // And once more as changes, with deletes among them.
    tenant
        .sql(
            r#"update "ProjectUser" set "displayName" = 'changed', "clientMetadata" = '{"n": -1}'
                where ("clientMetadata" ->> 'n')::int % 5 = 0"#,
        )
        .await;
    tenant.sql(r#"delete from "ProjectUser" where ("clientMetadata" ->> 'n')::int % 11 = 0"#).await;
    stack.settled().await;
    target.caught_up().await;
}
