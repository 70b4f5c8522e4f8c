//! What a feed costs that was written, read and purged while somebody kept an old snapshot open: nothing, also when
//! statistics say that nothing waits and nothing is there.

use std::collections::BTreeMap;

use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping;
use tenant_sync_tests::cluster::{Options, PrivateCluster};
use tenant_sync_tests::database::{self, connect, rows};
use tenant_sync_tests::stack::Stack;
use tokio_postgres::Client;
use uuid::Uuid;

use super::application::{Application, INVOICES};

const PASS: &str = "select rows_given from backfill_null_sequence_ids(5000)";

async fn pages(client: &Client, statement: &str) -> i64 {
    database::pages(client, statement)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
        .unwrap_or(0)
}

/// The dearest of what a worker asks for one change, planned for these values and for any, and a pass. Of each the
/// cheapest of several: a session reads catalogs when it begins, and whenever autovacuum has looked at a table.
async fn dearest(application: &Application, statements: &[(String, String)], tenant: Uuid) -> (i64, String) {
    let inside = application.stack.internal();
    let session = inside.connect().await;
    session.batch_execute("set enable_seqscan = off; set jit = off").await.expect("settings");
    // Once a minute a pass looks at everything. Not these, however slow the machine is.
    let looked = r#"update "SequencerPass" set "scannedFullyAt" = clock_timestamp() + interval '1 hour'
                    where "pass" = (select max("pass") from "SequencerPass")"#;
    let mut costs = BTreeMap::new();
    for _ in 0..4 {
        inside.sql(looked).await;
        inside.sql("update invoices set paid = not paid where id = (select min(id) from invoices)").await;
        let mut round = reads(&session, statements, tenant).await;
        round.push(("a pass over one change".to_owned(), pages(&session, PASS).await));
        round.push(("a pass over none".to_owned(), pages(&session, PASS).await));
        for (name, cost) in round {
            let least = costs.entry(name).or_insert(cost);
            *least = cost.min(*least);
        }
    }
    costs.into_iter().map(|(name, cost)| (cost, name)).max().expect("some statements")
}

/// What a worker reads, once.
async fn reads(session: &Client, statements: &[(String, String)], tenant: Uuid) -> Vec<(String, i64)> {
    let mut costs = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        session.batch_execute(&format!("set plan_cache_mode = {mode}")).await.expect("a setting");
        let horizon =
            rows(session, r#"select max("lastSequenceId") from "SequencerPass""#).await.expect("a horizon");
        for (name, sql) in statements {
            let arguments = if name.starts_with("flagged") { 2 } else { 3 };
            let largest = i32::from(!name.ends_with("gone"));
            let values = if arguments == 3 { format!("{}, 10000", horizon[0]) } else { "10000".to_owned() };
            let largest = if largest == 1 { ", 1000000" } else { "" };
            session.batch_execute(&format!("prepare statement as {sql}")).await.expect(sql);
            let execute = format!("execute statement('{tenant}', {values}{largest})");
            costs.push((format!("{name}, {mode}"), pages(session, &execute).await));
            session.batch_execute("deallocate statement").await.expect("forgets it");
        }
    }
    costs
}

