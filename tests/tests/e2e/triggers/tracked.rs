//! Tables of the operator's own.

use serde_json::json;
use tenant_sync_core::db::Internal;
use tenant_sync_sequencer::{Reads, follow_partitions};

use super::kit::Place;

#[tokio::test(flavor = "multi_thread")]
async fn data_are_the_tables_columns_exact_and_rows_of_nobody_are_nobodys() {
    let place = Place::with_invoices().await;
    place
        .trigger(&["--tenant-key", "one", "--table", "public.invoices", "--on", "insert,update,delete"])
        .await;
    place.sql("set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'; set extra_float_digits = -10").await;
    place
        .sql("insert into invoices values (9007199254740993, 'one', 'gold', 1.10, '2030-01-31 12:00+09', 'ü\"\\'), (2, 'two', 'x', 1, now(), ''), (3, 'nobody', 'x', 1, now(), ''), (4, null, 'x', 1, now(), '')")
        .await;
    let body = place.rows(r#"select body from "OutgoingRequest" where kind = 'http'"#).await;
    assert_eq!(body.len(), 1, "{body:?}");
    let data = r#"{"id":9007199254740993,"org":"one","plan":"gold","amount":1.10,"at":"2030-01-31T03:00:00+00:00","note":"ü\"\\"}"#;
    assert!(body[0].contains(data), "{}", body[0]);
    place.taken().await;
    assert_eq!(place.names("update invoices set org = 'two' where id > 5").await, ["invoices.deleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_a_partitioned_table_makes_one_event_however_it_is_named() {
    let place = Place::with_invoices().await;
    place
        .sql(
            "create table parts (id int, org text, v int, primary key (id)) partition by range (id);
             create table parts_a partition of parts for values from (0) to (100);
             create table parts_b partition of parts for values from (100) to (200);
             select track_table('parts', 'org')",
        )
        .await;
    place.trigger(&["--all", "--table", "public.parts", "--on", "insert,update,delete"]).await;
    assert_eq!(
        place.names("insert into parts values (1, 'one', 1), (101, 'one', 1)").await,
        ["parts.created"; 2]
    );
    assert_eq!(place.names("insert into parts_a values (2, 'one', 1)").await, ["parts.created"]);
    assert_eq!(place.names("update parts set v = 2 where id = 1").await, ["parts.updated"]);
    assert_eq!(place.names("update parts_b set v = 2").await, ["parts.updated"]);
    assert_eq!(place.names("delete from parts_a where id = 2").await, ["parts.deleted"]);
    // To another partition with another key, it is another row.
    assert_eq!(
        place.names("update parts set id = 102 where id = 1").await,
        ["parts.deleted", "parts.created"]
    );
    place.sql("create table parts_c partition of parts for values from (200) to (300)").await;
    assert_eq!(
        place.names("insert into parts values (201, 'one', 1)").await,
        ["parts.created"],
        "through the table"
    );
    let internal = Internal::new(&place.stack.config().database, "test").expect("internal");
    // As the sequencer does, also without a mapping of the table.
    follow_partitions(&internal, &Reads::of(&[])).await.expect("nobody is in the way");
    assert_eq!(
        place.names("insert into parts_c values (202, 'one', 1)").await,
        ["parts.created"],
        "by its own name, once it is known"
    );
    let gone = place.events("truncate parts").await;
    let count: i64 = gone.iter().map(|event| event["data"]["count"].as_i64().expect("a count")).sum();
    assert_eq!(count, 4, "{gone:?}");
    assert!(gone.iter().all(|event| event["type"] == json!("parts.deleted.bulk")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untracked_table_a_view_and_our_own_are_refused() {
    let place = Place::with_invoices().await;
    place.sql("create table plain (id int primary key); create view v as select 1 as x").await;
    for (table, words) in [
        ("public.plain", "is not tracked: `table track` it first"),
        ("public.v", "is not tracked"),
        ("public.nothing", "there is no table public.nothing"),
        ("public.invoces", "there is no table public.invoces; did you mean public.invoices?"),
        ("nothing", "there is no table nothing in the schema public, and no mapping of that name"),
        ("invoces", "did you mean invoices?"),
        ("public.OutgoingRequest", "is not tracked"),
    ] {
        let output = place
            .stack
            .cli()
            .run(&["trigger", "add", "--url", super::kit::URL, "--all", "--table", table, "--on", "insert"])
            .await;
        assert!(output.code == Some(1) && output.stderr.contains(words), "{table}: {output:?}");
    }
    assert!(place.refused("select track_table('\"HttpTrigger\"', 'id')").await.contains("tenant-sync's own"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_triggers_is_not_untracked_and_uninstall_takes_all_along() {
    let place = Place::with_invoices().await;
    let trigger = place.trigger(&["--all", "--table", "public.invoices", "--on", "insert"]).await;
    let refused = place.stack.cli().run(&["table", "untrack", "public.invoices"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("`trigger remove` them first"), "{refused:?}");
    place.stack.cli().json(&["trigger", "remove", &trigger]).await;
    place.stack.cli().json(&["table", "untrack", "public.invoices"]).await;
    place.sql("select track_table('invoices', 'org')").await;
    place.trigger(&["--all", "--table", "public.invoices", "--on", "insert"]).await;
    let done = place.stack.cli().run(&["uninstall", "--yes"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(place.value("select count(*) from pg_trigger where not tgisinternal").await, "0");
    assert_eq!(
        place.value("select count(*) from pg_proc where pronamespace = 'public'::regnamespace").await,
        "0"
    );
    assert_eq!(
        place
            .rows(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
            )
            .await,
        ["invoices"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_table_is_waited_for_two_seconds_at_a_time() {
    let place = Place::with_invoices().await;
    let busy = place.stack.internal().connect().await;
    busy.batch_execute("begin; insert into invoices (id) values (1)").await.expect("an open transaction");
    let cli = place.stack.cli();
    let adding = tokio::spawn(async move {
        cli.run(&[
            "trigger",
            "add",
            "--url",
            super::kit::URL,
            "--all",
            "--table",
            "public.invoices",
            "--on",
            "insert",
        ])
        .await
    });
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%http_add_trigger%'
                 and datname = current_database()";
    tenant_sync_tests::wait::eventually(
        std::time::Duration::from_secs(60),
        "it waits for its lock",
        async || {
            if place.value(waits).await == "1" { Ok(()) } else { Err("not yet") }
        },
    )
    .await;
    let bound = "select substring(query from 'lock_timeout = ''[^'']*''') from pg_stat_activity
                 where query like '%http_add_trigger%' and datname = current_database() and pid <> pg_backend_pid()";
    assert_eq!(place.value(bound).await, "lock_timeout = '2000ms'");
    // Who comes after it is held up for its two seconds, and not for as long as the transaction stays open: this
    // goes through while that is still open.
    place.sql("set lock_timeout = '20s'; insert into invoices (id, org) values (2, 'one')").await;
    busy.batch_execute("commit").await.expect("commit");
    let output = adding.await.expect("the task ends");
    assert_eq!(output.code, Some(0), "{output:?}");
}
