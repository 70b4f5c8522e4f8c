//! `target remove`: what stays in the target and what goes.

use serde_json::json;
use tenant_sync_tests::stack::Stack;
use uuid::Uuid;

use super::{caught_up, refused};

/// A tenancy with one user and a target that has it.
async fn filled() -> (Stack, Uuid) {
    let stack = Stack::start().await;
    let tenancy = stack.tenancy("acme").await;
    stack
        .internal()
        .sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") values ('{tenancy}', 'A')"#))
        .await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    let _workers = stack.start_workers().await;
    caught_up(&stack).await;
    assert_eq!(stack.external(0).value("select display_name from tenant_sync.users").await, "A");
    (stack, tenancy)
}

async fn relations(stack: &Stack) -> Vec<String> {
    let query =
        "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where n.nspname in ('tenant_sync', 'public') and c.relkind in ('r', 'v') order by 1";
    stack.external(0).rows(query).await
}

#[tokio::test]
async fn without_drop_the_customers_tables_stay() {
    let (stack, tenancy) = filled().await;
    let before = relations(&stack).await;
    let id = tenancy.to_string();
    let removed = stack.cli().json(&["target", "remove", "--tenancy", &id, "--id", "main"]).await;
    assert_eq!((&removed["removed"], &removed["dropped"]), (&true.into(), &json!([])));
    assert_eq!(relations(&stack).await, before);
    assert_eq!(stack.internal().value(r#"select count(*) from "ExternalDatabase""#).await, "0");
    // Added again it goes on where it was: the schema is its own.
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    let _workers = stack.start_workers().await;
    caught_up(&stack).await;
}

#[tokio::test]
async fn drop_takes_only_what_is_ours() {
    let (stack, tenancy) = filled().await;
    let id = tenancy.to_string();
    stack
        .external(0)
        .sql(
            "create table tenant_sync.customers_own (x int); create table public.users (x int);
             alter table tenant_sync.users add column note text",
        )
        .await;
    let drop = ["target", "remove", "--tenancy", &id, "--id", "main", "--drop"];
    let removed = stack.cli().json(&drop).await;
    let mut dropped: Vec<_> = removed["dropped"].as_array().expect("a list").iter().collect();
    dropped.sort_by_key(|name| name.to_string());
    assert_eq!(
        dropped,
        ["_sync_identity", "_sync_metadata", "_sync_refused", "contact_channels", "sync_freshness", "users"]
    );
    assert_eq!(removed["schemaDropped"], false);
    assert_eq!(relations(&stack).await, ["public.users", "tenant_sync.customers_own"]);
    assert_eq!(stack.internal().value(r#"select count(*) from "ExternalDatabase""#).await, "0");
}

#[tokio::test]
async fn an_empty_schema_that_we_made_goes_too() {
    let (stack, tenancy) = filled().await;
    let id = tenancy.to_string();
    let removed =
        stack.cli().json(&["target", "remove", "--tenancy", &id, "--id", "main", "--drop", "--yes"]).await;
    assert_eq!(removed["schemaDropped"], true);
    assert_eq!(stack.external(0).value("select to_regnamespace('tenant_sync') is null").await, "t");
}

#[tokio::test]
async fn what_the_customer_built_on_it_is_never_cascaded_away() {
    let (stack, tenancy) = filled().await;
    let id = tenancy.to_string();
    stack.external(0).sql("create view public.mine as select id from tenant_sync.users").await;
    let before = relations(&stack).await;
    let drop = ["target", "remove", "--tenancy", &id, "--id", "main", "--drop"];
    refused(&stack.cli().run(&drop).await, 1, &["depends on our tables", "without --drop"], &[]);
    assert_eq!(relations(&stack).await, before);
    // The target is as it was.
    assert_eq!(stack.cli().json(&["target", "list"]).await["targets"][0]["state"], "ok");
}

#[tokio::test]
async fn another_owners_schema_is_never_dropped() {
    let (stack, tenancy) = filled().await;
    let id = tenancy.to_string();
    let other = stack.tenancy("other").await.to_string();
    let url = stack.external(0).url();
    let check = stack.cli().run(&["target", "add", "--tenancy", &other, "--id", "main", "--url", url]).await;
    refused(&check, 1, &["belongs to another tenancy"], &[]);
    stack.target(other.parse().expect("a uuid"), "main", url, &["--no-check"]).await;
    let before = relations(&stack).await;
    let drop = ["target", "remove", "--tenancy", &other, "--id", "main", "--drop"];
    refused(&stack.cli().run(&drop).await, 1, &["belongs to another"], &[]);
    let drop = ["target", "remove", "--tenancy", &id, "--id", "main", "--drop"];
    let elsewhere = stack.cli().set("deployment.name", "a-staging-copy").run(&drop).await;
    refused(&elsewhere, 1, &["belongs to another"], &[]);
    assert_eq!(relations(&stack).await, before);
}

#[tokio::test]
async fn a_target_that_is_gone_can_be_removed_without_drop_only() {
    let stack = Stack::start().await;
    let tenancy = stack.tenancy("acme").await;
    let url = "postgres://u:hunter2@nowhere.invalid/d";
    stack.target(tenancy, "main", url, &["--no-check"]).await;
    let id = tenancy.to_string();
    let drop = ["target", "remove", "--tenancy", &id, "--id", "main", "--drop"];
    refused(&stack.cli().run(&drop).await, 1, &["nowhere.invalid", "without --drop"], &["hunter2"]);
    assert_eq!(stack.cli().json(&["target", "list"]).await["targets"][0]["state"], "ok");
    stack.cli().json(&["target", "remove", "--tenancy", &id, "--id", "main"]).await;
}
