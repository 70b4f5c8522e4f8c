//! What follows from a mapping: fingerprint, reads, dependencies, DDL, JSON.

use super::{GOOD, mapping, parse, spoilt};
use crate::mapping::names::{quote_ident, quote_literal};
use crate::mapping::{Dependency, check_set, ddl, dependencies, left_joins, reads};

#[test]
fn the_fingerprint_is_of_the_content() {
    let original = mapping(GOOD).fingerprint();
    assert_eq!(original.len(), 64);
    for same in [
        spoilt("version = 3", "version = 4"),
        spoilt("[[index]]\ncolumns = [\"name\"]\n", ""),
        spoilt("key = [\"id\"]", "key = [\"id\"]\ncomment = \"People.\""),
        spoilt("name = \"people\"", "\n# moved\nname = \"people\""),
    ] {
        assert_eq!(mapping(&same).fingerprint(), original);
    }
    for other in [
        spoilt("type = \"text\"", "type = \"varchar\""),
        spoilt("displayName", "name"),
        spoilt("'EMAIL'", "'PHONE'"),
        spoilt("name = \"name\"", "name = \"called\"")
            .replace("columns = [\"name\"]", "columns = [\"called\"]"),
        spoilt("[source]", "[source]\ntenant = \"other\""),
    ] {
        assert_ne!(mapping(&other).fingerprint(), original, "{other}");
    }
}

#[test]
fn reads_are_what_a_change_must_be_seen_in() {
    let tables = reads(&[mapping(GOOD)]);
    let list = |table: &str| tables[table].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(list("ProjectUser"), ["displayName", "projectUserId", "tenancyId"]);
    assert_eq!(list("ContactChannel"), ["projectUserId", "tenancyId", "type", "value"]);
}

#[test]
fn dependencies_are_sorted_and_stand_once() {
    let one = mapping(GOOD);
    let same =
        mapping(&GOOD.replace("on = { projectUserId", "on = { tenancyId = \"tenancyId\", projectUserId"));
    let other = mapping(&GOOD.replace("on = { projectUserId", "on = { id = \"id\", projectUserId"));
    let pair = |name: &str| (name.to_owned(), name.to_owned());
    let dependency = |columns: &[&str]| Dependency {
        changed: "ContactChannel".to_owned(),
        dependent: "ProjectUser".to_owned(),
        columns: columns.iter().map(|name| pair(name)).collect(),
    };
    assert_eq!(one.touches(), [dependency(&["projectUserId", "tenancyId"])]);
    assert_eq!(
        dependencies(&[other.clone(), one.clone(), same, one, other]),
        [dependency(&["id", "projectUserId", "tenancyId"]), dependency(&["projectUserId", "tenancyId"])]
    );
}

#[test]
fn the_tenant_wall_is_the_engines() {
    let sql = left_joins(&mapping(&spoilt("where = \"", "where = \"true or ")), "in ner");
    assert_eq!(
        sql,
        " LEFT JOIN \"in ner\".\"ContactChannel\" \"email\" ON \"email\".\"tenancyId\" = s.\"tenancyId\" \
         AND \"email\".\"projectUserId\" = s.\"projectUserId\" AND (true or email.\"type\" = 'EMAIL')"
    );
}

/// What is computed from many rows is one row, of the same tenant; columns know nothing else of those rows.
#[test]
fn what_is_computed_is_one_row_behind_the_same_wall() {
    let text = spoilt(
        "where = \"email.\\\"type\\\" = 'EMAIL'\"",
        "where = \"true or email.\\\"type\\\" = 'EMAIL'\"\naggregate = { all = \"string_agg(email.\\\"value\\\", ',')\" }",
    );
    let refused = parse("m.toml", &text).expect_err("a column of a row").to_string();
    assert!(refused.contains("email.value is not among what the join computes (all)"), "{refused}");
    let computing = mapping(&text.replace("email.\\\"value\\\", ''", "email.\\\"all\\\", ''"));
    assert_eq!(
        left_joins(&computing, "ours"),
        " LEFT JOIN LATERAL (SELECT (string_agg(email.\"value\", ',')) as \"all\" FROM \"ours\".\"ContactChannel\" \"email\" \
         WHERE \"email\".\"tenancyId\" = s.\"tenancyId\" AND \"email\".\"projectUserId\" = s.\"projectUserId\" \
         AND (true or email.\"type\" = 'EMAIL') HAVING true) \"email\" ON true"
    );
    let read = reads(std::slice::from_ref(&computing));
    let channel: Vec<_> = read["ContactChannel"].iter().map(String::as_str).collect();
    assert_eq!(channel, ["projectUserId", "tenancyId", "type", "value"]);
    assert_ne!(computing.fingerprint(), mapping(GOOD).fingerprint());
}

