//! Untracking leaves the application's tables as they were.

use std::process::Command;

use tenant_sync_tests::services::Services;

use super::kit::Place;

/// `pg_dump -s` of the application's schema.
fn dump(place: &Place) -> String {
    let program =
        Services::from_env().pg_bin.map_or_else(|| "pg_dump".into(), |folder| folder.join("pg_dump"));
    let output = Command::new(program)
        .args(["--schema-only", "--schema=app", "--dbname", place.internal().url()])
        .output()
        .expect("pg_dump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Newer versions wrap it in a word that is another one each time.
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
}

const APPLICATION: &str = "create schema app;
    create table app.invoices (id bigint generated always as identity primary key, org_id bigint, code text);
    create table app.events (id int, org_id text, at int, primary key (id, at)) partition by range (at);
    create table app.first partition of app.events for values from (0) to (10);
    create table app.second partition of app.events for values from (10) to (20)";

#[tokio::test]
async fn the_dump_is_the_same_as_before() {
    let place = Place::start().await;
    place.sql(APPLICATION).await;
    let before = dump(&place);
    let cli = place.stack.cli();
    for table in ["app.invoices", "app.events"] {
        cli.json(&["table", "track", table, "--tenant-column", "org_id"]).await;
    }
    place.sql("insert into app.invoices (org_id) values (1); insert into app.events values (1, '1', 1), (1, '1', 11)").await;
    place.sql("insert into app.first values (2, '1', 2); truncate app.second").await;
    // As for a mapping that finds rows by a column that is not in the key.
    place.sql(r#"select record_touches('{app.invoices,app.events}', array['["code"]', '["org_id"]'])"#).await;
    place.sql("update app.invoices set code = 'x'; truncate app.first").await;
    assert_eq!(
        place.value(r#"select count(*) from "ChangedRow" where "tableName" like '% (touches)'"#).await,
        "2"
    );
    assert_eq!(place.value(r#"select count(*) from "TrackingFault""#).await, "0");
    assert_ne!(dump(&place), before);
    for table in ["app.invoices", "app.events"] {
        cli.json(&["table", "untrack", table]).await;
    }
    assert_eq!(dump(&place), before);
    assert_eq!(place.value("select count(*) from pg_proc where proname like 'track\\_%\\_%'").await, "0");
    // By SQL, too.
    place.sql("select track_table('app.invoices', 'org_id'); select untrack_table('app.invoices'); select untrack_table('app.invoices')").await;
    assert_eq!(dump(&place), before);
}

#[tokio::test]
async fn a_reset_takes_tracking_back_as_well() {
    let place = Place::start().await;
    place.sql(APPLICATION).await;
    let before = dump(&place);
    let cli = place.stack.cli();
    for table in ["app.invoices", "app.events"] {
        cli.json(&["table", "track", table, "--tenant-column", "org_id"]).await;
    }
    let reset = cli.run(&["db", "reset", "--yes"]).await;
    assert_eq!(reset.code, Some(0), "{reset:?}");
    assert_eq!(dump(&place), before);
    let left = "select count(*) from pg_proc where pronamespace = 'public'::regnamespace";
    assert_eq!(place.value(left).await, "0");
    place.sql("insert into app.invoices (org_id) values (1)").await;
}

#[tokio::test]
async fn tracking_again_changes_what_was_said_and_mends_what_is_missing() {
    let place = Place::with_invoices().await;
    let seen = "select xmin from \"TrackedTable\"";
    let first = place.value(seen).await;
    place.sql("select track_table('invoices', 'org_id')").await;
    assert_eq!(place.value(seen).await, first, "nothing was done");
    place.sql(r#"drop trigger "~tenant_sync_public_insert" on invoices; alter table invoices disable trigger "~tenant_sync_public_delete""#).await;
    place.sql("select track_table('invoices', 'org_id')").await;
    assert_eq!(
        place.records("insert into invoices values (1, 1); delete from invoices").await,
        [r#"changed 1 public.invoices {"id": 1}"#, r#"gone 1 public.invoices {"id": 1}"#]
    );
    // Restored from a dump, tables have other numbers.
    place.sql(r#"update "TrackedTable" set "relation" = 1; select track_table('invoices', 'org_id')"#).await;
    let found = r#"select "relation" = 'invoices'::regclass, "id" from "TrackedTable""#;
    assert_eq!(place.rows(found).await, ["t|1"]);
    // Another key, another tenant column.
    place.sql("alter table invoices drop constraint invoices_pkey, add column code text primary key, add column tenant text;
               select track_table('invoices', 'tenant')").await;
    assert_eq!(
        place.records("insert into invoices (id, code, tenant) values (5, 'x', '2')").await,
        [r#"changed 2 public.invoices {"code": "x"}"#]
    );
}
