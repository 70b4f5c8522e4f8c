//! Tables with a column of every type, and values that are hard to carry.

use std::fmt::Write as _;

use tenant_sync_tests::compare::Compared;

/// Types of the application's own.
pub(crate) const TYPES: &str = "
    create type mood as enum ('sad', 'very ''happy''');
    create domain positive as numeric(10,3) check (value > 0);
    create domain positives as positive;
    create type pair as (a integer, b text);";

/// Types that a target has, too, with their extreme values.
const SAME: [(&str, &[&str]); 55] = [
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
    ("oid", &["0", "4294967295"]),
    ("jsonpath", &["'$.\"a\"[*] ? (@ > 1.00)'", "'strict $'"]),
    ("pg_lsn", &["'0/0'", "'FFFFFFFF/FFFFFFFF'"]),
    ("pg_snapshot", &["'10:20:10,14,15'"]),
    ("xid8", &["'18446744073709551615'"]),
    ("int4range", &["'[1,10)'", "'(,)'"]),
    ("numrange", &["'(0.10,1e100]'", "'empty'"]),
    ("tsrange", &["'[\"-infinity\",\"2024-02-29 12:00:00.000001\"]'"]),
    ("daterange", &["'[2024-02-29,infinity)'", "'(,4713-01-02 BC)'"]),
    ("int8range", &["'empty'", "'[,]'", "'[-9223372036854775808,9]'"]),
    ("tstzrange", &["'[-infinity,infinity]'", "'(2024-01-01 00:00+00,)'"]),
    ("integer[]", &["'{}'", "'{NULL,1}'", "'[-2:-1]={1,2}'", "'{{1,2},{3,4}}'"]),
    ("text[]", &["'{\"a,b\",\"\\\\\\\"\",NULL,\"NULL\",\"\"}'"]),
    ("timestamptz[]", &["'{infinity,\"2024-02-29 00:00:00.000001+00\"}'"]),
];

/// Types that a target may not have, or that mean something in their own database only: what stands for them there.
const OTHERS: [(&str, &str, &[&str]); 9] = [
    ("mood", "text", &["'sad'", "'very ''happy'''"]),
    ("mood[]", "text[]", &["'{sad,NULL}'"]),
    ("positive", "numeric(10,3)", &["0.100"]),
    ("positives", "numeric(10,3)", &["7"]),
    ("pair", "text", &["row(1, 'a,b')", "row(null, '')"]),
    ("pair[]", "text[]", &["array[row(1, 'a,b')::pair, null]"]),
    ("money[]", "text[]", &["'{-92233720368547758.08}'"]),
    ("\"char\"", "text", &["'a'"]),
    ("regtype", "text", &["'integer'"]),
];

/// Types that version 14 brought.
const SPANS: [(&str, &[&str]); 6] = [
    ("int4multirange", &["'{[1,3),[5,)}'", "'{}'"]),
    ("int8multirange", &["'{(,-9223372036854775807),[0,1)}'"]),
    ("nummultirange", &["'{[0.10,1e100],(2e100,)}'"]),
    ("tsmultirange", &["'{[\"-infinity\",\"2024-02-29 12:00:00.000001\"]}'"]),
    ("tstzmultirange", &["'{[-infinity,2024-01-01 00:00+00),(2024-01-01 00:00+00,infinity]}'"]),
    ("datemultirange", &["'{[2024-02-29,2024-03-01),[2024-03-02,infinity)}'"]),
];

/// A table and what goes into it.
pub(crate) struct Values {
    pub(crate) table: &'static str,
    kinds: Vec<Kind>,
}

struct Kind {
    name: String,
    /// What a target has instead, if it is something else.
    instead: Option<&'static str>,
    values: Vec<String>,
}

impl Values {
    /// All three.
    pub(crate) fn all() -> [Self; 3] {
        [Self::everything(), Self::arrays(), Self::spans()]
    }