async fn dearest_read(session: &Client, statements: &[(String, String)], tenant: Uuid) -> (i64, String) {
    let all = reads(session, statements, tenant).await;
    all.into_iter().map(|(name, cost)| (cost, name)).max().expect("some statements")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_was_read_under_a_held_snapshot_costs_nothing() {
    if !PrivateCluster::available() {
        return eprintln!("skipped: this machine has no PostgreSQL server programs");
    }
    // Its own server: transactions that others have open elsewhere count for the tail, too.
    let cluster = PrivateCluster::start(Options::default()).await;
    let application = Application::on(Stack::plan().internal_on(&cluster.url()), INVOICES).await;
    application.adopt("public.invoices", "org_id").await;
    let tenant = application.tenant("1").await;
    let inside = application.stack.internal();
    let client = inside.connect().await;
    let config = application.stack.config();
    let mappings = mapping::load(&config).expect("they are good");
    let checked = mapping::check(&mappings, &client).await.expect("they fit");
    let statements = tenant_sync_sync_worker::reading(&checked[0]);
    inside
        .sql("insert into invoices (org_id, number) select 1, n::text from generate_series(1, 5000) n")
        .await;
    let settle = async || while rows(&client, PASS).await.expect("a pass") != ["0"] {};
    settle().await;
    inside.sql("analyze").await;
    let before = dearest(&application, &statements, tenant.id()).await;

    let holder = inside.connect().await;
    let hold = r#"begin isolation level repeatable read; select count(*) from "Tenancy""#;
    holder.batch_execute(hold).await.expect("a snapshot");
    let database = Internal::new(&config.database, "test").expect("a pool");
    for n in 0..4 {
        inside.sql(&format!("update invoices set amount = {n}")).await;
        inside.sql("delete from invoices where id > 100; insert into invoices (org_id, number) select 1, n::text from generate_series(1, 4900) n").await;
        settle().await;
        tenant_sync_sequencer::purge_all(&database, std::time::Duration::ZERO).await.expect("purges");
        inside.sql(r#"delete from "DeletedRow""#).await;
    }
    assert_eq!(inside.value(r#"select count(*) from "ChangedRow""#).await, "0", "all of it is purged");
    // As autovacuum does when it likes.
    inside.sql("analyze").await;
    let after = dearest(&application, &statements, tenant.id()).await;
    assert!(after.0 <= before.0 * 2 + 100, "pages: {before:?} before, {after:?} after 60,000 changes");

    // What it would cost to look at all that has waited, dead or alive.
    let unbounded = |(name, sql): &(String, String)| {
        (name.clone(), sql.replace("tail_start($1)", "(select '0'::xid8 where $1 is not null)"))
    };
    let unbounded: Vec<(String, String)> = statements.iter().map(unbounded).collect();
    let unbounded = dearest(&application, &unbounded, tenant.id()).await;
    eprintln!("pages: {before:?} before, {after:?} after, {unbounded:?} without a bound");
    assert!(unbounded.0 > after.0 * 3, "{unbounded:?} against {after:?}");
    holder.batch_execute("commit").await.expect("ends");
}

/// The lower bound without a look at what the transaction left.
const OLDEST_OF_ALL: &str = r#"
    create or replace function tail_start(tenancy uuid) returns xid8 language sql stable set search_path from current as $$
        select least(p."fromXid", (select x from unnest(p."revisit") x order by x limit 1))
        from "SequencerPass" p order by p."pass" desc limit 1 $$"#;

/// A reader's lower bound is kept back by whatever runs anywhere in the server, and then looks at what has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_another_database_costs_a_reader_nothing() {
    if !PrivateCluster::available() {
        return eprintln!("skipped: this machine has no PostgreSQL server programs");
    }
    let cluster = PrivateCluster::start(Options::default()).await;
    let application = Application::on(Stack::plan().internal_on(&cluster.url()), INVOICES).await;
    application.adopt("public.invoices", "org_id").await;
    let tenant = application.tenant("1").await;
    let inside = application.stack.internal();
    let client = inside.connect().await;
    let mappings = mapping::load(&application.stack.config()).expect("they are good");
    let checked = mapping::check(&mappings, &client).await.expect("they fit");
    let statements = tenant_sync_sync_worker::reading(&checked[0]);
    inside
        .sql("insert into invoices (org_id, number) select 1, n::text from generate_series(1, 1000) n")
        .await;
    let settle = async || while rows(&client, PASS).await.expect("a pass") != ["0"] {};
    settle().await;
    inside.sql("analyze").await;
    let before = dearest(&application, &statements, tenant.id()).await;

    // One keeps what is dead from being removed; the other has a number, and wrote elsewhere.
    let holder = inside.connect().await;
    let hold = r#"begin isolation level repeatable read; select count(*) from "Tenancy""#;
    holder.batch_execute(hold).await.expect("a snapshot");
    let elsewhere = connect(&cluster.url()).await;
    elsewhere.batch_execute("begin; select pg_current_xact_id()").await.expect("a transaction");
    for n in 0..2000 {
        inside.sql(&format!("update invoices set amount = {n} where id between 500 and 509")).await;
        if n % 50 == 0 {
            settle().await;
        }
    }
    settle().await;
    let meanwhile = dearest(&application, &statements, tenant.id()).await;
    elsewhere.batch_execute("commit").await.expect("ends");
    // Until a pass has something to do, the ledger says that it runs.
    let session = inside.connect().await;
    session.batch_execute("set enable_seqscan = off; set jit = off").await.expect("settings");
    reads(&session, &statements, tenant.id()).await;
    let after = dearest_read(&session, &statements, tenant.id()).await;
    eprintln!("pages: {before:?} before, {meanwhile:?} while it runs, {after:?} when it has ended");
    for dear in [&meanwhile, &after] {
        assert!(dear.0 <= before.0 * 2 + 100, "pages: {before:?} before, {dear:?} after 20,000 changes");
    }
    inside.sql(OLDEST_OF_ALL).await;
    let oldest = dearest_read(&session, &statements, tenant.id()).await;
    assert!(oldest.0 > after.0 * 3, "{oldest:?} against {after:?}");
    holder.batch_execute("commit").await.expect("ends");
}
