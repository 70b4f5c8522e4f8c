use super::error::MigrateError;
use super::file::{FileProblem, Migration, Mode, number_of};
use super::list::Migrations;
use super::objects;
use super::statement::split;

fn texts(sql: &str) -> Vec<String> {
    split(sql).expect("splits").into_iter().map(|s| s.text).collect()
}

fn parse(text: &str) -> Result<Migration, FileProblem> {
    Migration::parse("engine", "0001_test.sql", text)
}

#[test]
fn semicolons_end_statements_only_where_postgres_says_so() {
    let whole = [
        "select ';'",
        "select 'it''s; one'",
        r"select E'a\';b'",
        r"select e'\\'",
        r"select '\'",
        "select \"a;\"\"b;\"",
        "select $$;$$",
        "select $body$ ; $$ ; $other$ ; $body$",
        "select $é1$;$é1$",
        "select 1 /* ; /* ; */ ; */ + 1",
        "select 1 -- ;\n + 1",
        "select a$b$ from t",
        "select U&\"d\\0061t\\+000061;\"",
        "create rule r as on insert to t do also (insert into u values (1); insert into v values (2))",
        "create function f() returns int begin atomic select 1; select case when true then 2 end; end",
        "create or replace procedure p() begin atomic insert into t values (1); end",
    ];
    for sql in whole {
        assert_eq!(texts(&format!("{sql}; select 2;")), [sql, "select 2"], "{sql}");
    }
    assert_eq!(texts("execute a($1); select $2"), ["execute a($1)", "select $2"]);
    assert_eq!(texts("begin; select 1; end; select 2").len(), 4, "only in the body of a routine");
    assert!(texts(" ; ;; -- nothing\n /* here */ ;").is_empty());
    assert_eq!(texts("select 'ü'; select '😀'"), ["select 'ü'", "select '😀'"]);
}

#[test]
fn what_never_ends_is_named_with_its_line() {
    for (sql, what, line) in [
        ("select 1;\nselect 'a", "string", 2),
        ("select \"a", "quoted name", 1),
        ("\n\n/* a /* b */", "comment", 3),
        ("select $a$ $b$", "dollar-quoted string", 1),
        (r"select E'a\'", "string", 1),
    ] {
        assert_eq!(split(sql).expect_err(sql), (what, line), "{sql}");
    }
}

#[test]
fn statements_know_their_line_and_are_told_apart() {
    let statements = split("-- first\nselect 1;\n\n/* x\n*/ select 2;\nselect 1;").expect("splits");
    assert_eq!(statements.iter().map(|s| s.line).collect::<Vec<_>>(), [2, 5, 6]);
    assert_ne!(statements[0].fingerprint, statements[2].fingerprint, "the same text twice is two statements");
    let corrected = split("select 1;\nselect 3;").expect("splits");
    assert_eq!(corrected[0].fingerprint, statements[0].fingerprint, "wherever it stands");
}

#[test]
fn directives_stand_in_the_leading_comments() {
    let plain = parse("-- why\nselect 1;").expect("plain");
    assert_eq!((plain.mode, plain.breaking), (Mode::Transaction, false));
    let alone = parse("\n-- why\n-- tenant-sync: no-transaction, breaking\nvacuum;").expect("alone");
    assert_eq!((alone.mode, alone.breaking), (Mode::Alone, true));
    let repeated =
        parse("-- tenant-sync: repeat-until-done\nupdate t set a = 1 where a is null;").expect("repeated");
    assert_eq!((repeated.mode, repeated.breaking), (Mode::Repeated, false));
}

#[test]
fn mistakes_are_refused_with_their_line() {
    let refused = |text: &str| parse(text).expect_err(text);
    assert_eq!(
        refused("-- x\n-- tenant-sync: no-transactions\nselect 1;"),
        FileProblem::Directive { line: 2, word: "no-transactions".into() }
    );
    assert_eq!(
        refused("-- tenant-sync:\nselect 1;"),
        FileProblem::Directive { line: 1, word: String::new() }
    );
    assert_eq!(refused("select 1;\n-- tenant-sync: breaking"), FileProblem::Misplaced(2));
    assert_eq!(
        refused("-- tenant-sync: no-transaction, repeat-until-done\nselect 1"),
        FileProblem::Contradiction
    );
    assert_eq!(refused("-- only a comment\n;"), FileProblem::Empty);
    for control in ["commit", "BEGIN", "Start Transaction", "rollback", "end", "savepoint a", "discard all"] {
        assert_eq!(
            refused(&format!("select 1;\n{control};")),
            FileProblem::TransactionControl(2),
            "{control}"
        );
    }
    for alone in [
        "create unique index concurrently i on t (a)",
        "drop index concurrently i",
        "reindex (verbose) table concurrently t",
        "alter table t detach partition p concurrently",
        "vacuum (analyze) t",
    ] {
        assert_eq!(refused(&format!("{alone};")), FileProblem::NeedsNoTransaction(1), "{alone}");
        parse(&format!("-- tenant-sync: no-transaction\n{alone};")).expect("allowed there");
    }
    assert_eq!(
        refused("-- tenant-sync: no-transaction\ncreate index concurrently on t (a)"),
        FileProblem::UnnamedIndex(2)
    );
    assert_eq!(
        refused("-- tenant-sync: repeat-until-done\nselect backfill(10)"),
        FileProblem::Uncounted(2),
        "a SELECT touches a row every time"
    );
    assert_eq!(parse("select 'begin'; select 1 as \"commit\"").expect("only words").statements.len(), 2);
}

