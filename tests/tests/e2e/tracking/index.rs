//! The index that first copies need.

use super::kit::Place;

#[tokio::test]
async fn an_index_is_made_only_where_none_serves() {
    let place = Place::start().await;
    place
        .sql(
            "create table by_key (org_id int, id int, primary key (org_id, id));
             create table has_one (code text primary key, org_id text); create index fits on has_one (org_id, code collate \"C\");
             create table has_other (code text primary key, org_id text); create index other on has_other (org_id, code);
             create index partial on has_other (org_id, code collate \"C\") where code > 'a'",
        )
        .await;
    let cli = place.stack.cli();
    for (table, makes) in [("public.by_key", false), ("public.has_one", false), ("public.has_other", true)] {
        let tracked = cli.json(&["table", "track", table, "--tenant-column", "org_id"]).await;
        assert_eq!(tracked["ownIndex"].is_string(), makes, "{tracked}");
    }
    let made = place.value("select pg_get_indexdef(\"ownIndex\"::regclass) from \"TrackedTable\" where \"ownIndex\" is not null").await;
    assert!(
        made.ends_with(r#"(org_id, code COLLATE "C")"#) && made.contains("tenant_sync_first_copy_"),
        "{made}"
    );
    for table in ["public.by_key", "public.has_one", "public.has_other"] {
        cli.json(&["table", "untrack", table]).await;
    }
    assert_eq!(place.value("select count(*) from pg_class where relname like 'tenant_sync%' or relname in ('fits', 'other', 'partial')").await, "3");
}

#[tokio::test]
async fn partitions_get_theirs_without_blocking_and_the_root_takes_them_up() {
    let place = Place::start().await;
    place
        .sql(
            "create table p (id int, org_id int, at int, primary key (id, at)) partition by range (at);
             create table p1 partition of p for values from (0) to (10) partition by hash (id);
             create table p1a partition of p1 for values with (modulus 1, remainder 0);
             create table p2 partition of p for values from (10) to (20);
             create index p2_has on p2 (org_id, id, at)",
        )
        .await;
    let cli = place.stack.cli();
    let tracked = cli.json(&["table", "track", "public.p", "--tenant-column", "org_id"]).await;
    let index = tracked["ownIndex"].as_str().expect("an index").to_owned();
    let leaves = format!(
        "select relid::regclass::text ~ 'tenant_sync_first|p2_has' from pg_partition_tree('{index}') where isleaf"
    );
    assert_eq!(place.rows(&leaves).await, ["t", "t"]);
    cli.json(&["table", "untrack", "public.p"]).await;
    assert_eq!(place.value("select count(*) from pg_class where relname like 'tenant_sync%'").await, "0");
}

#[tokio::test]
async fn who_may_not_make_it_gets_the_statement_for_the_owner() {
    let place = Place::start().await;
    let worker = place.internal().role("nosuperuser").await;
    place
        .sql(&format!(
            "create schema app; create table app.invoices (id text primary key, org_id int);
             create table app.p (id int primary key, org_id int) partition by range (id);
             create table app.p1 partition of app.p for values from (0) to (9);
             grant select, trigger on app.invoices, app.p, app.p1 to {0}; grant usage on schema public to {0};
             grant all on all tables in schema public to {0}; grant all on all sequences in schema public to {0};
             grant execute on function track_table(regclass, text, text[]), untrack_table(regclass) to {0}",
            worker.name
        ))
        .await;
    let cli = place.stack.cli().set("database.url", &worker.url);
    let track = ["table", "track", "app.invoices", "--tenant-column", "org_id"];
    let partitioned = cli.run(&["table", "track", "app.p", "--tenant-column", "org_id"]).await;
    let in_turn =
        "create index concurrently on app.p1 (org_id, id);\n  create index on app.p (org_id, id);\n";
    assert!(partitioned.stderr.contains(in_turn), "{partitioned:?}");
    cli.json(&["table", "untrack", "app.p"]).await;
    let refused = cli.run(&track).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let statement = r#"create index concurrently on app.invoices (org_id, id collate "C")"#;
    assert!(refused.stderr.contains(statement), "{refused:?}");
    place.sql(statement).await;
    let tracked = cli.json(&track).await;
    assert_eq!(tracked["ownIndex"], serde_json::Value::Null);
    cli.json(&["table", "untrack", "app.invoices"]).await;
    assert_eq!(place.value("select count(*) from pg_trigger where tgname like '~tenant%'").await, "0");
}
