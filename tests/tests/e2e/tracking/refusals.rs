//! What cannot be tracked, and what the refusal says to do.

use super::kit::Place;

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let place = Place::start().await;
    place
        .sql(
            "create view v as select 1 as org_id; create materialized view m as select 1 as org_id;
             create unlogged table u (id int primary key, org_id int); create temporary table t (id int primary key, org_id int);
             create extension postgres_fdw; create server s foreign data wrapper postgres_fdw; create foreign table f (org_id int) server s;
             create table parent (id int primary key, org_id int); create table child (primary key (id)) inherits (parent);
             create table root (id int primary key, org_id int) partition by range (id);
             create table part partition of root for values from (0) to (9);
             create table no_key (id int, org_id int);
             create table nullable (id int unique, org_id int);
             create table partial (id int not null, org_id int); create unique index on partial (id) where id > 0;
             create table expression (id int not null, org_id int); create unique index on expression (abs(id));
             create table late (id int not null unique deferrable, org_id int);
             create table fine (id int primary key, org_id int); create sequence q",
        )
        .await;
    for (table, words) in [
        ("v", ["is a view", "track the tables"]),
        ("m", ["is a view", "track the tables"]),
        ("f", ["foreign table", "on the server"]),
        ("u", ["unlogged", "set logged"]),
        ("t", ["temporary", "permanent table"]),
        ("parent", ["inherit", "partitioned table"]),
        ("child", ["inherits", "partitioned table"]),
        ("part", ["is a partition", "track root"]),
        ("no_key", ["has no key", "primary key"]),
        ("nullable", ["has no key", "not null"]),
        ("partial", ["has no key", "without a condition"]),
        ("expression", ["has no key", "primary key"]),
        ("late", ["has no key", "not deferrable"]),
        ("q", ["is no table", "public.q"]),
        ("pg_class", ["belongs to the server", "your own"]),
    ] {
        let said = place.refused(&format!("select track_table('{table}', 'org_id')")).await;
        assert!(words.iter().all(|word| said.contains(word)), "{table}: {said}");
    }
    let column = place.refused("select track_table('fine', 'tenant')").await;
    assert!(column.contains("no column 'tenant'; it has id, org_id"), "{column}");
    let columns = place.refused("select track_table('fine', 'org_id', '{a,id,b}')").await;
    assert!(columns.contains("'a', 'b'"), "{columns}");
    place.refused("select track_table('fine', null)").await;
    place.refused("select track_table(4711::regclass, 'org_id')").await;
    assert_eq!(place.value(r#"select count(*) from "TrackedTable""#).await, "0");
    assert_eq!(place.value("select count(*) from pg_trigger where tgname like '~tenant%'").await, "0");
    place.sql("select track_table('root', 'org_id'), track_table('fine', 'org_id')").await;
}

#[tokio::test]
async fn none_of_our_own_tables_can_be_tracked() {
    let stack = tenant_sync_tests::stack::Stack::start().await;
    let tables = stack.internal().rows("select c.oid::regclass from pg_class c where relkind = 'r' and relnamespace = 'public'::regnamespace").await;
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        let refusal = stack.internal().value(&format!("select tracking_refusal('{table}'::regclass)")).await;
        assert!(refusal.contains("own"), "{table}: {refusal}");
    }
}

#[tokio::test]
async fn the_missing_grant_is_named() {
    let place = Place::start().await;
    let owner = place.internal().role("nosuperuser").await;
    place
        .sql(&format!(
            "create schema app; create table app.invoices (id int primary key, org_id int) partition by range (id);
             create table app.first partition of app.invoices for values from (0) to (9);
             alter function track_table(regclass, text, text[]) owner to {0};
             grant all on schema public to {0}; grant all on all tables in schema public to {0}; grant all on all sequences in schema public to {0}",
            owner.name
        ))
        .await;
    let said = place.refused("select track_table('app.invoices', 'org_id')").await;
    let grant = format!(
        "grant usage on schema app to {0}; grant select, trigger on app.invoices, app.first to {0}",
        owner.name
    );
    assert!(said.ends_with(&grant), "{said}");
    let cli = place.stack.cli().run(&["table", "track", "app.invoices", "--tenant-column", "org_id"]).await;
    assert!(cli.stderr.contains(&grant), "{cli:?}");
    let (usage, tables) = grant.split_once("; ").expect("two grants");
    place.sql(tables).await;
    let said = place.refused("select track_table('app.invoices', 'org_id')").await;
    assert!(said.ends_with(usage), "{said}");
    place.sql(usage).await;
    place.sql("select track_table('app.invoices', 'org_id')").await;
    // Not the table's owner: its triggers sleep in replicas, and that is known.
    assert_eq!(place.value(r#"select "firing" from "TrackedTable""#).await, "origin");
    assert_eq!(
        place.records("insert into app.invoices values (1, 1)").await,
        [r#"changed 1 app.invoices {"id": 1}"#]
    );
    place.sql("alter function untrack_table(regclass) owner to current_user; select untrack_table('app.invoices')").await;
}
