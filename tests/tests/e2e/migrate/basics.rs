use std::time::Duration;

use tenant_sync_core::migrate::{Decision, MigrateError, Migration, Migrator, Observer, Outcome, State};

use super::scratch::{applied, list, on_database, value};

const ONE: (&str, &str) = ("0001_one.sql", r#"create table "One" (id int primary key);"#);
const TWO: (&str, &str) =
    ("0002_two.sql", r#"alter table "One" add column note text; create sequence two_seq;"#);
const THREE: (&str, &str) = ("0003_three.sql", r#"insert into "One" values (3, 'three');"#);

#[tokio::test]
async fn a_fresh_database_gets_everything_once() {
    on_database(|db| async move {
        let files = [ONE, TWO, THREE];
        assert_eq!(
            db.migrate(&files).await.expect("applies"),
            applied(&["0001_one.sql", "0002_two.sql", "0003_three.sql"])
        );
        let client = db.connect().await;
        assert_eq!(value::<i64>(&client, r#"select count(*) from "One" where note = 'three'"#).await, 1);
        let recorded = r#"select string_agg("migrationName", ' ' order by "startedAt") from "SchemaMigration"
                          where "finishedAt" is not null and length(checksum) = 64"#;
        assert_eq!(
            value::<String>(&client, recorded).await,
            "engine/0001_one.sql engine/0002_two.sql engine/0003_three.sql"
        );
        assert_eq!(db.migrate(&files).await.expect("again"), Outcome::UpToDate { newer: vec![] });
        assert_eq!(value::<i64>(&client, r#"select count(*) from "One""#).await, 1, "nothing ran twice");
    })
    .await;
}

#[tokio::test]
async fn half_and_then_the_rest() {
    on_database(|db| async move {
        db.migrate(&[ONE]).await.expect("the first half");
        let status = db.migrator(&[ONE, TWO, THREE]).status().await.expect("status");
        assert_eq!(status.needed(), ["engine/0002_two.sql", "engine/0003_three.sql"]);
        assert_eq!(status.names(State::Applied), ["engine/0001_one.sql"]);
        assert_eq!(
            db.migrate(&[ONE, TWO, THREE]).await.expect("the rest"),
            applied(&["0002_two.sql", "0003_three.sql"])
        );
    })
    .await;
}

#[tokio::test]
async fn a_failing_migration_rolls_back_wholly_and_a_corrected_one_applies() {
    on_database(|db| async move {
        let wrong = (
            "0002_two.sql",
            "create table \"Two\" (id int);\ninsert into \"Two\" values (1);\n\nselect 1,\n  nonsense;",
        );
        let error = db.migrate(&[ONE, wrong]).await.expect_err("fails");
        let MigrateError::Statement { name, line, reason, partly } = error else { panic!("{error}") };
        assert_eq!((name.as_str(), line, partly), ("engine/0002_two.sql", 5, false));
        assert!(reason.contains("nonsense") && reason.contains("42703"), "{reason}");

        let client = db.connect().await;
        assert!(value::<bool>(&client, r#"select to_regclass('"Two"') is null"#).await, "rolled back");
        assert_eq!(
            value::<i64>(&client, r#"select count(*) from "SchemaMigration""#).await,
            1,
            "the one before stays"
        );

        let corrected = ("0002_two.sql", "create table \"Two\" (id int);");
        assert_eq!(db.migrate(&[ONE, corrected]).await.expect("corrected"), applied(&["0002_two.sql"]));
    })
    .await;
}

#[tokio::test]
async fn a_changed_file_that_was_applied_is_named() {
    on_database(|db| async move {
        db.migrate(&[ONE, TWO]).await.expect("applies");
        let changed = (TWO.0, r#"alter table "One" add column other text;"#);
        let error = db.migrate(&[ONE, changed, THREE]).await.expect_err("changed");
        assert!(
            matches!(&error, MigrateError::Changed { names } if names == &["engine/0002_two.sql"]),
            "{error}"
        );
        assert!(error.to_string().contains("engine/0002_two.sql"), "{error}");
        let client = db.connect().await;
        assert_eq!(value::<i64>(&client, r#"select count(*) from "One""#).await, 0, "nothing was applied");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_comes_too_late_is_refused() {
    on_database(|db| async move {
        db.migrate(&[ONE, THREE_ALONE]).await.expect("applies");
        let error = db.migrate(&[ONE, TWO, THREE_ALONE]).await.expect_err("late");
        assert!(
            matches!(&error, MigrateError::OutOfOrder { name, .. } if name == "engine/0002_two.sql"),
            "{error}"
        );
    })
    .await;
}
const THREE_ALONE: (&str, &str) = ("0003_three.sql", r#"insert into "One" values (3);"#);

#[tokio::test]
async fn batches_repeat_until_no_row_is_touched() {
    on_database(|db| async move {
        let client = db.connect().await;
        client
            .batch_execute("create table item (id int primary key, done bool); insert into item select generate_series(1, 1000)")
            .await
            .expect("rows");
        let batches = (
            "0001_batches.sql",
            "-- tenant-sync: repeat-until-done\nupdate item set done = true where id in (select id from item where done is null limit 100);\n\
             delete from item where id in (select id from item where id > 500 limit 250);",
        );
        db.migrate(&[batches]).await.expect("applies");
        assert_eq!(value::<i64>(&client, "select count(*) from item where done").await, 500);
        assert_eq!(
            value::<i64>(&client, "select count(distinct xmin::text) from item").await,
            5,
            "each batch was a transaction of its own"
        );
        let progress = r#"select (progress ->> 'batches') || ' ' || (progress ->> 'rows') from "SchemaMigration""#;
        assert_eq!(value::<String>(&client, progress).await, "12 1500");
    })
    .await;
}

#[tokio::test]
async fn what_is_not_ours_is_refused_by_name() {
    on_database(|db| async move {
        let files = [
            ("0001_a.sql", r#"create table if not exists "Ours" (id int); create sequence our_seq;"#),
            (
                "0002_b.sql",
                "create or replace function our_function() returns int language sql as 'select 1';",
            ),
        ];
        let client = db.connect().await;
        let strangers = r#"create table "Ours" (id int, secret text); create sequence our_seq;
                           create function our_function(text) returns int language sql as 'select 2'"#;
        client.batch_execute(strangers).await.expect("strangers");
        let error = db.migrate(&files).await.expect_err("refused");
        let MigrateError::Foreign { names, .. } = &error else { panic!("{error}") };
        assert_eq!(names, &["relation \"Ours\"", "relation \"our_seq\"", "function our_function"]);
        assert!(
            value::<bool>(&client, r#"select to_regclass('"SchemaMigration"') is null"#).await,
            "nothing was made"
        );

        client.batch_execute(r#"drop table "Ours"; drop sequence our_seq"#).await.expect("drop");
        let error =
            db.migrate(&files).await.expect_err("before the first one, not at the second").to_string();
        assert!(error.contains("our_function") && !error.contains("Ours"), "{error}");
        assert!(value::<bool>(&client, r#"select to_regclass('"Ours"') is null"#).await, "nothing was made");

        client.batch_execute("drop function our_function").await.expect("drop");
        db.migrate(&files).await.expect("now it fits");

        // What a migration of ours made may be replaced by a later one; what a stranger made meanwhile not.
        client.batch_execute(r#"create table "Later" ()"#).await.expect("stranger");
        let replaced = (
            "0003_c.sql",
            "create or replace function our_function() returns int language sql as 'select 3';",
        );
        let later = ("0004_d.sql", r#"create table "Later" (id int);"#);
        let error =
            db.migrate(&[files[0], files[1], replaced, later]).await.expect_err("refused").to_string();
        assert!(error.contains("Later") && !error.contains("our_function"), "{error}");
        db.migrate(&[files[0], files[1], replaced]).await.expect("applies");
    })
    .await;
}

#[tokio::test]
async fn a_strangers_record_table_is_refused() {
    on_database(|db| async move {
        let client = db.connect().await;
        for columns in [
            "version text",
            r#""migrationName" text, checksum text, breaking bool, "startedAt" timestamptz,
            "finishedAt" timestamptz, progress jsonb, extra int"#,
        ] {
            client
                .batch_execute(&format!(r#"create table "SchemaMigration" ({columns})"#))
                .await
                .expect("stranger");
            let error = db.migrate(&[ONE]).await.expect_err("refused");
            assert!(matches!(&error, MigrateError::Foreign { .. }), "{error}");
            assert!(error.to_string().contains("SchemaMigration"), "{error}");
            client.batch_execute(r#"drop table "SchemaMigration""#).await.expect("drop");
        }
        assert!(value::<bool>(&client, r#"select to_regclass('"One"') is null"#).await);
    })
    .await;
}

#[tokio::test]
async fn any_schema_name_works_and_functions_keep_it() {
    on_database(|db| async move {
        let schema = r#"Our "own" sché\ma; --"#;
        let files = list(&[
            ("0001_a.sql", "create table t (id int); create function f() returns bigint language sql \
              set search_path from current as 'select count(*) from t';"),
            ("0002_b.sql", "-- tenant-sync: no-transaction\ncreate index concurrently t_id on t (id);\ninsert into t values (1);"),
            ("0003_c.sql", "-- tenant-sync: repeat-until-done\nupdate t set id = 2 where id = 1;"),
        ]);
        let migrator = Migrator::with(&db.config(&[("database.schema", schema)]), files).expect("migrator");
        migrator.run(&mut ()).await.expect("applies");
        assert_eq!(migrator.check().await.expect("fits"), Outcome::UpToDate { newer: vec![] });
        let client = db.connect().await;
        let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
        assert_eq!(value::<i64>(&client, &format!("select {quoted}.f()")).await, 1);
        let there = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
        assert_eq!(value::<i64>(&client, there).await, 0, "everything is in the schema");
    })
    .await;
}

#[tokio::test]
async fn settings_of_one_migration_do_not_reach_the_next() {
    on_database(|db| async move {
        let here =
            "create table here (work_mem text); insert into here values (current_setting('work_mem'));";
        for (number, settings) in [
            (1, "set search_path = pg_catalog; set work_mem = '1MB';"),
            (3, "-- tenant-sync: no-transaction\nset search_path = pg_catalog;\nset work_mem = '1MB';"),
        ] {
            let names = [format!("{number:04}_a.sql"), format!("{:04}_b.sql", number + 1)];
            let later = format!("{here} alter table here rename to here_{number};");
            db.migrate(&[(&names[0], settings), (&names[1], &later)]).await.expect("applies");
            let client = db.connect().await;
            let kept = format!("select work_mem from public.here_{number}");
            assert_ne!(value::<String>(&client, &kept).await, "1MB");
        }
    })
    .await;
}

struct StopBefore(&'static str);

impl Observer for StopBefore {
    fn before(&mut self, migration: &Migration) -> Decision {
        if migration.name.ends_with(self.0) { Decision::Stop } else { Decision::Apply }
    }
}

#[tokio::test]
async fn a_run_can_be_stopped_before_any_migration() {
    on_database(|db| async move {
        let client = db.connect().await;
        let migrator = db.migrator(&[ONE, TWO, THREE]);
        let outcome = migrator.run(&mut StopBefore(ONE.0)).await.expect("stops");
        assert!(matches!(outcome, Outcome::Stopped { applied, missing } if applied.is_empty() && missing.len() == 3));
        assert!(value::<bool>(&client, r#"select to_regclass('"SchemaMigration"') is null"#).await, "nothing was made");
        let outcome = migrator.run(&mut StopBefore(TWO.0)).await.expect("stops");
        assert_eq!(
            outcome,
            Outcome::Stopped {
                applied: vec!["engine/0001_one.sql".into()],
                missing: vec!["engine/0002_two.sql".into(), "engine/0003_three.sql".into()]
            }
        );
        // Nobody keeps the lock.
        tokio::time::timeout(Duration::from_secs(10), migrator.run(&mut ())).await.expect("free").expect("applies");
    })
    .await;
}
