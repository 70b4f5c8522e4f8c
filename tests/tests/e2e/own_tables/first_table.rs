//! From an application that never heard of us to its first synced table, in the README's words.

use std::process::Command;

use tenant_sync_tests::database::connect;
use tenant_sync_tests::services::Services;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::template::Template;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;

use super::application::{INVOICES, invoices};

#[tokio::test(flavor = "multi_thread")]
async fn the_way_from_zero_to_the_first_table() {
    let mut stack = Stack::plan().template(Template::Empty).start().await;
    stack.set("database.schema", "tenant_sync");
    stack.set("database.user_tables", "false");
    stack.set("mappings.dir", stack.scratch().path().join("mappings").display());
    std::fs::create_dir(stack.scratch().path().join("mappings")).expect("our own folder");
    let application = connect(stack.internal().url()).await;
    application.batch_execute(INVOICES).await.expect("its tables");
    let add = "insert into invoices (org_id, number, amount, notes)
               select 4711 + n % 2, 'R-' || n, n + 0.50, jsonb_build_object('n', n) from generate_series(1, 100) n";
    application.batch_execute(add).await.expect("its rows");

    let cli = stack.cli();
    for arguments in [
        &["db", "migrate"][..],
        &["table", "track", "public.invoices", "--tenant-column", "org_id"],
        &["mapping", "new", "invoices"],
        &["mapping", "check"],
        &["target", "sql"],
    ] {
        let output = cli.run(arguments).await;
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
    }
    let outside = stack.external(0).url();
    let added =
        cli.run_with_input(&["target", "add", "--tenant-key", "4711", "--url-file", "-"], outside).await;
    assert_eq!(added.code, Some(0), "{added:?}");
    let _workers = stack.start_workers().await;

    let status = &["sync", "status", "--tenant-key", "4711"];
    let target = eventually(SOON, "the first copy", async || {
        let status = cli.json(status).await;
        let mapping = &status["targets"][0]["mappings"][0];
        if mapping["backlogRows"] == 0 && mapping["lagMillis"] == 0 && !mapping["completeAsOf"].is_null() {
            Ok(status["targets"][0].clone())
        } else {
            Err(status.to_string())
        }
    })
    .await;
    assert_eq!((&target["id"], &target["state"]), (&"main".into(), &"ok".into()), "{target}");
    assert_eq!(target["mappings"][0]["name"], "invoices", "{target}");

    let tenancy = target["tenancyId"].as_str().and_then(|id| id.parse().ok()).expect("its id");
    let target =
        Tenant::of(&stack, tenancy).target(stack.external(0)).mapping("invoices").compare(invoices(4711));
    target.caught_up().await;
    assert_eq!(target.value("select count(*) from invoices").await, "50");

    for change in [
        "update invoices set paid = true where id <= 10",
        "delete from invoices where id between 11 and 20",
        "insert into invoices (org_id, number) values (4711, 'new')",
        "update invoices set org_id = 4712 where id = 22",
        "update invoices set org_id = 4711 where id = 23",
        "update invoices set notes = '{\"a\": 1.00}' where id = 24",
    ] {
        application.batch_execute(change).await.expect(change);
        target.caught_up().await;
    }
    application.batch_execute("truncate invoices").await.expect("truncates");
    target.caught_up().await;
    assert_eq!(target.value("select count(*) from invoices").await, "0");
}

/// Everything of ours goes, and the application's schema is as it was.
#[tokio::test(flavor = "multi_thread")]
async fn uninstalling_leaves_the_database_as_it_was() {
    let mut stack = Stack::plan().template(Template::Empty).start().await;
    stack.set("database.schema", "tenant_sync");
    stack.set("database.user_tables", "false");
    stack.internal().sql(INVOICES).await;
    stack.internal().sql("drop index invoices_of_org").await;
    let before = schema_of(stack.internal().url());
    let cli = stack.cli();
    for arguments in [
        &["db", "migrate"][..],
        &["table", "track", "public.invoices", "--tenant-column", "org_id"],
        &["tenancy", "create", "--project", "p", "--tenant-key", "4711"],
    ] {
        let output = cli.run(arguments).await;
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
    }
    stack.internal().sql("insert into invoices (org_id, number) values (4711, 'one')").await;
    assert_ne!(schema_of(stack.internal().url()), before);

    let mut sequencer = stack.sequencer().start().await;
    let refused = cli.run(&["uninstall", "--yes"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("stop them first"), "{refused:?}");
    sequencer.terminate().await;
    let asked = cli.run(&["uninstall"]).await;
    assert_eq!(asked.code, Some(2), "nobody answers: {asked:?}");
    let gone = cli.json(&["uninstall", "--yes"]).await;
    assert_eq!(gone["untracked"], serde_json::json!(["public.invoices"]), "{gone}");
    assert_eq!(schema_of(stack.internal().url()), before);
    assert_eq!(stack.internal().value("select number from invoices").await, "one");
    let again = cli.run(&["uninstall", "--yes"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
}

/// `pg_dump -s` of the whole database.
fn schema_of(url: &str) -> String {
    let program =
        Services::from_env().pg_bin.map_or_else(|| "pg_dump".into(), |folder| folder.join("pg_dump"));
    let output = Command::new(program).args(["--schema-only", "--dbname", url]).output().expect("pg_dump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Newer versions wrap it in a word that is another one each time.
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}
