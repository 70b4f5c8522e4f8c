//! Bad files: each mistake is named by file, line and reason.

use super::{GOOD, errors, mapping, spoilt};

#[track_caller]
fn refused(from: &str, to: &str, wanted: &str) {
    let found = errors(&spoilt(from, to));
    assert_eq!(found, wanted, "{from} -> {to}");
}

#[test]
fn the_good_one_is_good() {
    let people = mapping(GOOD);
    assert_eq!((people.version, people.source.tenant.as_str()), (3, "tenancyId"));
    assert_eq!((people.columns[0].nullable, people.columns[1].nullable), (false, false));
    assert_eq!(people.joins[0].tenant, "tenancyId");
    assert_eq!(people.source_key(), ["projectUserId"]);
}

#[test]
fn missing_and_unknown_keys() {
    refused("name = \"people\"\n", "", "m.toml:1: the file needs name");
    refused("event = \"person\"\n", "", "m.toml:1: the file needs event");
    refused(
        "version = 3",
        "verison = 3",
        "m.toml:3: the file has no key \"verison\" (known: name, event, version, source, target, column, join, touch, index)",
    );
    refused("table = \"ProjectUser\"", "", "m.toml:5: [source] needs table");
    refused("key = [\"id\"]", "", "m.toml:8: [target] needs key");
    refused(
        "alias = \"email\"\n",
        "alais = \"email\"\n",
        "\
m.toml:12: [[join]] needs alias
m.toml:14: [[join]] has no key \"alais\" (known: schema, table, alias, tenant, on, where, aggregate)
m.toml:34: email.value: email is no alias here (known: s)",
    );
    refused(
        "where = \"email.\\\"type\\\" = 'EMAIL'\"",
        "aggregate = {}",
        "\
m.toml:16: aggregate must be what is computed, such as { total = \"sum(…)\" }",
    );
    refused("type = \"uuid\"\n", "", "m.toml:25: [[column]] needs type");
    refused("expr = 's.\"projectUserId\"'\n", "", "m.toml:25: [[column]] needs expr");
}

#[test]
fn wrong_kinds_of_values() {
    refused("version = 3", "version = 0", "m.toml:3: version must be a whole number from 1");
    refused("version = 3", "version = 1.5", "m.toml:3: version must be a whole number from 1");
    refused("version = 3", "version = \"1\"", "m.toml:3: version must be a whole number from 1");
    refused("name = \"people\"", "name = 7", "m.toml:1: name must be a text in quotes");
    refused("name = \"people\"", "name = \"\"", "m.toml:1: name must not be empty");
    refused("key = [\"id\"]", "key = \"id\"", "m.toml:10: key must be a list of names such as [\"id\"]");
    refused("key = [\"id\"]", "key = []", "m.toml:10: key must be a list of names such as [\"id\"]");
    refused("nullable = false", "nullable = \"no\"", "m.toml:33: nullable must be true or false");
    refused(
        "[source]\ntable = \"ProjectUser\"",
        "source = \"ProjectUser\"",
        "m.toml:5: source must be [source]",
    );
    let text = errors(&spoilt("on = { projectUserId = \"projectUserId\" }", "on = [\"projectUserId\"]"));
    assert_eq!(text, "m.toml:15: on must be pairs of columns such as { \"theirs\" = \"source's\" }");
}

#[test]
fn not_toml() {
    let text = errors("name = \"people\"\nevent = \nversion = 1\n");
    assert!(text.starts_with("m.toml:2: not valid TOML: "), "{text}");
    assert!(errors("name = 1\nname = 2").contains("m.toml:2: not valid TOML: "));
}

#[test]
fn names_are_safe() {
    for (from, name, wanted) in [
        (
            "table = \"people\"",
            "_sync_metadata",
            "m.toml:9: the name \"_sync_metadata\" belongs to the engine",
        ),
        (
            "table = \"people\"",
            "Sync_Freshness",
            "m.toml:9: the name \"Sync_Freshness\" belongs to the engine",
        ),
        ("table = \"people\"", "a\\\"b", "m.toml:9: the name \"a\\\"b\" may only have letters"),
        ("table = \"people\"", "1st", "m.toml:9: the name \"1st\" may only have letters"),
        ("table = \"ProjectUser\"", "a\\u0000b", "m.toml:6: the name \"a\\0b\" has a control character"),
        ("name = \"people\"", "pe ople", "m.toml:1: the name \"pe ople\" may only have letters"),
        ("alias = \"email\"", "s", "m.toml:14: the alias \"s\" is the source row's"),
        ("alias = \"email\"", "Mail", "m.toml:14: the alias \"Mail\" must be lower-case"),
        ("event = \"person\"", "Person", "m.toml:2: the event \"Person\" must be"),
        ("name = \"id\"", "ctid", "m.toml:26: the name \"ctid\" is one of Postgres's system columns"),
    ] {
        let (key, _) = from.split_once(" = ").expect("a key");
        let text = errors(&spoilt(from, &format!("{key} = \"{name}\"")));
        assert!(text.contains(wanted), "{text}");
    }
    let long = "a".repeat(64);
    let text = errors(&spoilt("table = \"people\"", &format!("table = \"{long}\"")));
    assert!(text.contains("is longer than 63 bytes"), "{text}");
    mapping(&spoilt("table = \"people\"", &format!("table = \"{}\"", "ä".repeat(20))));
}

