//! A reset drops what ours made, and nothing else.

use tenant_sync_core::migrate::{MigrateError, Migrations, Migrator};

use super::scratch::{on_database, value};

const OURS: [(&str, &str); 2] = [
    (
        "0001_a.sql",
        r#"create table "Tenancy" (id int primary key);
           create table "ExternalDatabase" (id int references "Tenancy", at timestamptz default now());
           create sequence our_seq; create view our_view as select * from "Tenancy";
           create type our_type as enum ('a'); create table typed (a our_type);
           create function our_trigger() returns trigger language plpgsql as $$ begin return new; end $$;
           create trigger ours before insert on "Tenancy" for each row execute function our_trigger();"#,
    ),
    ("0002_b.sql", "create function our_function(v our_view) returns int language sql as 'select 1';"),
];

const THEIRS: &str = r#"
    create table invoice (id int); create sequence their_seq; create type their_type as enum ('a');
    create function their_function() returns int language sql as 'select 1';
    create view their_view as select * from invoice;
    create trigger ours before insert on invoice for each row execute function our_trigger();
    insert into invoice values (1);"#;

/// Names of everything in the schema, but for what belongs to a table.
const EVERYTHING: &str = "select coalesce(string_agg(name, ' ' order by name), '') from (
      select relname::text as name from pg_class where relnamespace = 'public'::regnamespace and relkind <> 'i'
      union all select proname from pg_proc where pronamespace = 'public'::regnamespace
      union all select typname from pg_type where typnamespace = 'public'::regnamespace and typtype = 'e') everything";

#[tokio::test]
async fn it_drops_only_what_ours_made() {
    on_database(|db| async move {
        db.migrate(&OURS).await.expect("applies");
        let client = db.connect().await;
        client.batch_execute(THEIRS).await.expect("theirs");
        let migrator = db.migrator(&OURS);
        let survey = migrator.survey().await.expect("survey");
        assert_eq!((survey.database.as_str(), survey.targets), (db.name.as_str(), 0));
        let mut dropped = migrator.reset(None, &mut ()).await.expect("reset");
        assert!(dropped.contains(&"trigger ours on invoice".to_owned()), "{dropped:?}");
        let mut announced = survey.objects;
        announced.sort();
        dropped.sort();
        assert_eq!(announced, dropped);
        assert_eq!(
            value::<String>(&client, EVERYTHING).await,
            "invoice their_function their_seq their_type their_view"
        );
        client
            .batch_execute("insert into invoice values (2)")
            .await
            .expect("their table works without our trigger");
        db.migrate(&OURS).await.expect("and everything can come again");
    })
    .await;
}

#[tokio::test]
async fn what_others_depend_on_stays_with_all_the_rest() {
    on_database(|db| async move {
        db.migrate(&OURS).await.expect("applies");
        let client = db.connect().await;
        client.batch_execute(r#"create view their_view as select * from "Tenancy""#).await.expect("theirs");
        let before: String = value(&client, EVERYTHING).await;
        let error = db.migrator(&OURS).reset(None, &mut ()).await.expect_err("depends");
        assert!(matches!(&error, MigrateError::Depended { .. }), "{error}");
        assert!(error.to_string().contains("their_view") && error.to_string().contains("Tenancy"), "{error}");
        assert_eq!(value::<String>(&client, EVERYTHING).await, before, "nothing was dropped");
        db.migrator(&OURS).check().await.expect("and it still fits");
    })
    .await;
}

#[tokio::test]
async fn where_targets_exist_the_database_must_be_named() {
    on_database(|db| async move {
        db.migrate(&OURS).await.expect("applies");
        let client = db.connect().await;
        let insert = r#"insert into "Tenancy" values (1); insert into "ExternalDatabase" values (1)"#;
        client.batch_execute(insert).await.expect("a target");
        let migrator = db.migrator(&OURS);
        assert_eq!(migrator.survey().await.expect("survey").targets, 1);
        for named in [None, Some("another")] {
            let error = migrator.reset(named, &mut ()).await.expect_err("not named");
            assert!(
                matches!(&error, MigrateError::TargetsExist { targets: 1, database } if *database == db.name),
                "{error}"
            );
        }
        assert_eq!(value::<i64>(&client, r#"select count(*) from "ExternalDatabase""#).await, 1);
        migrator.reset(Some(&db.name), &mut ()).await.expect("named");
        assert_eq!(value::<String>(&client, EVERYTHING).await, "");
    })
    .await;
}

#[tokio::test]
async fn what_a_newer_version_made_is_not_guessed() {
    on_database(|db| async move {
        db.migrate(&OURS).await.expect("applies");
        let error = db.migrator(&OURS[..1]).reset(None, &mut ()).await.expect_err("unknown");
        assert!(
            matches!(&error, MigrateError::Unknown { names } if names == &["engine/0002_b.sql"]),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_strangers_table_of_a_name_that_a_migration_gave_up_stays() {
    on_database(|db| async move {
        let files = [
            ("0001_a.sql", "create table kept (); create table gone ();"),
            ("0002_b.sql", "drop table gone;"),
        ];
        db.migrate(&files).await.expect("applies");
        let client = db.connect().await;
        client.batch_execute("create table gone (id int)").await.expect("a stranger's now");
        db.migrator(&files).reset(None, &mut ()).await.expect("reset");
        assert_eq!(value::<String>(&client, EVERYTHING).await, "gone");
    })
    .await;
}

#[tokio::test]
async fn a_schema_of_ours_goes_when_nothing_else_is_in_it() {
    on_database(|db| async move {
        let client = db.connect().await;
        client.batch_execute("create schema theirs").await.expect("schema");
        for (schema, stranger, stays) in
            [("ours", false, false), ("ours", true, true), ("theirs", false, true)]
        {
            let migrator = Migrator::with(
                &db.config(&[("database.schema", schema)]),
                Migrations::parse([("engine", "0001_a.sql", "create table a ();")]).expect("list"),
            )
            .expect("migrator");
            migrator.run(&mut ()).await.expect("applies");
            if stranger {
                client.batch_execute(&format!("create table {schema}.stranger ()")).await.expect("stranger");
            }
            migrator.reset(None, &mut ()).await.expect("reset");
            let exists = format!("select to_regnamespace('{schema}') is not null");
            assert_eq!(value::<bool>(&client, &exists).await, stays, "{schema} {stranger}");
        }
    })
    .await;
}

#[tokio::test]
async fn everything_that_is_shipped_can_be_taken_back() {
    on_database(|db| async move {
        let config = db.config(&[]);
        let client = db.connect().await;
        assert_eq!(value::<String>(&client, EVERYTHING).await, "");
        Migrator::new(&config).expect("migrator").run(&mut ()).await.expect("applies");
        let all = Migrator::with(&config, Migrations::embedded(true).expect("embedded")).expect("migrator");
        all.reset(None, &mut ()).await.expect("reset");
        assert_eq!(
            value::<String>(&client, EVERYTHING).await,
            "",
            "the files name everything that they make"
        );
    })
    .await;
}
