//! A user's channels, and what they mean for the user's row.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{Target, Tenant};
use uuid::Uuid;

const USER: &str = "select primary_email, primary_email_verified from users";

#[tokio::test]
async fn a_user_has_one_row_with_the_primary_address_whatever_happens_to_the_channels() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let user = tenant.user("Ada").await;
    target.shows(USER, &["∅|f"]).await;

    let first = tenant.channel(user, "first@example.com").await;
    target.shows("select value, is_primary from contact_channels", &["first@example.com|f"]).await;
    target.shows(USER, &["∅|f"]).await;
    let set = async |channel: Uuid, change: &str| {
        tenant.sql(&format!(r#"update "ContactChannel" set {change} where "id" = '{channel}'"#)).await;
    };
    set(first, r#""isPrimary" = true"#).await;
    target.shows(USER, &["first@example.com|f"]).await;
    set(first, r#""isVerified" = true"#).await;
    target.shows(USER, &["first@example.com|t"]).await;
    set(first, r#""value" = 'changed@example.com'"#).await;
    target.shows(USER, &["changed@example.com|t"]).await;

    // Further channels make no further row, whatever their type.
    let second = tenant.channel(user, "second@example.com").await;
    let phone = tenant.channel(user, "+41 79 000 00 00").await;
    set(phone, r#""type" = 'PHONE', "isPrimary" = true"#).await;
    target.shows("select count(*) from contact_channels where is_primary", &["2"]).await;
    target.shows(USER, &["changed@example.com|t"]).await;
    target.caught_up().await;

    // Another one becomes primary, in one transaction.
    tenant
        .sql(&format!(
            r#"begin;
               update "ContactChannel" set "isPrimary" = false where "id" = '{first}';
               update "ContactChannel" set "isPrimary" = true where "id" = '{second}';
               commit"#
        ))
        .await;
    target.shows(USER, &["second@example.com|f"]).await;
    target.caught_up().await;

    tenant.sql(&format!(r#"delete from "ContactChannel" where "id" = '{second}'"#)).await;
    target.shows(USER, &["∅|f"]).await;
    target.caught_up().await;
    stack.settled().await;
}

#[tokio::test]
async fn a_channel_of_another_type_is_no_address_and_one_that_moves_changes_both_users() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let (ada, grace) = (tenant.user("Ada").await, tenant.user("Grace").await);
    let channel = tenant.primary(ada, "a@example.com").await;
    let emails = "select display_name, primary_email from users order by 1";
    target.shows(emails, &["Ada|a@example.com", "Grace|∅"]).await;

    tenant
        .sql(&format!(r#"update "ContactChannel" set "projectUserId" = '{grace}' where "id" = '{channel}'"#))
        .await;
    target.shows(emails, &["Ada|∅", "Grace|a@example.com"]).await;
    target.caught_up().await;

    tenant.sql(&format!(r#"update "ContactChannel" set "type" = 'PHONE' where "id" = '{channel}'"#)).await;
    target.shows(emails, &["Ada|∅", "Grace|∅"]).await;
    target.caught_up().await;
}

#[tokio::test]
async fn a_deleted_user_takes_its_channels_along() {
    let stack = Stack::start().await;
    let _workers = stack.start_workers().await;
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    let (gone, stays) = (tenant.user("gone").await, tenant.user("stays").await);
    for user in [gone, stays] {
        tenant.primary(user, &format!("{user}@example.com")).await;
        tenant.channel(user, "second@example.com").await;
    }
    target.caught_up().await;
    assert_eq!(counts(&target).await, "2|4");

    tenant.sql(&format!(r#"delete from "ProjectUser" where "projectUserId" = '{gone}'"#)).await;
    target.caught_up().await;
    assert_eq!(counts(&target).await, "1|2");

    // A tenancy that goes takes everything along; its target is not ours to write to any more.
    tenant.sql(r#"delete from "Tenancy" where "id" = '{tenancy}'"#).await;
    assert_eq!(tenant.value(r#"select count(*) from "ExternalDatabase""#).await, "0");
    stack.settled().await;
}

async fn counts(target: &Target<'_>) -> String {
    target.value("select (select count(*) from users), (select count(*) from contact_channels)").await
}