#[test]
fn types_are_only_types() {
    for good in [
        "uuid",
        "numeric(10,2)",
        "numeric(5, -2)",
        "text[]",
        "double precision",
        "text[][]",
        "timestamp(3) with time zone",
        "timestamp (3) with time zone[]",
        "character varying(5)",
    ] {
        mapping(&spoilt("type = \"text\"", &format!("type = \"{good}\"")));
    }
    for bad in [
        "text); drop table users; --",
        "text default 'x'",
        "text not null, b text(",
        "text()",
        "text(a)",
        "text(1,2,3)",
        "\\\"text\\\"",
        "(10)",
        "pg_catalog.text",
        "text)(",
        "text(99999999999)",
    ] {
        let text = errors(&spoilt("type = \"text\"", &format!("type = \"{bad}\"")));
        assert!(text.contains("m.toml:32: the type "), "{text}");
    }
}

#[test]
fn a_key_is_made_of_plain_columns() {
    refused(
        "key = [\"id\"]",
        "key = [\"id\", \"nme\"]",
        "m.toml:8: key names \"nme\", which is no [[column]] of this mapping",
    );
    refused("key = [\"id\"]", "key = [\"id\", \"id\"]", "m.toml:8: key names \"id\" twice");
    refused(
        "expr = 's.\"projectUserId\"'",
        "expr = 'lower(s.\"projectUserId\")'",
        "m.toml:28: \"id\" is part of the key, so expr must be a plain column of the source, or a cast of one: s.\"column\"",
    );
    refused(
        "expr = 's.\"projectUserId\"'",
        "expr = 'email.\"id\"'",
        "m.toml:28: \"id\" is part of the key, so expr must be a plain column of the source, or a cast of one: s.\"column\"",
    );
    refused(
        "type = \"uuid\"",
        "type = \"uuid\"\nnullable = true",
        "m.toml:28: \"id\" is part of the key and cannot be nullable",
    );
}

#[test]
fn doubles() {
    refused(
        "name = \"name\"",
        "name = \"id\"",
        "\
m.toml:22: the index names \"name\", which is no [[column]] of this mapping
m.toml:30: the column \"id\" stands here twice",
    );
    refused(
        "columns = [\"name\"]",
        "columns = [\"name\", \"name\"]",
        "m.toml:22: the index names \"name\" twice",
    );
    refused(
        "columns = [\"name\"]",
        "columns = [\"name\", \"id\"]\nmethod = \"hash\"",
        "m.toml:22: an index with method = \"hash\" has one column",
    );
    refused(
        "columns = [\"name\"]",
        "columns = [\"name\"]\nmethod = \"gin\"",
        "m.toml:24: method is \"btree\" or \"hash\"",
    );
    refused(
        "[[index]]",
        "[[index]]\ncolumns = [\"name\"]\n[[index]]",
        "m.toml:24: the same [[index]] on name stands here twice",
    );
    refused(
        "[[touch]]",
        "[[touch]]\ntable = \"ContactChannel\"\non = { projectUserId = \"projectUserId\" }\n[[touch]]",
        "m.toml:21: the same [[touch]] of \"ContactChannel\" stands here twice",
    );
}

#[test]
fn a_join_without_a_touch_would_miss_changes() {
    let touch = "[[touch]]\ntable = \"ContactChannel\"\non = { projectUserId = \"projectUserId\" }\n";
    refused(
        touch,
        "",
        "m.toml:12: a change of \"ContactChannel\" would be missed: \
        add a [[touch]] with table = \"ContactChannel\" and the same on",
    );
    refused(
        touch,
        &touch.replace("{ projectUserId", "{ id"),
        "m.toml:12: a change of \"ContactChannel\" would be \
        missed: add a [[touch]] with table = \"ContactChannel\" and the same on",
    );
    // The source row itself: its change is seen anyway.
    mapping(
        &spoilt("table = \"ContactChannel\"\nalias", "table = \"ProjectUser\"\nalias").replace(touch, ""),
    );
}

#[test]
fn columns_of_the_engine_are_not_read() {
    refused(
        "s.\\\"displayName\\\"",
        "s.\\\"sequenceId\\\"",
        "m.toml:34: the column \"sequenceId\" belongs to the engine and cannot be read by a mapping",
    );
    let text = errors(&spoilt("on = { projectUserId", "on = { changedBy"));
    assert!(text.contains("m.toml:15: the column \"changedBy\" belongs to the engine"), "{text}");
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = GOOD
        .replace("version = 3", "version = -1")
        .replace("type = \"uuid\"", "type = \"uu;id\"")
        .replace("coalesce(s", "(select s");
    let text = errors(&text);
    assert_eq!(text.lines().count(), 3, "{text}");
    for line in ["m.toml:3: version", "m.toml:27: the type", "m.toml:34: select begins a query"] {
        assert!(text.contains(line), "{text}");
    }
}
