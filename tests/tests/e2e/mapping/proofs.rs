//! Tables, keys, joins and touches: proven by the schema or refused.

use super::{Database, TEST, refusals, sequenced};

/// What to replace in [`TEST`], with what, and what is said of it.
const MISFITS: &[(&str, &str, &str)] = &[
    (
        "table = \"ProjectUser\"",
        "table = \"Projectuser\"",
        "m.toml:3: there is no table \"Projectuser\" in the schema \"public\"",
    ),
    (
        "table = \"ProjectUser\"",
        "table = \"Tenancy\"",
        "m.toml:3: changes of \"Tenancy\" are not sequenced: it needs the columns \
            \"sequenceId\" bigint, \"shouldUpdateSequenceId\" boolean, \"changedBy\" xid8",
    ),
    (
        "[source]",
        "[source]\ntenant = \"nobody\"",
        "m.toml:3: \"ProjectUser\" has no column \"nobody\", which should say whose row it is",
    ),
    (
        "[source]",
        "[source]\ntenant = \"displayName\"",
        "m.toml:3: the tenant column \"displayName\" of \"ProjectUser\" must be uuid and not null, and is text",
    ),
    (
        "s.\"projectUserId\"",
        "s.projectUserId",
        "m.toml:23: \"ProjectUser\" has no column \"projectuserid\"; write \"projectUserId\" in quotes",
    ),
    (
        "type = \"uuid\"",
        "type = \"text\"",
        "m.toml:23: \"id\" is declared as text, but expr gives uuid; change the type or write (s.\"projectUserId\")::text",
    ),
    ("type = \"uuid\"", "type = \"uid\"", "m.toml:20: type \"uid\" does not exist"),
    (
        "s.\"projectUserId\"",
        "s.\"tenancyId\"",
        "m.toml:6: a key that is no key: no unique, not partial index of \"ProjectUser\" \
            over not-null columns lies inside tenancyId, tenancyId, so two rows of a tenant could have the same key",
    ),
    (
        "and email.\\\"isPrimary\\\"",
        "",
        "m.toml:10: more than one row of \"ContactChannel\" could match a source row",
    ),
    (
        "'EMAIL' and",
        "'EMAIL' or",
        "m.toml:10: more than one row of \"ContactChannel\" could match a source row",
    ),
    (
        "email.\\\"isPrimary\\\"",
        "email.\\\"isPrimry\\\"",
        "m.toml:10: \"ContactChannel\" has no column \"isPrimry\"",
    ),
    (
        "and email",
        "and \\\"isVerified\\\" and email",
        "m.toml:10: column reference \"isVerified\" is ambiguous; write it with its alias",
    ),
    (
        "and email",
        "and count(email.id) > 0 and email",
        "m.toml:10: aggregate functions are not allowed in WHERE",
    ),
];

#[tokio::test]
async fn a_mapping_that_does_not_fit_is_refused_with_line_and_reason() {
    let database = Database::new().await;
    assert_eq!(refusals(TEST, &database.client).await, "");
    for (from, to, wanted) in MISFITS {
        assert!(TEST.contains(from), "{from}");
        let found = refusals(&TEST.replacen(from, to, 1), &database.client).await;
        assert!(found.contains(wanted), "{from} -> {to}\nwanted {wanted}\nfound  {found}");
    }
    database.drop().await;
}

/// A join's table, a pair of its `on`, what else it says, and what is said of it.
const UNPROVEN: &[(&str, &str, &str, &str, &str)] = &[
    (
        "Owner",
        "code",
        "code",
        "",
        "m.toml:12: more than one row of \"Owner\" could match a source row: no unique index lies inside code, tenancyId;",
    ),
    ("Owner", "parent", "owner", "", "m.toml:16: \"parent\" is not in the key of \"Owner\" (tenancyId, id)"),
    (
        "Owner",
        "n",
        "n",
        "",
        "m.toml:12: \"n\" of \"Owner\" is integer and \"n\" of \"Item\" is bigint; columns of an on must have the same type",
    ),
    ("Owner", "id", "nothing", "", "m.toml:12: \"Item\" has no column \"nothing\""),
    ("Seen", "id", "owner", "", "m.toml:12: \"Seen\" is a view or a foreign table"),
    ("Nobody", "id", "owner", "", "m.toml:12: there is no table \"Nobody\""),
    ("Project", "id", "owner", "", "m.toml:16: changes of \"Project\" are not sequenced"),
    ("Project", "id", "owner", "", "m.toml:12: \"Project\" has no column \"tenancyId\""),
    (
        "Owner",
        "id",
        "owner",
        "tenant = \"code\"\n",
        "m.toml:12: the tenant column \"code\" of \"Owner\" must be uuid and not null",
    ),
];