    /// Every type that all versions know.
    fn everything() -> Self {
        let mut kinds: Vec<Kind> = SAME.iter().map(|(name, values)| Kind::new(name, None, values)).collect();
        kinds.extend(OTHERS.iter().map(|(name, instead, values)| Kind::new(name, Some(instead), values)));
        Self { table: "everything", kinds }
    }

    /// Arrays of them.
    fn arrays() -> Self {
        let elements = SAME.iter().filter(|(name, _)| !name.ends_with("[]") && *name != "money");
        Self { table: "arrays", kinds: elements.map(|(name, values)| Kind::array(name, values)).collect() }
    }

    /// Types that version 14 brought, and arrays of them.
    pub(crate) fn spans() -> Self {
        let plain = SPANS.iter().map(|(name, values)| Kind::new(name, None, values));
        let arrays = SPANS.iter().map(|(name, values)| Kind::array(name, values));
        Self { table: "spans", kinds: plain.chain(arrays).collect() }
    }

    /// The table, with an index for first copies.
    pub(crate) fn create(&self) -> String {
        let table = self.table;
        let mut sql = format!("create table {table} (id bigint primary key, tenant text not null");
        for (number, kind) in self.kinds.iter().enumerate() {
            let _ = write!(sql, ", c{number} {}", kind.name);
        }
        sql + &format!("); create index on {table} (tenant, id);")
    }

    /// Rows until every value has had its turn; the last row has only nulls.
    pub(crate) fn inserts(&self) -> Vec<String> {
        let rows = self.kinds.iter().map(|kind| kind.values.len()).max().unwrap_or(0);
        let row = |n: usize| {
            let value = |kind: &Kind| {
                kind.values.get(n).map_or("null".to_owned(), |value| format!("({value})::{}", kind.name))
            };
            let values: Vec<String> = self.kinds.iter().map(value).collect();
            format!("insert into {} values ({n}, 'one', {})", self.table, values.join(", "))
        };
        (0..=rows).map(row).collect()
    }

    /// The binary form of what is the same in a target, the text of what is not.
    pub(crate) fn compared(&self) -> Compared {
        let forms = |outside: bool| {
            let form = |(n, kind): (usize, &Kind)| match kind.instead {
                Some("text" | "text[]") => format!("c{n}::text"),
                Some(base) if !outside => format!("encode(record_send(row(c{n}::{base})), 'hex')"),
                _ => format!("encode(record_send(row(c{n})), 'hex')"),
            };
            self.kinds.iter().enumerate().map(form).collect::<Vec<_>>().join(", ")
        };
        Compared {
            table: self.table.to_owned(),
            inside: format!("select id, {} from {}", forms(false), self.table),
            outside: format!("select id, {} from {}", forms(true), self.table),
            columns: self.kinds.len() + 1,
        }
    }

    /// A query for the types of its columns as `c<number> <type>`, here or there.
    pub(crate) fn types_of(&self) -> String {
        format!(
            "select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) from pg_attribute a
             where a.attrelid = '{}'::regclass and a.attname ~ '^c[0-9]+$' order by a.attnum",
            self.table
        )
    }

    /// What that query must return in a target, by what it returned inside.
    pub(crate) fn types_there(&self, inside: Vec<String>) -> Vec<String> {
        let there = |((n, kind), own): ((usize, &Kind), String)| {
            kind.instead.map_or(own, |instead| format!("c{n} {instead}"))
        };
        self.kinds.iter().enumerate().zip(inside).map(there).collect()
    }
}

impl Kind {
    fn new(name: &str, instead: Option<&'static str>, values: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            instead,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    fn array(element: &str, values: &[&str]) -> Self {
        let each: Vec<String> = values.iter().map(|value| format!("({value})::{element}")).collect();
        let values = vec![format!("array[{}, null]", each.join(", ")), "'{}'".to_owned()];
        Self { name: format!("{element}[]"), instead: None, values }
    }
}
