//! `tenancy create`, `list` and `remove`.

use tenant_sync_tests::stack::Stack;
use uuid::Uuid;

use super::refused;

#[tokio::test]
async fn a_tenancy_is_made_with_its_project_and_listed() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let made = cli.json(&["tenancy", "create", "--project", "acme"]).await;
    let id: Uuid = made["tenancyId"].as_str().expect("an id").parse().expect("a uuid");
    assert_eq!((&made["projectId"], &made["branchId"]), (&"acme".into(), &"main".into()));
    assert_eq!(made["tenantKey"], id.to_string());
    assert!(made["createdAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{made}");

    let branch = cli
        .json(&["tenancy", "create", "--project", "acme", "--branch", "next", "--tenant-key", "4711"])
        .await;
    assert_eq!((&branch["branchId"], &branch["tenantKey"]), (&"next".into(), &"4711".into()));
    let other = cli.json(&["tenancy", "create", "--project", "other"]).await;

    let list = cli.json(&["tenancy", "list"]).await;
    let ids: Vec<_> = list["tenancies"].as_array().expect("a list").iter().map(|t| &t["tenancyId"]).collect();
    assert_eq!(ids, [&made["tenancyId"], &branch["tenancyId"], &other["tenancyId"]]);
    let list = cli.json(&["tenancy", "list", "--project", "other"]).await;
    assert_eq!(list["tenancies"].as_array().map(Vec::len), Some(1));
    assert!(cli.run(&["tenancy", "list"]).await.stdout.contains("4711"));
}

#[tokio::test]
async fn what_is_taken_is_said() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let first = cli.json(&["tenancy", "create", "--project", "acme", "--tenant-key", "k"]).await;
    let id = first["tenancyId"].as_str().expect("an id");
    refused(&cli.run(&["tenancy", "create", "--project", "acme"]).await, 1, &[id, "--branch"], &[]);
    let key = ["tenancy", "create", "--project", "b", "--tenant-key", "k"];
    refused(&cli.run(&key).await, 1, &[id, "tenant key"], &[]);
    // Nothing of it is left, not even the project.
    assert_eq!(stack.internal().value(r#"select count(*) from "Project""#).await, "1");
    refused(&cli.run(&["tenancy", "create", "--project", ""]).await, 2, &["--project"], &[]);
    refused(&cli.run(&["tenancy", "create"]).await, 2, &["--project"], &[]);
}

#[tokio::test]
async fn a_tenancy_goes_with_its_rows_but_never_with_targets() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let id = stack.tenancy("acme").await.to_string();
    stack
        .internal()
        .sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") values ('{id}', 'A')"#))
        .await;
    stack.target(id.parse().expect("a uuid"), "main", stack.external(0).url(), &[]).await;

    let with_target = cli.run(&["tenancy", "remove", "--tenancy", &id, "--yes"]).await;
    refused(&with_target, 1, &["target remove", "main"], &[]);
    cli.json(&["target", "remove", "--tenancy", &id, "--id", "main"]).await;

    refused(&cli.run(&["tenancy", "remove", "--tenancy", &id]).await, 2, &["--yes"], &[]);
    let removed = cli.json(&["tenancy", "remove", "--tenancy", &id, "--yes"]).await;
    assert_eq!((&removed["tenancyId"], &removed["removed"]), (&id.clone().into(), &true.into()));
    assert_eq!(stack.internal().value(r#"select count(*) from "ProjectUser""#).await, "0");
    let again = cli.run(&["tenancy", "remove", "--tenancy", &id, "--yes"]).await;
    refused(&again, 1, &["there is no tenancy", "tenancy list"], &[]);
}
