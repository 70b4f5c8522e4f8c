//! Expressions and types.

use tenant_sync_core::mapping::{Carry, check, parse};

use super::{Database, refusals, sequenced, with_column};

/// A type, an expression, and what is said of them.
const NO_VALUES: &[(&str, &str, &str)] = &[
    (
        "text",
        "\"displayName\"",
        "m.toml:28: column reference \"displayName\" is ambiguous; write it with its alias, such as s.\"column\"",
    ),
    ("text", "nobody", "m.toml:28: column \"nobody\" does not exist"),
    ("text", "s.\"nobody\"", "m.toml:28: \"ProjectUser\" has no column \"nobody\""),
    ("text", "email.\"displayName\"", "m.toml:28: \"ContactChannel\" has no column \"displayName\""),
    ("text", "max(s.\"displayName\")", "m.toml:28: aggregate functions are not allowed in WHERE"),
    ("integer", "generate_series(1, 2)", "m.toml:28: set-returning functions are not allowed in WHERE"),
    (
        "text",
        "lower(s.\"createdAt\")",
        "m.toml:28: function lower(timestamp with time zone) does not exist. No function matches",
    ),
    ("text", "s.\"displayName\" ||", "m.toml:28: syntax error"),
    ("text", "s.\"displayName\" + 1", "m.toml:28: operator does not exist"),
    ("text", "peek(s.\"projectUserId\")", "m.toml:28: peek() is not IMMUTABLE: it may read other rows"),
    ("text", "public.peek(s.\"projectUserId\")", "m.toml:28: peek() is not IMMUTABLE"),
    ("integer", "dice()", "m.toml:28: dice() is volatile"),
    ("text", "pg_read_file('/etc/passwd')", "m.toml:28: pg_read_file() is volatile"),
    ("text", "pg_sleep(1)::text", "m.toml:28: pg_sleep() is volatile"),
    (
        "uuid",
        "s.\"displayName\"",
        "m.toml:28: \"value\" is declared as uuid, but expr gives text; change the type or write (s.\"displayName\")::uuid",
    ),
    (
        "varchar(5)",
        "s.\"displayName\"::varchar",
        "m.toml:28: \"value\" is declared as character varying(5), but expr gives character varying: values may not fit",
    ),
    (
        "numeric(10,2)",
        "1.5",
        "m.toml:28: \"value\" is declared as numeric(10,2), but expr gives numeric: values may not fit",
    ),
    ("text", "s.tableoid::text", "m.toml:28: \"ProjectUser\" has no column \"tableoid\""),
    ("uuid(3)", "s.\"projectUserId\"", "m.toml:25: type modifier is not allowed for type \"uuid\""),
];

#[tokio::test]
async fn an_expression_is_a_value_of_its_row() {
    let database = Database::new().await;
    database
        .client
        .batch_execute(
            "create function peek(uuid) returns text stable language sql as 'select \"displayName\" from \"ProjectUser\" limit 1';
             create function dice() returns int volatile language sql as 'select 4';
             create function twice(int) returns int immutable language sql as 'select $1 * 2'",
        )
        .await
        .expect("functions");
    let good = [
        ("integer", "twice(length(s.\"displayName\"))"),
        ("text", "lower(email.\"value\")"),
        ("timestamptz", "s.\"createdAt\" + interval '1 day'"),
        ("double precision", "extract(epoch from s.\"createdAt\")::float8"),
        ("varchar(5)", "left(s.\"displayName\", 5)::varchar(5)"),
        ("varchar", "s.\"displayName\"::varchar"),
        ("text", "'constant'"),
        ("int4range", "int4range(1, length(s.\"displayName\"))"),
    ];
    for (type_text, expr) in good {
        let found = refusals(&with_column(type_text, expr), &database.client).await;
        assert_eq!(found, "", "{expr}");
    }
    for (type_text, expr, wanted) in NO_VALUES {
        let found = refusals(&with_column(type_text, expr), &database.client).await;
        assert!(found.contains(wanted), "{expr}\nwanted {wanted}\nfound  {found}");
    }
    database.drop().await;
}

#[tokio::test]
async fn types_travel_in_binary_or_as_text_or_not_at_all() {
    let database = Database::new().await;
    database
        .client
        .batch_execute(&format!(
            "create type mood as enum ('good', 'bad'); create domain address as text; create type pair as (a int, b int); {}",
            sequenced("Thing", "id int not null, mood mood, address address, pair pair, moods mood[], tags text[], \
                       span tstzrange, price numeric(10,2), primary key (\"tenancyId\", id)")
        ))
        .await
        .expect("a table");
    let thing = |type_text: &str, expr: &str| {
        format!(
            "name = \"things\"\nevent = \"thing\"\n[source]\ntable = \"Thing\"\n[target]\ntable = \"things\"\n\
             key = [\"id\"]\n[[column]]\nname = \"id\"\ntype = \"integer\"\nexpr = 's.id'\n\
             [[column]]\nname = \"value\"\ntype = \"{type_text}\"\nexpr = '''{expr}'''\n"
        )
    };
    for (type_text, expr, carry, is_array) in [
        ("text", "s.mood::text", Carry::Binary, false),
        ("text", "s.address", Carry::Binary, false),
        ("text[]", "s.moods::text[]", Carry::Text, true),
        ("text[]", "s.tags", Carry::Text, true),
        ("tstzrange", "s.span", Carry::Text, false),
        ("int4multirange", "int4multirange(int4range(1, s.id))", Carry::Text, false),
        ("numeric(10,2)", "s.price", Carry::Binary, false),
        ("numeric", "s.price", Carry::Binary, false),
        ("xml", "'<a/>'::xml", Carry::Text, false),
        ("point", "'(1,2)'::point", Carry::Binary, false),
        ("bit varying(4)", "'101'::varbit(4)", Carry::Binary, false),
    ] {
        let mapping = parse("m.toml", &thing(type_text, expr)).expect("good");
        let checked = check(&[mapping], &database.client).await.unwrap_or_else(|e| panic!("{expr}: {e}"));
        let column = &checked[0].columns[1];
        assert_eq!((column.carry, column.is_array), (carry, is_array), "{expr}");
        let typed = ["numeric(10,2)", "bit varying(4)"].contains(&type_text);
        assert!(!typed || column.type_name == type_text, "{}", column.type_name);
    }
    for (type_text, expr, what) in [
        ("mood", "s.mood", "mood is an enum"),
        ("address", "s.address", "address is a domain"),
        ("pair", "s.pair", "pair is a row type"),
        ("mood[]", "s.moods", "mood[] is not part of Postgres itself"),
        ("regclass", "'pg_class'::regclass", "regclass is meaningful in its own database only"),
        ("record", "row(1, 2)", "record is a pseudo-type"),
    ] {
        let found = refusals(&thing(type_text, expr), &database.client).await;
        let wanted = format!(
            "m.toml:12: the type {what}, so a target may not have it; write expr = ({expr})::text and type = \"text\""
        );
        assert!(found.contains(&wanted), "wanted {wanted}\nfound  {found}");
    }
    let found = refusals(&thing("text", "s.mood"), &database.client).await;
    assert!(found.contains("declared as text, but expr gives mood"), "{found}");
    database.drop().await;
}
