//! Values of every type arrive as they were, to the last bit.

use std::fmt::Write as _;

use tenant_sync_tests::compare::Compared;
use tenant_sync_tests::database::rows;

use super::application::Application;

/// Types that a target has, too, with their extreme values.
const SAME: [(&str, &[&str]); 46] = [
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "32767"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("real", &["'-0'", "'NaN'", "'-Infinity'", "1e-45", "3.4028235e38", "0.1"]),
    ("double precision", &["'-0'", "'NaN'", "'Infinity'", "5e-324", "1.7976931348623157e308", "0.1"]),
    (
        "numeric",
        &["'NaN'", "1.00", "1.000", "-1e-1000", "1e1000", "123456789012345678901234567890.0987654321"],
    ),
    ("numeric(12,2)", &["9999999999.99", "-0.01"]),
    ("money", &["'-92233720368547758.08'", "'0.01'"]),
    ("text", &["''", "E'\\t\\n\\\\ \\x01'", "'\\N'", "'𝄞 ''quoted'' \"so\"'", "repeat('long', 50000)"]),
    ("varchar(5)", &["''", "'äöü '"]),
    ("character(5)", &["'a'", "'     '"]),
    ("name", &["'a name'"]),
    ("bytea", &["''", "'\\x00ff0a5c'"]),
    ("uuid", &["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    ("date", &["'-infinity'", "'infinity'", "'4713-01-01 BC'", "'5874897-12-31'"]),
    ("time", &["'00:00'", "'24:00'", "'23:59:59.999999'"]),
    ("time(3)", &["'23:59:59.999'"]),
    ("timetz", &["'00:00+15:59'", "'24:00-15:59'"]),
    ("timestamp", &["'-infinity'", "'infinity'", "'4713-01-01 BC'", "'294276-12-31 23:59:59.999999'"]),
    (
        "timestamptz",
        &["'-infinity'", "'infinity'", "'1883-11-18 12:03:57+00'", "'294276-12-31 23:59:59.999999+00'"],
    ),
    ("timestamptz(0)", &["'2024-02-29 23:59:59+00'"]),
    ("interval", &["'1 day'", "'24 hours'", "'-178000000 years'", "'1 mon -1 day 00:00:00.000001'"]),
    ("json", &["'null'", "'{\"a\" : 1.00, \"a\": [] }'"]),
    ("jsonb", &["'null'", "'[1.00, \"𝄞\", {\"a\": null}]'", "'1e400'"]),
    ("inet", &["'::ffff:1.2.3.4/128'", "'10.1.2.3/8'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("bit(3)", &["B'101'"]),
    ("bit varying", &["B''", "B'10101010101'"]),
    ("point", &["'(-0,NaN)'", "'(0.1,1e308)'"]),
    ("line", &["'{1,-1,0.1}'"]),
    ("lseg", &["'[(0,0),(1,0.1)]'"]),
    ("box", &["'(2,2),(1,1)'"]),
    ("path", &["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"]),
    ("polygon", &["'((0,0),(1,1),(2,0))'"]),
    ("circle", &["'<(0,0),0.1>'"]),
    ("xml", &["'<a>&lt;</a>'"]),
    ("tsvector", &["'a:1A b:2,3'"]),
    ("tsquery", &["'a & !b:*'"]),
    ("int8range", &["'empty'", "'[,]'", "'[-9223372036854775808,9]'"]),
    ("tstzrange", &["'[-infinity,infinity]'", "'(2024-01-01 00:00+00,)'"]),
    ("integer[]", &["'{}'", "'{NULL,1}'", "'[-2:-1]={1,2}'", "'{{1,2},{3,4}}'"]),
    ("text[]", &["'{\"a,b\",\"\\\\\\\"\",NULL,\"NULL\",\"\"}'"]),
    ("timestamptz[]", &["'{infinity,\"2024-02-29 00:00:00.000001+00\"}'"]),
];

/// Types of the application's own: their values arrive as text, or as what lies below them.
const OWN: [(&str, &str, &[&str]); 6] = [
    ("mood", "text", &["'sad'", "'very ''happy'''"]),
    ("mood[]", "text[]", &["'{sad,NULL}'"]),
    ("positive", "numeric(10,3)", &["0.100"]),
    ("positives", "numeric(10,3)", &["7"]),
    ("pair", "text", &["row(1, 'a,b')", "row(null, '')"]),
    ("int4multirange", "int4multirange", &["'{[1,3),[5,)}'", "'{}'"]),
];

fn application() -> String {
    let mut sql = "create type mood as enum ('sad', 'very ''happy''');
        create domain positive as numeric(10,3) check (value > 0);
        create domain positives as positive;
        create type pair as (a integer, b text);
        create table everything (id bigint primary key, tenant text not null"
        .to_owned();
    let types = SAME.iter().map(|(kind, _)| *kind).chain(OWN.iter().map(|(kind, _, _)| *kind));
    for (number, kind) in types.enumerate() {
        let _ = write!(sql, ", c{number} {kind}");
    }
    sql + ")"
}

/// Rows until every value has had its turn; the last row has only nulls.
fn values() -> Vec<String> {
    let all: Vec<(&str, &[&str])> = SAME
        .iter()
        .map(|(kind, values)| (*kind, *values))
        .chain(OWN.iter().map(|(kind, _, values)| (*kind, *values)))
        .collect();
    let rows = all.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let row = |n: usize| {
        let values = all.iter().map(|(kind, values)| {
            values.get(n).map_or("null".to_owned(), |value| format!("({value})::{kind}"))
        });
        format!("insert into everything values ({n}, 'one', {})", values.collect::<Vec<_>>().join(", "))
    };
    (0..=rows).map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_as_it_was() {
    let application = Application::start(&application()).await;
    application.stack.internal().sql("create index on everything (tenant, id)").await;
    let inside = application.stack.internal().connect().await;
    let values = values();
    // Half of them come with the first copy, half through the feed.
    for insert in values.iter().step_by(2) {
        inside.batch_execute(insert).await.expect(insert);
    }
    application.adopt("public.everything", "tenant").await;
    let tenant = application.tenant("one").await;
    let _workers = application.stack.start_workers().await;
    let count = SAME.len() + OWN.len();
    // The binary form of what is the same there, the text of what is not.
    let forms = |outside: bool| {
        let form = |n: usize| {
            let own = n.checked_sub(SAME.len()).map(|n| OWN[n].1);
            match own {
                Some("text" | "text[]") => format!("c{n}::text"),
                Some(base) if !outside => format!("encode(record_send(row(c{n}::{base})), 'hex')"),
                _ => format!("encode(record_send(row(c{n})), 'hex')"),
            }
        };
        (0..count).map(form).collect::<Vec<_>>().join(", ")
    };
    let target = tenant.target(application.stack.external(0)).mapping("everything").compare(Compared {
        table: "everything".to_owned(),
        inside: format!("select id, {} from everything", forms(false)),
        outside: format!("select id, {} from everything", forms(true)),
        columns: count + 1,
    });
    let target = target.add().await;
    target.caught_up().await;
    for insert in values.iter().skip(1).step_by(2) {
        inside.batch_execute(insert).await.expect(insert);
    }
    target.caught_up().await;
    inside.batch_execute("update everything set id = id + 100").await.expect("moves all keys");
    target.caught_up().await;

    let types = "select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) from pg_attribute a
                 where a.attrelid = 'everything'::regclass and a.attname ~ '^c[0-9]+$' order by a.attnum";
    let (there, here) = (target.rows(types).await, rows(&inside, types).await.expect("types"));
    assert_eq!(there[..SAME.len()], here[..SAME.len()], "types that both have are kept");
    for (n, (kind, base, _)) in OWN.iter().enumerate() {
        assert_eq!(there[SAME.len() + n], format!("c{} {base}", SAME.len() + n), "{kind}");
    }
}