#[test]
fn line_ends_do_not_change_the_checksum() {
    let unix = parse("select 1;\nselect 2;\n").expect("unix");
    assert_eq!(unix.checksum, parse("select 1;\r\nselect 2;\r\n").expect("dos").checksum);
    assert_ne!(unix.checksum, parse("select 1;\nselect 3;\n").expect("other").checksum);
}

#[test]
fn file_names_carry_their_place() {
    assert_eq!(number_of("0042_add_labels.sql"), Some(42));
    for name in ["42_a.sql", "0042.sql", "0042_.sql", "0042_A.sql", "0042_a.txt", "0042-a.sql", "a042_a.sql"]
    {
        assert_eq!(number_of(name), None, "{name}");
    }
}

#[test]
fn lists_are_ordered_by_set_and_number() {
    let one = "select 1;";
    let list = Migrations::parse([
        ("engine", "0002_b.sql", one),
        ("app", "0001_c.sql", one),
        ("engine", "0001_a.sql", one),
    ])
    .expect("list");
    let names: Vec<_> = list.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["engine/0001_a.sql", "engine/0002_b.sql", "app/0001_c.sql"]);
    let twice = Migrations::parse([("engine", "0001_a.sql", one), ("engine", "0001_b.sql", one)]);
    let error = twice.expect_err("twice").to_string();
    assert!(error.contains("0001_a.sql") && error.contains("0001_b.sql"), "{error}");
    let empty = Migrations::parse([("app", "0001_empty.sql", "-- nothing")]);
    assert!(matches!(empty, Err(MigrateError::File { problem: FileProblem::Empty, .. })));
}

#[test]
fn what_a_migration_makes_is_read_from_it() {
    let migration = parse(
        r#"create table "A" (id int); create unlogged table if not exists public."B" (id int);
           create temp table scratch (id int); CREATE TABLE Lower (id int);
           create sequence s; create or replace function F(a int) returns int language sql as 'select 1';
           create unique index "I" on "A" (id); create index on "A" (id); create type t as enum ('x');
           create table gone (id int); drop table if exists gone, other cascade;
           create table old (id int); alter table old rename to new;
           create trigger x before insert on "A" for each row execute function F();
           comment on table "A" is 'create table "Quoted in passing"; is what makes one';
           do $$ begin execute 'create view v as select 1'; end $$;
           create function build() returns void language plpgsql as $f$ begin
               execute $g$create or replace function built() returns int language sql as 'select 1'$g$;
               execute format('create table %I (id int)', 'x');
           end $f$;
           drop function f(int, text), built;"#,
    )
    .expect("parses");
    let names: Vec<_> = objects::made_by([&migration]).iter().map(ToString::to_string).collect();
    let expected = [
        "relation \"A\"",
        "relation \"B\"",
        "relation \"I\"",
        "relation \"Quoted in passing\"",
        "relation \"lower\"",
        "relation \"new\"",
        "relation \"s\"",
        "relation \"v\"",
        "function build",
        "type \"t\"",
    ];
    assert_eq!(names, expected);
    let ever = objects::created_by([&migration]);
    assert!(ever.iter().any(|o| o.name == "gone") && ever.iter().any(|o| o.name == "built"));
}

#[test]
fn the_embedded_files_are_sound() {
    let all = Migrations::embedded(true).expect("all embedded migrations parse");
    let engine = Migrations::embedded(false).expect("the engine's alone");
    assert!(engine.iter().all(|m| m.set == "engine"));
    assert!(all.iter().take(engine.iter().count()).all(|m| m.set == "engine"), "the engine's come first");
}

#[test]
fn workers_can_spawn_it() {
    fn is_send<T: Send>(_: &T) {}
    let config = crate::config::Config::from_sources(
        None,
        [("TENANT_SYNC_DATABASE__URL".into(), "postgres://h/d".into())],
    )
    .expect("config");
    is_send(&super::ensure(&config));
}
