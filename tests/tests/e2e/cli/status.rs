//! `sync status`, `now` and `resync`: the numbers, with nobody working, and with everybody.

use serde_json::{Value, json};
use tenant_sync_tests::stack::Stack;
use uuid::Uuid;

use super::{caught_up, refused};

async fn mapping(stack: &Stack, name: &str) -> Value {
    let status = stack.cli().json(&["sync", "status"]).await;
    let target = &status["targets"][0];
    let mappings = target["mappings"].as_array().unwrap_or_else(|| panic!("{status}"));
    mappings.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("{status}")).clone()
}

fn backlog(mapping: &Value) -> (i64, bool) {
    (mapping["backlogRows"].as_i64().expect("a number"), mapping["backlogIsAtLeast"] == true)
}

fn lag(mapping: &Value) -> u64 {
    mapping["lagMillis"].as_u64().unwrap_or_else(|| panic!("{mapping}"))
}

/// One pass of the sequencer, as its program does it.
async fn pass(stack: &Stack) {
    stack.internal().sql("select backfill_null_sequence_ids(100000)").await;
}

async fn add_users(stack: &Stack, tenancy: Uuid, count: i64) {
    let insert = format!(
        r#"insert into "ProjectUser" ("tenancyId", "displayName") select '{tenancy}', 'U' || n from generate_series(1, {count}) n"#
    );
    stack.internal().sql(&insert).await;
}

#[tokio::test]
async fn it_has_exactly_the_fields_that_dashboards_rely_on() {
    let stack = Stack::start().await;
    assert_eq!(stack.cli().json(&["sync", "status"]).await, json!({ "targets": [] }));
    let tenancy = stack.tenancy("acme").await;
    stack.target(tenancy, "main", stack.external(0).url(), &["--mapping", "users"]).await;
    let status = stack.cli().json(&["sync", "status"]).await;
    let lag = status["targets"][0]["mappings"][0]["lagMillis"].clone();
    assert!(lag.as_u64().is_some_and(|lag| lag > 0), "nothing is there yet: {status}");
    let expected = json!({ "targets": [{ "tenancyId": tenancy.to_string(), "id": "main", "state": "ok", "lastError": null,
        "mappings": [{ "name": "users", "lastSyncedSequenceId": 0, "backlogRows": 0, "backlogIsAtLeast": false,
                       "lagMillis": lag, "completeAsOf": null }] }] });
    assert_eq!(status, expected);

    let id = tenancy.to_string();
    let of = async |arguments: &[&str]| {
        let status = stack.cli().json(&[&["sync", "status"], arguments].concat()).await;
        status["targets"].as_array().map(Vec::len)
    };
    assert_eq!(of(&["--tenancy", &id]).await, Some(1));
    assert_eq!(of(&["--tenant-key", &id, "--state", "ok"]).await, Some(1));
    assert_eq!(of(&["--state", "broken"]).await, Some(0));
    refused(&stack.cli().run(&["sync", "status", "--state", "fine"]).await, 2, &["retrying"], &[]);
    let nobody = Uuid::nil().to_string();
    refused(&stack.cli().run(&["sync", "status", "--tenancy", &nobody]).await, 1, &["no tenancy"], &[]);
    assert!(stack.cli().run(&["sync", "status"]).await.stdout.contains("BACKLOG"));
}

#[tokio::test]
async fn the_backlog_counts_what_is_not_there_yet() {
    let stack = Stack::start().await;
    let tenancy = stack.tenancy("acme").await;
    add_users(&stack, tenancy, 5).await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    // Before the first copy: all rows, whether they have ids or not. Deletes need not be carried.
    assert_eq!(backlog(&mapping(&stack, "users").await), (5, false));
    pass(&stack).await;
    stack
        .internal()
        .sql(&format!(
            r#"delete from "ProjectUser" where "displayName" = 'U5';
               insert into "ProjectUser" ("tenancyId", "displayName") values ('{tenancy}', 'V1'), ('{tenancy}', 'V2')"#
        ))
        .await;
    assert_eq!(backlog(&mapping(&stack, "users").await), (6, false));
    {
        let _workers = stack.start_workers().await;
        caught_up(&stack).await;
    }
    let users = mapping(&stack, "users").await;
    assert_eq!((backlog(&users), lag(&users)), ((0, false), 0));
    assert!(users["completeAsOf"].as_str().is_some_and(|at| at.ends_with('Z')), "{users}");
    assert!(users["lastSyncedSequenceId"].as_i64().is_some_and(|id| id > 0));

    // Nobody works any more: a change, a delete and a channel that changes its user.
    stack
        .internal()
        .sql(&format!(
            r#"update "ProjectUser" set "displayName" = 'changed' where "displayName" = 'U1';
               delete from "ProjectUser" where "displayName" = 'U2';
               insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary")
               select "tenancyId", "projectUserId", 'a@b.example', true from "ProjectUser" where "displayName" = 'U3'
                 and "tenancyId" = '{tenancy}'"#
        ))
        .await;
    let (users, channels) = (mapping(&stack, "users").await, mapping(&stack, "contact_channels").await);
    assert_eq!((backlog(&users), backlog(&channels)), ((2, false), (1, false)));
    assert!(lag(&users) > 0 && lag(&channels) > 0);
    pass(&stack).await;
    // The channel's user has an id by now, too.
    assert_eq!(backlog(&mapping(&stack, "users").await), (3, false));
    assert_eq!(backlog(&mapping(&stack, "contact_channels").await), (1, false));
    let _workers = stack.start_workers().await;
    caught_up(&stack).await;
}

