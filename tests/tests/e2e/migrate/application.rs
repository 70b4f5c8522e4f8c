//! Migrations while an application writes.

use std::time::{Duration, Instant};

use tenant_sync_core::migrate::{Limits, MigrateError};

use super::scratch::{MIGRATOR_WAITS, applied, on_database, quick, until, value};

/// An open transaction keeps the migrator from its lock. The application's next writer queues behind the
/// migrator, and must get through although that transaction stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_does_not_queue_behind_a_waiting_migrator() {
    on_database(|db| async move {
        let (client, mut slow, writer) = (db.connect().await, db.connect().await, db.connect().await);
        client
            .batch_execute("create table item (id int); create table other (id int)")
            .await
            .expect("tables");
        let open = slow.transaction().await.expect("transaction");
        open.batch_execute("insert into item values (1)").await.expect("insert");

        // The lock on the other table is held while the one on this is waited for.
        let file =
            ("0001_a.sql", "alter table other add column note text; alter table item add column note text;");
        let migrator = db.start(&[file]);
        until(&client, MIGRATOR_WAITS).await;
        let begun = Instant::now();
        let write =
            writer.batch_execute("insert into item (id) values (2); insert into other (id) values (2)");
        tokio::time::timeout(Duration::from_secs(8), write)
            .await
            .expect("not stuck behind the migrator")
            .expect("insert");
        let waited = begun.elapsed();
        assert!(waited < Duration::from_millis(3500), "queued for {waited:?}");

        // It goes on trying, and succeeds as soon as it can.
        assert!(!migrator.is_finished());
        open.commit().await.expect("commit");
        assert_eq!(migrator.await.expect("task").expect("applied"), applied(&["0001_a.sql"]));
        let both = "select count(*) from information_schema.columns where column_name = 'note'";
        assert_eq!(value::<i64>(&client, both).await, 2);
    })
    .await;
}

#[tokio::test]
async fn attempts_are_bounded_and_leave_nothing() {
    on_database(|db| async move {
        let (client, mut slow) = (db.connect().await, db.connect().await);
        client.batch_execute("create table item (id int)").await.expect("table");
        let open = slow.transaction().await.expect("transaction");
        open.batch_execute("insert into item values (1)").await.expect("insert");
        let limits = Limits { lock_timeout: Duration::from_millis(30), attempts: 3, ..quick() };
        for text in [
            "create table new ();\nalter table item add column note text;",
            "-- tenant-sync: no-transaction\nalter table item add column note text;",
            "-- tenant-sync: repeat-until-done\nupdate item set id = 2;\ninsert into item select 1 where false;",
        ] {
            // The update waits for nobody here: another lock makes it wait.
            open.batch_execute("lock table item in share mode").await.expect("lock");
            let migrator = db.migrator(&[("0001_a.sql", text)]).limits(limits.clone());
            let error = migrator.run(&mut ()).await.expect_err("never gets the lock");
            let MigrateError::Busy { line, attempts, .. } = &error else { panic!("{error}") };
            assert_eq!((*line, *attempts), (2, 3), "{error}");
            assert!(value::<bool>(&client, "select to_regclass('new') is null").await);
        }
    })
    .await;
}

/// All locks of a transaction together are waited for about as long as one may be: the first is held
/// while the second is waited for.
#[tokio::test]
async fn the_time_for_locks_is_one_for_the_whole_transaction() {
    on_database(|db| async move {
        let (client, mut slow) = (db.connect().await, db.connect().await);
        client.batch_execute("create table item (id int)").await.expect("table");
        let open = slow.transaction().await.expect("transaction");
        open.batch_execute("insert into item values (1)").await.expect("insert");
        // Each of these statements waits; the savepoint of the block lets the next one wait again.
        let wait =
            "do $$ begin perform set_config('test.waited', current_setting('lock_timeout'), false); end $$;";
        let slowly = "select pg_sleep(0.3);";
        let text =
            format!("{slowly} {wait} create table seen as select current_setting('test.waited') as left;");
        let limits = Limits { lock_timeout: Duration::from_millis(1000), ..quick() };
        db.migrator(&[("0001_a.sql", &text)]).limits(limits).run(&mut ()).await.expect("applies");
        let left: String = value(&client, "select \"left\" from seen").await;
        let left: u64 = left.trim_end_matches("ms").parse().expect("milliseconds");
        assert!((100..=700).contains(&left), "{left} ms are left of 1000 after 300");
        drop(open);
    })
    .await;
}
