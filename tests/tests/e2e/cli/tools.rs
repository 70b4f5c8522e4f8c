//! `fusebox`, `keys`, `mapping` and `target sql`.

use std::time::Duration;

use serde_json::json;
use tenant_sync_tests::database::connect;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::urls;
use tenant_sync_tests::wait::eventually;

use super::{caught_up, json_of, refused};

#[tokio::test]
async fn switches_are_thrown_and_honoured() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let shown = cli.json(&["fusebox", "show"]).await;
    assert_eq!((&shown["sequencerEnabled"], &shown["requestsEnabled"]), (&true.into(), &true.into()));
    let off = cli.json(&["fusebox", "set", "sync-engine=off", "requests=off", "--by", "night shift"]).await;
    assert_eq!((&off["syncEngineEnabled"], &off["requestsEnabled"]), (&false.into(), &false.into()));
    assert_eq!((&off["sequencerEnabled"], &off["updatedBy"]), (&true.into(), &"night shift".into()));

    let tenancy = stack.tenancy("acme").await;
    stack.target(tenancy, "main", stack.external(0).url(), &[]).await;
    let _workers = stack.start_workers().await;
    let claimed = r#"select count(*) from "OutgoingRequest" where "startedFulfillingAt" is not null"#;
    eventually(Duration::from_secs(20), "the poller to publish", async || {
        let count = stack.internal().value(claimed).await;
        if count == "1" { Ok(()) } else { Err(count) }
    })
    .await;
    assert_eq!(stack.external(0).value("select to_regnamespace('tenant_sync') is null").await, "t");
    let on = cli.json(&["fusebox", "set", "sync-engine=on"]).await;
    assert_eq!((&on["syncEngineEnabled"], &on["requestsEnabled"]), (&true.into(), &false.into()));
    caught_up(&stack).await;

    for bad in
        [&["fusebox", "set"][..], &["fusebox", "set", "engine=on"], &["fusebox", "set", "poller=maybe"]]
    {
        assert_eq!(cli.run(bad).await.code, Some(2), "{bad:?}");
    }
    let both = cli.run(&["fusebox", "set", "poller=on", "poller=off"]).await;
    refused(&both, 2, &["poller"], &[]);
}

