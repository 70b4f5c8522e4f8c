//! From an application that never heard of us to its first synced table, in the README's words.

use tenant_sync_tests::database::connect;
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

    let status = &["sync", "status", "--tenant-key", "4711", "--json"];
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
