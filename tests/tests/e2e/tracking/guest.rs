//! What the application notices: nothing.

use super::kit::Place;

/// A table with triggers, a clock and row-level security of its own.
const APPLICATION: &str = "
    create table accounts (id bigserial primary key, org_id bigint, name text, updated_at timestamptz not null default now());
    create table audit (at bigserial, what text);
    create function touch() returns trigger language plpgsql as $$ begin new.updated_at := clock_timestamp(); return new; end $$;
    create function note() returns trigger language plpgsql as $$ begin insert into audit (what) values (tg_op || ' ' || tg_level); return null; end $$;
    create trigger touch before update on accounts for each row execute function touch();
    create trigger zz_note after insert or update or delete on accounts for each row execute function note();
    create trigger zz_note_all after insert or update or delete on accounts for each statement execute function note();
    alter table accounts enable row level security; alter table accounts force row level security;
    create policy own on accounts using (org_id = current_setting('app.org')::bigint);
    insert into accounts (org_id, name) values (1, 'a'), (2, 'b');";

#[tokio::test]
async fn rows_triggers_and_rights_stay_as_they_were() {
    let place = Place::start().await;
    place.sql(APPLICATION).await;
    let (_role, app) = place.application("accounts, audit").await;
    let before = place.rows("select xmin, ctid, updated_at, * from accounts order by id").await;
    place.sql("truncate audit; select track_table('accounts', 'org_id')").await;
    assert_eq!(place.rows("select xmin, ctid, updated_at, * from accounts order by id").await, before);
    assert_eq!(place.value("select count(*) from audit").await, "0");

    for level in ["read committed", "repeatable read", "serializable"] {
        let work = format!(
            "set app.org = 1; begin isolation level {level};
             insert into accounts (org_id, name) values (1, 'c'); update accounts set name = 'd' where name = 'c';
             update accounts set id = id + 1000 where name = 'd'; delete from accounts where name = 'd'; commit"
        );
        app.batch_execute(&work).await.unwrap_or_else(|error| panic!("{level}: {error:?}"));
        let recorded = place.recorded().await;
        let kinds: Vec<_> =
            recorded.iter().filter_map(|line| line.split_once(" 1 public.accounts ")).collect();
        assert_eq!(
            kinds.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            ["changed", "changed", "changed", "gone", "gone"]
        );
        // The application's own triggers ran as often as it wrote.
        assert_eq!(
            place.rows("select what, count(*) from audit group by 1 order by 1; truncate audit").await,
            [
                "DELETE ROW|1",
                "DELETE STATEMENT|1",
                "INSERT ROW|1",
                "INSERT STATEMENT|1",
                "UPDATE ROW|2",
                "UPDATE STATEMENT|2"
            ]
        );
    }
    assert_eq!(place.value(r#"select count(*) from "TrackingFault""#).await, "0");
    assert_eq!(place.value("select count(*) from accounts where org_id = 2").await, "1");
    // It can neither read nor write what is ours.
    app.batch_execute(r#"insert into "ChangedRow" ("tenancyId", "tableName", "primaryKey") values (gen_random_uuid(), 'x', '{}')"#)
        .await
        .expect_err("no right");
    app.batch_execute("select track_table('accounts', 'org_id')").await.expect_err("no right");
}

#[tokio::test]
async fn concurrent_serializable_transactions_do_not_meet_in_our_tables() {
    let place = Place::with_invoices().await;
    place.sql("insert into invoices values (1, 1, 1), (2, 2, 1)").await;
    let (one, two) = (place.internal().connect().await, place.internal().connect().await);
    for level in ["repeatable read", "serializable"] {
        let begin = format!("begin isolation level {level}");
        one.batch_execute(&begin).await.expect("begin");
        two.batch_execute(&begin).await.expect("begin");
        one.batch_execute("update invoices set amount = amount + 1 where id = 1").await.expect("one");
        two.batch_execute("update invoices set amount = amount + 1 where id = 2").await.expect("two");
        two.batch_execute("insert into invoices values (3, 1); delete from invoices where id = 3")
            .await
            .expect("two");
        two.batch_execute("commit").await.expect("two commits");
        one.batch_execute("commit").await.expect("one commits");
    }
}

#[tokio::test]
async fn the_applications_migrations_go_on() {
    let place = Place::with_invoices().await;
    place
        .sql(
            "insert into invoices values (1, 1, 5, 'a');
             alter table invoices alter column id type numeric; alter table invoices alter column org_id type text;
             alter table invoices add column extra int default 3, drop column note; alter table invoices set schema public;
             create index on invoices (amount); alter table invoices rename column extra to more",
        )
        .await;
    place.recorded().await;
    assert_eq!(
        place.records("update invoices set more = 4; insert into invoices values (2.5, '1')").await,
        [r#"changed 1 public.invoices {"id": 1}"#, r#"changed 1 public.invoices {"id": 2.5}"#]
    );
    place.sql("drop table invoices").await;
    // A new table of that name is another one.
    place.sql("create table invoices (id int primary key, org_id int); select track_table('invoices', 'org_id')").await;
    assert_eq!(
        place.records("insert into invoices values (7, 1)").await,
        [r#"changed 1 public.invoices {"id": 7}"#]
    );
}

#[tokio::test]
async fn deferred_constraints_are_judged_as_before() {
    let place = Place::with_invoices().await;
    place
        .sql(
            "create table parents (id int primary key); alter table invoices add column parent int references parents deferrable initially deferred;
             create constraint trigger late after insert on invoices deferrable initially deferred for each row
                 when (new.amount < 0) execute function suppress_redundant_updates_trigger()",
        )
        .await;
    assert_eq!(
        place
            .records(
                "begin; insert into invoices values (1, 1, 1, 'a', 5); insert into parents values (5); commit"
            )
            .await,
        [r#"changed 1 public.invoices {"id": 1}"#]
    );
    let error =
        place.client.batch_execute("begin; insert into invoices values (2, 1, 1, 'a', 6); commit").await;
    assert!(error.is_err(), "the parent is missing");
    place.sql("rollback").await;
    assert_eq!(place.recorded().await, [""; 0]);
}
