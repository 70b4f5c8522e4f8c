//! A migrator that dies in the middle, and what the next one makes of it.

use tenant_sync_core::migrate::{MigrateError, Outcome};
use tokio_postgres::Client;

use super::scratch::{KILL_MIGRATORS, MIGRATOR_WAITS, Scratch, applied, on_database, until, value};

/// Starts migrating, waits until the migrator waits for a lock, and ends its session.
async fn crash(db: &Scratch, client: &Client, files: &[(&str, &str)]) {
    let migrator = db.start(files);
    until(client, MIGRATOR_WAITS).await;
    client.query(KILL_MIGRATORS, &[]).await.expect("kill");
    let error = migrator.await.expect("task").expect_err("killed");
    assert!(matches!(&error, MigrateError::SessionLost { .. }), "{error}");
    assert!(error.is_transient() && error.to_string().contains("engine/"), "{error}");
}

const INDEX_VALID: &str = "select indisvalid from pg_index where indexrelid = 'item_id'::regclass";

#[tokio::test]
async fn a_transaction_leaves_nothing_behind() {
    on_database(|db| async move {
        let (client, mut application) = (db.connect().await, db.connect().await);
        client.batch_execute("create table item (id int)").await.expect("table");
        let open = application.transaction().await.expect("transaction");
        open.batch_execute("insert into item values (1)").await.expect("insert");
        let files = [
            ("0001_a.sql", "create table a ();"),
            (
                "0002_b.sql",
                "create table b (); insert into b default values; alter table item add column note text;",
            ),
        ];
        crash(&db, &client, &files).await;
        assert!(
            value::<bool>(&client, "select to_regclass('a') is not null and to_regclass('b') is null").await
        );
        open.commit().await.expect("commit");
        assert_eq!(db.migrate(&files).await.expect("goes on"), applied(&["0002_b.sql"]));
        assert_eq!(value::<i64>(&client, "select count(*) from b").await, 1);
    })
    .await;
}

#[tokio::test]
async fn batches_go_on_where_they_stopped() {
    on_database(|db| async move {
        let (client, mut application) = (db.connect().await, db.connect().await);
        let setup = "create table item (id int primary key, n int default 0);
                     insert into item select generate_series(1, 1000);
                     create table moved (id int)";
        client.batch_execute(setup).await.expect("rows");
        let open = application.transaction().await.expect("transaction");
        open.batch_execute("select from item where id = 550 for update").await.expect("lock");
        // The first statement would do harm if it were repeated after it was done.
        let file = (
            "0001_batches.sql",
            "-- tenant-sync: repeat-until-done\n\
             insert into moved select 1 where (select count(*) from moved) % 2 = 0;\n\
             update item set n = n + 1 where id in (select id from item where n = 0 order by id limit 100);",
        );
        crash(&db, &client, &[file]).await;
        assert_eq!(
            value::<i64>(&client, "select count(*) from item where n = 1").await,
            500,
            "five batches stay"
        );
        client.batch_execute("insert into moved values (2)").await.expect("now the first one would go on");
        let status = db.migrator(&[file]).status().await.expect("status");
        assert_eq!(status.needed(), ["engine/0001_batches.sql"]);

        open.commit().await.expect("commit");
        db.migrate(&[file]).await.expect("goes on");
        assert_eq!(value::<i64>(&client, "select count(*) from item where n = 1").await, 1000);
        assert_eq!(
            value::<i64>(&client, "select count(*) from moved").await,
            2,
            "what was done was not done again"
        );
        let rows = r#"select progress ->> 'rows' from "SchemaMigration""#;
        assert_eq!(value::<String>(&client, rows).await, "1001", "batch and record are one");
    })
    .await;
}

/// The first statement could not run twice; the second leaves an invalid index, which `IF NOT EXISTS`
/// would take for a good one.
const ALONE: (&str, &str) = (
    "0001_alone.sql",
    "-- tenant-sync: no-transaction\ncreate table alone ();\n\
     create index concurrently if not exists item_id on item (id);\ncreate table after ();",
);

#[tokio::test]
async fn statements_outside_a_transaction_go_on_and_an_invalid_index_is_rebuilt() {
    on_database(|db| async move {
        let (client, mut application) = (db.connect().await, db.connect().await);
        client.batch_execute("create table item (id int)").await.expect("table");
        let open = application.transaction().await.expect("transaction");
        open.batch_execute("insert into item values (1)").await.expect("insert");
        crash(&db, &client, &[ALONE]).await;
        assert!(!value::<bool>(&client, INDEX_VALID).await, "the killed one is left invalid");
        open.commit().await.expect("commit");
        assert_eq!(db.migrate(&[ALONE]).await.expect("goes on"), applied(&["0001_alone.sql"]));
        assert!(value::<bool>(&client, INDEX_VALID).await, "rebuilt");
        assert!(value::<bool>(&client, "select to_regclass('after') is not null").await);
    })
    .await;
}

#[tokio::test]
async fn an_index_that_the_server_finished_alone_is_kept() {
    on_database(|db| async move {
        let (client, mut application) = (db.connect().await, db.connect().await);
        client.batch_execute("create table item (id int)").await.expect("table");
        let open = application.transaction().await.expect("transaction");
        open.batch_execute("insert into item values (1)").await.expect("insert");
        let file =
            (ALONE.0, "-- tenant-sync: no-transaction\ncreate index concurrently item_id on item (id);");
        let migrator = db.start(&[file]);
        until(&client, MIGRATOR_WAITS).await;
        // The migrator is gone; its statement goes on in the server.
        migrator.abort();
        assert!(migrator.await.is_err_and(|e| e.is_cancelled()));
        open.commit().await.expect("commit");
        let next = db.start(&[file]);
        until(&client, INDEX_VALID).await;
        let built: u32 = value(&client, "select 'item_id'::regclass::oid").await;
        assert!(matches!(next.await.expect("task").expect("goes on"), Outcome::Applied { .. }));
        assert_eq!(value::<u32>(&client, "select 'item_id'::regclass::oid").await, built, "not built again");
    })
    .await;
}

#[tokio::test]
async fn an_invalid_index_is_rebuilt_when_its_reason_is_gone() {
    on_database(|db| async move {
        let client = db.connect().await;
        client
            .batch_execute("create table item (id int); insert into item values (1), (1)")
            .await
            .expect("table");
        let text = "-- tenant-sync: no-transaction\ncreate table alone ();\n\
                    create unique index concurrently if not exists item_id on item (id);\nselect 1;";
        for attempt in 1..=2 {
            let error = db.migrate(&[("0001_unique.sql", text)]).await.expect_err("twice the same");
            let MigrateError::Statement { line, reason, partly, .. } = error else { panic!("{error}") };
            assert_eq!((line, partly), (3, true));
            assert!(reason.contains("could not create unique index"), "attempt {attempt}: {reason}");
            assert!(!reason.contains("(1)"), "no values: {reason}");
            assert!(!value::<bool>(&client, INDEX_VALID).await);
        }
        // An unfinished migration may be corrected; what was done of it is not done again.
        let corrected = "-- tenant-sync: no-transaction\ncreate table alone ();\n\
                         delete from item a using item b where a.id = b.id and a.ctid > b.ctid;\n\
                         create unique index concurrently if not exists item_id on item (id);\nselect 1;";
        db.migrate(&[("0001_unique.sql", corrected)]).await.expect("corrected");
        assert!(value::<bool>(&client, INDEX_VALID).await, "rebuilt");
        db.migrator(&[("0001_unique.sql", corrected)]).check().await.expect("recorded with the new text");
    })
    .await;
}
