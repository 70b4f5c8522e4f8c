//! Tracking while the application uses the table.

use std::time::Duration;

use tenant_sync_tests::wait::eventually;

use super::kit::Place;

#[tokio::test]
async fn it_gives_way_to_the_application_and_succeeds_when_the_table_is_free() {
    let place = Place::start().await;
    place.sql("create table invoices (id int primary key, org_id int)").await;
    let holder = place.internal().connect().await;
    holder
        .batch_execute("set application_name = 'the application'; begin; insert into invoices values (1, 1)")
        .await
        .expect("a lock");
    let cli = place.stack.cli();
    let tracking = tokio::spawn(async move {
        cli.run(&["table", "track", "public.invoices", "--tenant-column", "org_id"]).await
    });

    // It waits for the lock; a writer behind it waits for less than its own patience.
    let waits = "select count(*) from pg_locks where not granted and relation = 'invoices'::regclass";
    eventually(Duration::from_secs(20), "table track to wait", async || {
        if place.value(waits).await == "1" { Ok(()) } else { Err("it does not wait") }
    })
    .await;
    place.sql("set lock_timeout = '4s'; insert into invoices values (2, 1)").await;
    let gives_way = "select count(*) from pg_locks where not granted and relation = 'invoices'::regclass";
    eventually(Duration::from_secs(20), "table track to give way", async || {
        if place.value(gives_way).await == "0" { Ok(()) } else { Err("it still waits") }
    })
    .await;
    holder.batch_execute("commit").await.expect("released");
    let done = tracking.await.expect("the command");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("waiting for") && done.stderr.contains("the application"), "{done:?}");
    assert_eq!(place.records("update invoices set org_id = 2 where id = 2").await.len(), 2);
}

#[tokio::test]
async fn a_crash_on_the_way_is_made_good_by_the_next_attempt() {
    let place = Place::start().await;
    place.sql("create table invoices (id int primary key, org_id int); insert into invoices select g, 1 from generate_series(1, 1000) g").await;
    // An old snapshot that CREATE INDEX CONCURRENTLY has to wait for.
    let holder = place.internal().connect().await;
    holder
        .batch_execute("begin isolation level repeatable read; select count(*) from \"Tenancy\"")
        .await
        .expect("a snapshot");
    let cli = place.stack.cli();
    let first = cli.clone();
    let tracking = tokio::spawn(async move {
        first.run(&["table", "track", "public.invoices", "--tenant-column", "org_id"]).await
    });
    let invalid = "select count(*) from pg_index where indrelid = 'invoices'::regclass and not indisvalid";
    eventually(Duration::from_secs(20), "the index to be begun", async || {
        if place.value(invalid).await == "1" { Ok(()) } else { Err("there is none yet") }
    })
    .await;
    let second = cli.run(&["table", "track", "public.invoices", "--tenant-column", "org_id"]).await;
    assert!(second.code == Some(1) && second.stderr.contains("another session"), "{second:?}");
    // Writes do not wait for it, and are recorded already.
    assert_eq!(place.records("update invoices set org_id = 2 where id = 1").await.len(), 2);
    place.sql("select pg_terminate_backend(pid, 10000) from pg_stat_activity where query like 'create index concurrently%'").await;
    let died = tracking.await.expect("the command");
    assert_eq!(died.code, Some(1), "{died:?}");
    holder.batch_execute("commit").await.expect("released");
    assert_eq!(place.value(invalid).await, "1", "the crash left it");

    let listed = cli.json(&["table", "list"]).await;
    assert_eq!(listed["tables"][0]["hasIndex"], false);
    let done = cli.json(&["table", "track", "public.invoices", "--tenant-column", "org_id"]).await;
    assert_eq!(place.value(invalid).await, "0");
    let index = done["ownIndex"].as_str().expect("an index").to_owned();
    let definition = place.value(&format!("select pg_get_indexdef('{index}'::regclass)")).await;
    assert!(definition.ends_with("(org_id, id)"), "{definition}");
    cli.json(&["table", "untrack", "public.invoices"]).await;
    assert_eq!(place.value("select count(*) from pg_index where indrelid = 'invoices'::regclass").await, "1");
}
