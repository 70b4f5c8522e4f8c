//! `table track`, `untrack` and `list`.

use super::kit::Place;

#[tokio::test]
async fn tables_are_tracked_listed_and_untracked() {
    let place = Place::start().await;
    place.sql("create table invoices (id int primary key, org_id int, a int, b int); create table \"Odd.Name\" (id int primary key, org_id int)").await;
    let cli = place.stack.cli();
    let track = ["table", "track", "public.invoices", "--tenant-column", "org_id", "--columns", "a,b"];
    let tracked = cli.json(&track).await;
    assert_eq!(
        (&tracked["name"], &tracked["keyColumns"]),
        (&"public.invoices".into(), &serde_json::json!(["id"]))
    );
    assert_eq!(cli.json(&track).await, tracked, "again is the same");
    assert_eq!(
        cli.json(&["table", "track", "public.Odd.Name", "--tenant-column", "org_id"]).await["name"],
        "public.Odd.Name"
    );

    let list = cli.json(&["table", "list"]).await;
    let tables = list["tables"].as_array().expect("tables");
    assert_eq!(tables.len(), 2, "{list}");
    let invoices = tables.iter().find(|table| table["name"] == "public.invoices").expect("invoices");
    let expected = serde_json::json!({"tenantColumn": "org_id", "keyColumns": ["id"], "columns": ["a", "b"], "triggers": "always",
        "hasIndex": true, "faults": 0, "partitionsChanged": false, "table": "public.invoices"});
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&invoices[key], value, "{key}");
    }

    place.sql(r#"alter table "ChangedRow" rename to gone; insert into invoices values (1, 1); alter table gone rename to "ChangedRow";
                alter table invoices disable trigger "~tenant_sync_public_insert"; alter table invoices rename to bills"#).await;
    let text = cli.run(&["table", "list"]).await.stdout;
    assert!(
        text.contains("DISABLED") && text.contains("1 statements not recorded, the last with 42P01"),
        "{text}"
    );
    place.sql("drop table \"Odd.Name\"").await;
    assert!(cli.run(&["table", "list"]).await.stdout.contains("the table is gone"));
    // By the new name and by the feed's.
    cli.json(&["table", "untrack", "public.bills"]).await;
    cli.json(&["table", "untrack", "public.Odd.Name"]).await;
    assert_eq!(cli.json(&["table", "list"]).await["tables"], serde_json::json!([]));
}

#[tokio::test]
async fn what_makes_no_sense_is_said() {
    let place = Place::start().await;
    place
        .sql("create table invoices (id int primary key, org_id int); create view v as select 1 as org_id")
        .await;
    let cli = place.stack.cli();
    for (arguments, code, words) in [
        (vec!["table", "track", "invoices", "--tenant-column", "org_id"], 2, "SCHEMA.TABLE"),
        (vec!["table", "track", "public.", "--tenant-column", "org_id"], 2, "SCHEMA.TABLE"),
        (vec!["table", "track", "public.invoices"], 2, "--tenant-column"),
        (vec!["table", "track", "public.invoice", "--tenant-column", "org_id"], 1, "no table public.invoice"),
        (vec!["table", "track", "public.in voice'\"", "--tenant-column", "org_id"], 1, "no table"),
        (vec!["table", "track", "public.v", "--tenant-column", "org_id"], 1, "track the tables"),
        (vec!["table", "track", "public.invoices", "--tenant-column", "tenant"], 1, "it has id, org_id"),
        (vec!["table", "track", "public.invoices", "--tenant-column", "org_id", "--columns", "x"], 1, "'x'"),
        (vec!["table", "untrack", "public.invoices"], 1, "is not tracked"),
        (vec!["table", "untrack", "public.gone"], 1, "is not tracked"),
    ] {
        let output = cli.run(&arguments).await;
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(words), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn installations_in_two_schemas_track_the_same_table() {
    let place = Place::with_invoices().await;
    let (one, two) = (place.stack.cli(), place.stack.cli().set("database.schema", "Odd \"Schema"));
    assert_eq!(two.run(&["db", "migrate"]).await.code, Some(0));
    let track = ["table", "track", "public.invoices", "--tenant-column", "org_id"];
    one.json(&track).await;
    two.json(&track).await;
    two.json(&["tenancy", "create", "--project", "p", "--tenant-key", "1"]).await;
    let theirs = r#"select count(*) from "Odd ""Schema"."ChangedRow""#;
    assert_eq!(place.records("insert into invoices values (1, 1)").await.len(), 1);
    assert_eq!(place.value(theirs).await, "1");
    assert_eq!(two.run(&["db", "reset", "--yes"]).await.code, Some(0));
    assert_eq!(place.records("insert into invoices values (2, 1); truncate invoices").await.len(), 3);
    one.json(&["table", "untrack", "public.invoices"]).await;
    assert_eq!(place.value("select count(*) from pg_trigger where tgname like '~tenant%'").await, "0");
    assert_eq!(place.value("select count(*) from pg_class where relname like 'tenant_sync_%'").await, "0");
}