#[tokio::test]
async fn a_new_key_can_be_used_as_it_is_printed() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let made = cli.json(&["keys", "new", "--id", "k2"]).await;
    let entry = made["entry"].as_str().expect("text");
    assert!(entry.starts_with("k2:"), "{made}");
    assert_ne!(cli.json(&["keys", "new", "--id", "k2"]).await["entry"], made["entry"]);
    let output = cli.run(&["keys", "new"]).await;
    assert!(output.stdout.starts_with("k1:") && output.stdout.trim().lines().count() == 1, "{output:?}");
    assert!(output.stderr.contains("secrets.keys"), "{output:?}");
    refused(&cli.run(&["keys", "new", "--id", "a b"]).await, 2, &["--id"], &[]);

    let tenancy = stack.tenancy("acme").await.to_string();
    let add = ["target", "add", "--tenancy", &tenancy, "--id", "main", "--url", stack.external(0).url()];
    assert_eq!(cli.clone().set("secrets.keys", entry).run(&add).await.code, Some(0));
    assert_eq!(stack.internal().value(r#"select "keyId" from "ExternalDatabase""#).await, "k2");
    // Without its key a target cannot be read, and it is said which key it was.
    let check = cli.run(&["target", "check", "--tenancy", &tenancy, "--id", "main"]).await;
    refused(&check, 1, &["\"k2\""], &[]);
}

#[tokio::test]
async fn mappings_are_shown_and_checked() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let checked = cli.json(&["mapping", "check"]).await;
    let names: Vec<_> = checked["mappings"].as_array().expect("a list").iter().map(|m| &m["name"]).collect();
    assert_eq!((names, &checked["errors"]), (vec![&json!("contact_channels"), &json!("users")], &json!([])));
    let shown = cli.json(&["mapping", "show", "users"]).await;
    assert_eq!(shown["mappings"][0]["target"]["table"], "users");
    assert!(shown["mappings"][0]["ddl"][0].as_str().is_some_and(|ddl| ddl.starts_with("CREATE TABLE")));
    assert_eq!(cli.json(&["mapping", "show"]).await["mappings"].as_array().map(Vec::len), Some(2));
    refused(&cli.run(&["mapping", "show", "nope"]).await, 1, &["contact_channels"], &[]);

    let folder = stack.scratch().path().join("mappings");
    std::fs::create_dir(&folder).expect("a folder");
    let file = |column: &str| {
        format!(
            "name = \"names\"\nevent = \"name\"\nversion = 1\n[source]\ntable = \"ProjectUser\"\ntenant = \"tenancyId\"\n\
             [target]\ntable = \"names\"\nkey = [\"id\"]\n[[column]]\nname = \"id\"\ntype = \"uuid\"\n\
             expr = 's.\"projectUserId\"'\n[[column]]\nname = \"name\"\ntype = \"text\"\nexpr = 's.\"{column}\"'\n"
        )
    };
    std::fs::write(folder.join("names.toml"), file("displayName")).expect("written");
    let cli = cli.set("mappings.dir", folder.display());
    assert_eq!(cli.json(&["mapping", "check"]).await["ok"], true);
    // Against the live schema, then alone.
    std::fs::write(folder.join("names.toml"), file("noSuchColumn")).expect("written");
    let output = cli.run(&["mapping", "check", "--json"]).await;
    refused(&output, 1, &["names.toml:", "noSuchColumn"], &[]);
    let report = json_of(&output, 1);
    assert_eq!((&report["ok"], report["mappings"].as_array().map(Vec::len)), (&false.into(), Some(2)));
    assert!(report["errors"][0]["line"].is_u64(), "{report}");
    std::fs::write(folder.join("names.toml"), "name = 1\n").expect("written");
    refused(&cli.run(&["mapping", "check"]).await, 1, &["names.toml:"], &[]);
    refused(&cli.run(&["sync", "status"]).await, 1, &["names.toml:"], &[]);
}

#[tokio::test]
async fn the_printed_grants_are_enough_and_no_more() {
    let stack = Stack::start().await;
    let cli = stack.cli();
    let reader = stack.external(0).role("nosuperuser").await;
    // As a role that the test cleans up.
    let owner = stack.external(0).role("nosuperuser").await;
    let sql = cli
        .json(&["target", "sql", "--role", &owner.name, "--schema", "crm", "--read-role", &reader.name])
        .await;
    let sql = sql["sql"].as_str().expect("text");
    assert!(sql.contains("CHANGE-ME"), "{sql}");
    let rest: Vec<&str> = sql.lines().filter(|line| !line.starts_with("CREATE ROLE")).collect();
    assert_eq!(rest.len() + 1, sql.lines().count());
    stack
        .external(0)
        .sql(
            "revoke all on database current_database from public"
                .replace("current_database", stack.external(0).name())
                .as_str(),
        )
        .await;
    stack.external(0).sql(&rest.join("\n")).await;

    let tenancy = stack.tenancy("acme").await;
    stack.target(tenancy, "main", &owner.url, &["--schema", "crm", "--read-role", &reader.name]).await;
    stack
        .internal()
        .sql(&format!(r#"insert into "ProjectUser" ("tenancyId", "displayName") values ('{tenancy}', 'A')"#))
        .await;
    let _workers = stack.start_workers().await;
    caught_up(&stack).await;
    stack
        .external(0)
        .sql(&format!("grant connect on database {} to {}", stack.external(0).name(), reader.name))
        .await;
    let session = connect(&urls::with_path(&reader.url, stack.external(0).name())).await;
    session.batch_execute("select * from crm.users").await.expect("may read");
    session.batch_execute("delete from crm.users").await.expect_err("may not write");
    connect(&owner.url)
        .await
        .batch_execute("create schema more")
        .await
        .expect_err("no more than its own schema");
}