#[test]
fn ddl_quotes_and_comments_everything() {
    let people = mapping(&spoilt("type = \"text\"", "type = \"text\"\ncomment = \"What they're called\""));
    let table = ddl::create_table(&people, "a\"b");
    assert_eq!(
        table[0],
        "CREATE TABLE \"a\"\"b\".\"people\" (\n  \"id\" uuid NOT NULL,\n  \"name\" text NOT NULL,\n  \
         CONSTRAINT \"people_pkey\" PRIMARY KEY (\"id\")\n)"
    );
    assert_eq!(table.len(), 6);
    assert!(table[1..].iter().all(|s| s.starts_with("COMMENT ON ") && s.contains(ddl::MARKER)), "{table:?}");
    assert!(table[5].contains("'What they''re called. Kept by tenant-sync"), "{}", table[5]);
    let indexes = ddl::create_indexes(&people, "x");
    assert_eq!(indexes[0], "CREATE INDEX IF NOT EXISTS \"people_name_idx\" ON \"x\".\"people\" (\"name\")");
    assert!(indexes[1].starts_with("COMMENT ON INDEX \"x\".\"people_name_idx\" IS "), "{indexes:?}");
    let added = ddl::add_column(&people, "x", &people.columns[1]);
    assert_eq!(added[0], "ALTER TABLE \"x\".\"people\" ADD COLUMN \"name\" text");
}

#[test]
fn long_names_are_cut_so_that_they_stay_apart() {
    let named = |table: &str| mapping(&spoilt("table = \"people\"", &format!("table = \"{table}\"")));
    let (a, b) = (named(&format!("{}a", "ä".repeat(31))), named(&format!("{}b", "ä".repeat(31))));
    for name in [ddl::key_name(&a), ddl::index_name(&a, &["name".to_owned()])] {
        assert!(name.len() <= 63, "{name}");
    }
    assert_ne!(ddl::key_name(&a), ddl::key_name(&b));
    assert_ne!(ddl::key_name(&a), ddl::index_name(&a, &["name".to_owned()]));
    assert_eq!(ddl::key_name(&a), ddl::key_name(&a.clone()));
}

#[test]
fn quoting() {
    assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
    assert_eq!(quote_literal("it's"), "'it''s'");
    assert_eq!(quote_literal("a\\b'"), "E'a\\\\b'''");
}

#[test]
fn mappings_do_not_get_in_each_others_way() {
    let good = mapping(GOOD);
    let renamed = |from: &str, to: &str| mapping(&spoilt(from, to));
    let text = |set: &[_]| check_set(set).expect_err("a clash").to_string();

    let same_name = renamed("table = \"people\"", "table = \"others\"");
    assert_eq!(
        text(&[good.clone(), same_name]),
        "m.toml:1: the name \"people\" is taken by m.toml; choose another"
    );
    let same_table = renamed("name = \"people\"", "name = \"others\"");
    assert!(
        text(&[good.clone(), same_table])
            .contains("m.toml:8: the target table \"people\" is written by m.toml already; choose another")
    );
    let clash = mapping(
        &spoilt("name = \"people\"", "name = \"others\"")
            .replace("table = \"people\"", "table = \"people_pkey\""),
    );
    assert_eq!(
        text(&[good.clone(), clash]),
        "m.toml:8: the table would be called \"people_pkey\", as the primary key of m.toml is; rename the table or a column"
    );
    check_set(&[good]).expect("alone");
}

#[test]
fn json_is_what_the_author_wrote() {
    let json = serde_json::to_value(mapping(GOOD)).expect("json");
    assert_eq!(json["name"], "people");
    assert_eq!(json["columns"][0]["expr"], "s.\"projectUserId\"");
    assert_eq!(json["columns"][0]["type"], "uuid");
    assert_eq!(json["joins"][0]["where"], "email.\"type\" = 'EMAIL'");
    assert_eq!(json["source"]["tenant"], "tenancyId");
}
