//! Many migrators at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tenant_sync_core::migrate::{Limits, MigrateError, Observer, Outcome};
use tokio::sync::{Barrier, mpsc};

use super::scratch::{DEADLINE, MIGRATOR_WAITS, on_database, quick, until, value};

/// A migration of each kind; none of the statements could run twice.
const FILES: [(&str, &str); 4] = [
    (
        "0001_table.sql",
        "create table item (id int primary key, note text); insert into item select generate_series(1, 300);",
    ),
    (
        "0002_index.sql",
        "-- tenant-sync: no-transaction\ncreate index concurrently item_note on item (note);\ncreate table alone ();",
    ),
    (
        "0003_fill.sql",
        "-- tenant-sync: repeat-until-done\nupdate item set note = 'x' where id in (select id from item where note is null limit 50);",
    ),
    ("0004_last.sql", "create table last ();"),
];

async fn race(migrators: usize) {
    on_database(|db| async move {
        let barrier = Arc::new(Barrier::new(migrators));
        let mut tasks = Vec::new();
        for _ in 0..migrators {
            let (migrator, barrier) = (db.migrator(&FILES), Arc::clone(&barrier));
            tasks.push(tokio::spawn(async move {
                barrier.wait().await;
                migrator.run(&mut ()).await
            }));
        }
        let all =
            tokio::time::timeout(DEADLINE, futures_util::future::join_all(tasks)).await.expect("in time");
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for outcome in all {
            if let Outcome::Applied { names } = outcome.expect("task").expect("migrated") {
                names.into_iter().for_each(|name| *times.entry(name).or_default() += 1);
            }
        }
        let expected = FILES.iter().map(|(file, _)| (format!("engine/{file}"), 1)).collect();
        assert_eq!(times, expected, "each applied exactly once");
        let client = db.connect().await;
        assert!(
            value::<bool>(
                &client,
                "select indisvalid from pg_index where indexrelid = 'item_note'::regclass"
            )
            .await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_migrators_apply_each_migration_once() {
    race(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_migrators_apply_each_migration_once() {
    race(20).await;
}

/// Tells that its migrator waits for another one.
struct Waiting(mpsc::UnboundedSender<String>);

impl Observer for Waiting {
    fn waiting(&mut self, holder: &str) {
        let _ = self.0.send(holder.to_owned());
    }
}

/// `CREATE INDEX CONCURRENTLY` waits for every transaction that is older; a migrator that blocked on the
/// lock would be one, and both would wait for ever. It also outlasts the time for other locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_wait_do_not_hold_up_a_concurrent_index() {
    on_database(|db| async move {
        let mut application = db.connect().await;
        application.batch_execute("create table item (id int)").await.expect("table");
        let open = application.transaction().await.expect("transaction");
        open.batch_execute("insert into item values (1)").await.expect("insert");

        let file = (
            "0001_index.sql",
            "-- tenant-sync: no-transaction\ncreate index concurrently item_id on item (id);",
        );
        let limits = Limits { lock_timeout: Duration::from_millis(50), attempts: 1, ..quick() };
        let first = db.migrator(&[file]).limits(limits.clone());
        let first = tokio::spawn(async move { first.run(&mut ()).await });
        let client = db.connect().await;
        until(&client, MIGRATOR_WAITS).await;

        let (sender, mut waiting) = mpsc::unbounded_channel();
        let others: Vec<_> = (0..19)
            .map(|_| {
                let (migrator, mut observer) =
                    (db.migrator(&[file]).limits(limits.clone()), Waiting(sender.clone()));
                tokio::spawn(async move { migrator.run(&mut observer).await })
            })
            .collect();
        for _ in 0..others.len() {
            let holder =
                tokio::time::timeout(DEADLINE, waiting.recv()).await.expect("in time").expect("waits");
            assert!(holder.contains("tenant-sync migrate"), "says who: {holder}");
        }
        let long_enough = "select now() - query_start > '500 ms' from pg_stat_activity \
            where datname = current_database() and query ilike 'create index%' and wait_event_type = 'Lock'";
        until(&client, long_enough).await;

        open.commit().await.expect("commit");
        let ended = tokio::time::timeout(DEADLINE, first).await.expect("the index is built while they wait");
        assert!(matches!(ended.expect("task").expect("applied"), Outcome::Applied { .. }));
        for other in others {
            let outcome = tokio::time::timeout(DEADLINE, other).await.expect("in time").expect("task");
            assert!(matches!(outcome.expect("fits"), Outcome::UpToDate { .. }));
        }
    })
    .await;
}

#[tokio::test]
async fn the_wait_for_another_migrator_ends_and_says_for_whom() {
    on_database(|db| async move {
        let mut application = db.connect().await;
        application.batch_execute("create table item (id int)").await.expect("table");
        let open = application.transaction().await.expect("transaction");
        open.batch_execute("lock table item").await.expect("lock");
        let file = (
            "0001_index.sql",
            "-- tenant-sync: no-transaction\ncreate index concurrently item_id on item (id);",
        );
        let first = db.start(&[file]);
        let client = db.connect().await;
        until(&client, MIGRATOR_WAITS).await;
        let holder: i32 = value(
            &client,
            "select pid from pg_locks where locktype = 'advisory' and database = \
                        (select oid from pg_database where datname = current_database())",
        )
        .await;

        let hasty = Limits { wait: Duration::from_millis(100), ..quick() };
        let migrator = db.migrator(&[file]).limits(hasty);
        let ended = tokio::time::timeout(DEADLINE, migrator.run(&mut ())).await.expect("in time");
        let error = ended.expect_err("gives up");
        assert!(matches!(&error, MigrateError::Locked { .. }), "{error}");
        assert!(error.to_string().contains(&holder.to_string()) && error.is_transient(), "{error}");

        drop(open);
        first.await.expect("task").expect("applied");
    })
    .await;
}