#[tokio::test]
async fn a_change_of_another_table_alone_is_a_backlog() {
    let stack = Stack::start().await;
    let tenancy = stack.tenancy("acme").await;
    add_users(&stack, tenancy, 1).await;
    stack.target(tenancy, "main", stack.external(0).url(), &["--mapping", "users"]).await;
    {
        let _workers = stack.start_workers().await;
        caught_up(&stack).await;
    }
    stack
        .internal()
        .sql(
            r#"insert into "ContactChannel" ("tenancyId", "projectUserId", "value", "isPrimary")
               select "tenancyId", "projectUserId", 'a@b.example', true from "ProjectUser""#,
        )
        .await;
    let users = mapping(&stack, "users").await;
    assert_eq!(backlog(&users), (1, false));
    assert!(lag(&users) > 0);
}

#[tokio::test]
async fn counting_stops_at_a_bound() {
    let stack = Stack::start().await;
    let tenancy = stack.tenancy("acme").await;
    add_users(&stack, tenancy, 10_050).await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    assert_eq!(backlog(&mapping(&stack, "users").await), (10_000, true));
    pass(&stack).await;
    assert_eq!(backlog(&mapping(&stack, "users").await), (10_000, true));
    // A fill that has come far: what is behind its position.
    stack
        .internal()
        .sql(
            r#"insert into "SyncState" ("tenancyId", "databaseId", "mappingName", "mappingVersion", "filling",
                 "lastSyncedSequenceId", "fillPosition")
               select d."tenancyId", d."id", 'users', 1, true, (select max("sequenceId") from "ProjectUser"),
                 jsonb_build_array((select "projectUserId" from "ProjectUser" order by 1 desc offset 7 limit 1))
               from "ExternalDatabase" d"#,
        )
        .await;
    let users = mapping(&stack, "users").await;
    assert_eq!(backlog(&users), (7, false));
    assert!(lag(&users) > 0);
}

#[tokio::test]
async fn a_resync_mends_what_the_customer_changed() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let tenancy = stack.tenancy("acme").await;
    add_users(&stack, tenancy, 3).await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    let workers = stack.start_workers().await;
    caught_up(&stack).await;
    stack.external(0).sql("update tenant_sync.users set display_name = 'broken'").await;
    drop(workers);

    let id = tenancy.to_string();
    let asked = cli.json(&["sync", "resync", "--tenancy", &id, "--mapping", "users"]).await;
    assert_eq!(asked["targets"], json!([{ "tenancyId": id, "id": "main", "mappings": ["users"] }]));
    // Asked for is not done: all rows are to be compared.
    assert_eq!(backlog(&mapping(&stack, "users").await), (3, false));
    assert_eq!(backlog(&mapping(&stack, "contact_channels").await), (0, false));
    let _workers = stack.start_workers().await;
    caught_up(&stack).await;
    assert_eq!(
        stack.external(0).rows("select display_name from tenant_sync.users order by 1").await,
        ["U1", "U2", "U3"]
    );
    refused(&cli.run(&["sync", "resync", "--tenancy", &id, "--mapping", "nope"]).await, 1, &["mapping"], &[]);
    refused(&cli.run(&["sync", "resync", "--tenancy", &id, "--id", "nope"]).await, 1, &["nope"], &[]);
    refused(&cli.run(&["sync", "resync"]).await, 2, &["--tenancy"], &[]);
}

#[tokio::test]
async fn now_ends_a_wait_after_a_failure() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let tenancy = stack.tenancy("acme").await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    stack
        .internal()
        .sql(r#"update "OutgoingRequest" set "dueAt" = now() + interval '1 hour', attempts = 9"#)
        .await;
    let asked = cli.json(&["sync", "now"]).await;
    assert_eq!(asked["targets"][0]["id"], "main");
    let row = stack
        .internal()
        .value(r#"select ("dueAt" <= now()) || ' ' || attempts from "OutgoingRequest""#)
        .await;
    assert_eq!(row, "true 0");
    let id = tenancy.to_string();
    cli.json(&["target", "pause", "--tenancy", &id, "--id", "main"]).await;
    let asked = cli.json(&["sync", "now", "--tenancy", &id, "--id", "main"]).await;
    assert_eq!((&asked["targets"], &asked["paused"]), (&json!([]), &json!([format!("{id}/main")])));
}
