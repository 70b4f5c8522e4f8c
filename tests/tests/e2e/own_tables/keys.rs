//! Keys of types that a target does not have.

use tenant_sync_tests::compare::Compared;

use super::application::Application;

const TABLES: &str = "
    create type grade as enum ('zero', 'first', 'middle', 'last');
    create type spot as (row_number int, weight numeric);
    create domain address as text check (value <> '');
    create domain number as integer;
    create table memberships (org_id bigint not null, person number, kind grade, note text, primary key (kind, person));
    create table contacts (org_id bigint not null, mail address primary key, note text);
    create table levels (org_id bigint, kind grade, note text, primary key (org_id, kind));
    create table places (org_id bigint not null, id int, at spot, note text, primary key (id, at));
    insert into memberships select 1 + n % 2, n / 4, (enum_range(null::grade))[1 + n % 4], n::text from generate_series(0, 79) n;
    insert into contacts select 1 + n % 2, chr(48 + n) || 'x', n::text from generate_series(0, 60) n;
    insert into levels select o, k, 'is' from unnest('{1,2}'::int[]) o, unnest(enum_range(null::grade)) k;
    insert into places select 1, n / 5, (n, '1.0')::spot, 'is' from generate_series(0, 30) n;";

/// In each, keys change, too: to what sorts elsewhere as text, and to what is equal and reads otherwise.
const CHANGES: &[&str] = &[
    "update memberships set kind = 'zero' where kind = 'last' and person % 2 = 0 and org_id = 1
       and not exists (select from memberships o where o.person = memberships.person and o.kind = 'zero')",
    "update memberships set note = 'changed' where person > 10; delete from memberships where person in (1, 2)",
    "update contacts set mail = lower(mail) || 'y' where note::int % 3 = 0; delete from contacts where note::int % 7 = 0",
    "delete from levels where kind = 'first'; update levels set note = 'was'",
    "update places set at = (1, '1.00')::spot where id = 0 and at = (1, 1)::spot;
     update places set at = row((at).row_number + 100, '2')::spot where id = 3; delete from places where id = 4",
];

fn compared(table: &str, key: &str, columns: usize) -> Compared {
    Compared {
        table: table.to_owned(),
        inside: format!("select {key}, note from {table} where org_id = 1"),
        outside: format!("select {key}, note from {table}"),
        columns: columns + 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_enums_domains_and_composite_types_are_carried() {
    let mut application = Application::start(TABLES).await;
    for key in ["sync.batch_rows", "sync.atomic_rows"] {
        application.stack.set(key, 7);
    }
    for table in ["memberships", "contacts", "levels", "places"] {
        application.adopt(&format!("public.{table}"), "org_id").await;
    }
    let tenant = application.tenant("1").await;
    let _workers = application.stack.start_workers().await;
    let target = tenant
        .target(application.stack.external(0))
        .mapping("memberships")
        .mapping("contacts")
        .mapping("levels")
        .mapping("places")
        .compare(compared("memberships", "person, kind::text", 2))
        .compare(compared("contacts", "mail", 1))
        .compare(compared("levels", "kind::text", 1))
        .compare(compared("places", "id, at::text", 2))
        .add()
        .await;
    target.caught_up().await;
    let inside = application.stack.internal();
    for change in CHANGES {
        inside.sql(change).await;
        target.caught_up().await;
    }
    // Once more as ranges of keys, some of them too many and some missing.
    application.settled().await;
    target
        .sql(
            "delete from memberships where person % 3 = 0; insert into memberships (org_id, person, kind) values (1, 5, 'no such');
             update contacts set note = 'wrong'; delete from levels; insert into places (org_id, id, at) values (1, 99, '(9,9)')",
        )
        .await;
    application.stack.cli().json(&["sync", "resync", "--tenancy", &tenant.id().to_string()]).await;
    target.caught_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_walked_or_is_cast_to_less_is_refused() {
    let tables = "create type spot as (row_number int, weight numeric);
        create table places (org_id bigint not null, at spot primary key);
        create table amounts (org_id bigint not null, amount numeric primary key)";
    let application = Application::start(tables).await;
    for table in ["places", "amounts"] {
        application.track(&format!("public.{table}"), "org_id").await;
        let output = application.stack.cli().run(&["mapping", "new", table]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    let file = application.stack.scratch().path().join("mappings/amounts.toml");
    let text = std::fs::read_to_string(&file).expect("it was written");
    let plain = "type = \"numeric\"\nexpr = 's.\"amount\"'";
    let rounded = "type = \"integer\"\nexpr = '(s.\"amount\")::integer'";
    assert!(text.contains(plain), "{text}");
    std::fs::write(&file, text.replace(plain, rounded)).expect("our own file");
    let refused = application.stack.cli().run(&["mapping", "check"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for said in ["the key begins with \"at\"", "a cast of numeric to integer may make two keys one"] {
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
}