/// An operator's two tables: items that belong to owners.
async fn items_and_owners() -> Database {
    let database = Database::new().await;
    let owner = sequenced(
        "Owner",
        "id uuid not null, parent uuid, code text, n int, gone boolean not null, primary key (\"tenancyId\", id)",
    );
    let item = sequenced(
        "Item",
        "id uuid not null, owner uuid, code text, n bigint, primary key (\"tenancyId\", id)",
    );
    let statements = [
        owner.as_str(),
        "create unique index partial on \"Owner\" (\"tenancyId\", code) where not gone",
        item.as_str(),
        "create view \"Seen\" as select * from \"Owner\"",
    ];
    database.client.batch_execute(&statements.join(";")).await.expect("tables");
    database
}

/// A mapping of items with the key column `key`.
fn item(key: &str, rest: &str) -> String {
    let key_type = if key == "id" { "uuid" } else { "text" };
    format!(
        "name = \"items\"\nevent = \"item\"\n[source]\ntable = \"Item\"\n[target]\ntable = \"items\"\nkey = [\"key\"]\n\
         [[column]]\nname = \"key\"\ntype = \"{key_type}\"\nexpr = 's.{key}'\n{rest}"
    )
}

/// A mapping of items that joins another table, with a touch to match.
fn joined(table: &str, theirs: &str, ours: &str, rest: &str) -> String {
    let on = format!("on = {{ {theirs} = \"{ours}\" }}");
    let tenant = if rest.starts_with("tenant") { rest } else { "" };
    let join = format!("[[join]]\ntable = \"{table}\"\nalias = \"j\"\n{on}\n{rest}");
    item("id", &format!("{join}[[touch]]\ntable = \"{table}\"\n{on}\n{tenant}"))
}

#[tokio::test]
async fn a_key_is_unique_in_its_tenant() {
    let database = items_and_owners().await;
    let client = &database.client;
    assert_eq!(refusals(&item("id", ""), client).await, "");
    let no_key = "m.toml:5: a key that is no key";
    let by_code = refusals(&item("code", ""), client).await;
    let not_primary =
        "m.toml:5: the key reads \"code\", which is not in the primary key of \"Item\" (tenancyId, id)";
    assert!(by_code.contains(not_primary) && by_code.contains(no_key), "{by_code}");
    for index in ["where code <> ''", "", "include (id)"] {
        let sql = format!("create unique index on \"Item\" (\"tenancyId\", code) {index}");
        client.batch_execute(&sql).await.expect("an index");
        // A partial index proves nothing of all rows, nor does one over columns that may be null.
        assert!(refusals(&item("code", ""), client).await.contains(no_key), "{index}");
    }
    client.batch_execute("alter table \"Item\" alter code set not null").await.expect("not null");
    assert!(!refusals(&item("code", ""), client).await.contains(no_key));
    database.drop().await;
}

#[tokio::test]
async fn a_touch_is_found_by_an_index() {
    let database = items_and_owners().await;
    let client = &database.client;
    let text = joined("Owner", "id", "owner", "");
    assert_eq!(
        refusals(&text, client).await,
        "m.toml:16: no index finds the rows that a change touches, so each change would read the whole table: \
         CREATE INDEX CONCURRENTLY ON \"Item\" (\"tenancyId\", \"owner\")"
    );
    for useless in
        ["(owner, n, \"tenancyId\")", "(\"tenancyId\", owner) where n > 0", "(\"tenancyId\", lower(code))"]
    {
        client.batch_execute(&format!("create index on \"Item\" {useless}")).await.expect("an index");
        assert!(refusals(&text, client).await.contains("no index finds"), "{useless}");
    }
    client.batch_execute("create index on \"Item\" (owner, \"tenancyId\", n)").await.expect("an index");
    assert_eq!(refusals(&text, client).await, "");
    database.drop().await;
}

#[tokio::test]
async fn a_join_finds_one_row_and_misses_no_change() {
    let database = items_and_owners().await;
    for (table, theirs, ours, rest, wanted) in UNPROVEN {
        let found = refusals(&joined(table, theirs, ours, rest), &database.client).await;
        assert!(found.contains(wanted), "wanted {wanted}\nfound  {found}");
    }
    // The condition implies the predicate of the partial index, so one row is proven; the touch is not possible.
    let found = refusals(&joined("Owner", "code", "code", "where = 'not j.gone'\n"), &database.client).await;
    assert!(!found.contains("more than one row"), "{found}");
    assert!(found.contains("\"code\" is not in the key"), "{found}");
    database.drop().await;
}
