//! What an expression may hold, what it reads, and what a condition pins.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::mapping::fixed::{Constant, pinned, predicate_follows};
use crate::mapping::{Expression, Reference};

fn parse(text: &str) -> Result<Expression, String> {
    Expression::parse(text, &["s", "email"])
}

#[test]
fn values_of_the_row() {
    for good in [
        "s.\"a\"",
        "s.a || ';' || s.b || '--' || s.\"c;select\"",
        "case when s.a then email.\"value\" else 'select' end",
        "extract(year from s.at)::int",
        "s.at at time zone 'UTC'",
        "s.at::timestamp with time zone",
        "array[s.a, s.b][1:2]",
        "coalesce(s.\"m\", '{}'::jsonb) ->> 'a'",
        "s.\"table\"",
        "s.select",
        "s.a collate \"C\"",
        "s.a collate \"pg_catalog\".\"C\"",
        "pg_catalog.lower(s.a)",
        "s.a::pg_catalog.text",
        "E'\\\\' || s.a || E'\\''",
        "'it''s' || s.a",
        "1.5e-3 * s.a + .5",
        "s.a = 'today'::text",
        "s.a is distinct from s.b",
        "\"s\".\"a\"",
        "s.a @> '{\"b\": 1}'",
    ] {
        parse(good).unwrap_or_else(|reason| panic!("{good}: {reason}"));
    }
}

#[test]
fn anything_else_is_refused() {
    for (bad, reason) in [
        ("", "empty"),
        ("   ", "empty"),
        ("(select 1)", "select begins a query"),
        ("(SELECT 1)", "select begins a query"),
        ("(table \"Secrets\")", "table begins a query"),
        ("(values (1))", "values begins a query"),
        ("(with x as (delete from y returning 1) table x)", "with begins a query"),
        ("exists (table x)", "exists begins a query"),
        ("s.a; drop table x", "; ends a statement"),
        ("s.a -- comment", "comments"),
        ("s.a /* comment */", "comments"),
        ("s.a +-- comment\n1", "comments"),
        ("$1", "$ begins"),
        ("$$a$$", "$ begins"),
        ("s.a)", ") closes nothing"),
        ("s.a) or (true", ") closes nothing"),
        ("(s.a", "( is opened"),
        ("(s.a]", "] closes nothing"),
        ("'abc", "' is opened"),
        ("\"abc", "\" is opened"),
        ("E'abc\\'", "' is opened"),
        ("'a\\'", "backslash"),
        ("E'a'\n'b'", "two string constants"),
        ("E'a'\n'b\\' || (select 1) || '", "backslash"),
        ("U&'\\0041'", "U&"),
        ("u&\"a\"", "U&"),
        ("s.a, s.b", "a comma outside"),
        ("s", "s stands for a whole row"),
        ("s.*", "s stands for a whole row"),
        ("to_jsonb(email)", "email stands for a whole row"),
        ("x.\"a\"", "x is no alias here (known: s, email)"),
        ("S.a || public.b", "public is no alias"),
        ("now()", "now() does not follow"),
        ("pg_catalog.now()", "now() does not follow"),
        ("NOW ()", "now() does not follow"),
        ("random()", "random() does not follow"),
        ("nextval('x')", "nextval() does not follow"),
        ("table_to_xml('x', true, true, '')", "table_to_xml() does not follow"),
        ("current_timestamp", "current_timestamp does not follow"),
        ("s.a = current_user", "current_user does not follow"),
        ("s.at < 'now'", "may become a time"),
        ("' Today '::timestamptz", "may become a time"),
        ("row_number() over (order by s.a)", "window function"),
        ("s.a || \"_sync_shadow_0\".a", "belong to the engine"),
        ("s.\"changedBy\"::text", "belongs to the engine"),
        ("1or(table x)", "followed by a letter"),
        ("s.a \\ s.b", "cannot be part"),
        ("s.a {b}", "cannot be part"),
    ] {
        let found = parse(bad).expect_err(bad);
        assert!(found.contains(reason), "{bad}: {found}");
    }
}

#[test]
fn references_and_calls_are_found_outside_of_quotes_only() {
    let expr =
        parse("lower(s.\"a\") || 's.\"b\"' || (s.c) || email.Value || x.trim(email.\"Value\") || s.\"a\"")
            .expect("good");
    let found: Vec<(&str, &str)> = expr
        .references()
        .iter()
        .map(|Reference { alias, column }| (alias.as_str(), column.as_str()))
        .collect();
    assert_eq!(found, [("email", "Value"), ("email", "value"), ("s", "a"), ("s", "c")]);
    let calls: Vec<_> =
        expr.calls().iter().map(|call| (call.schema.as_deref(), call.name.as_str())).collect();
    assert!(calls.contains(&(None, "lower")) && calls.contains(&(Some("x"), "trim")), "{calls:?}");
}

#[test]
fn a_plain_source_column() {
    assert_eq!(parse("s.\"Id\"").expect("good").plain_source_column(), Some("Id"));
    assert_eq!(parse(" s . Id ").expect("good").plain_source_column(), Some("id"));
    for other in ["(s.\"Id\")", "email.\"Id\"", "s.\"Id\"::uuid", "'s'"] {
        assert_eq!(parse(other).expect("good").plain_source_column(), None, "{other}");
    }
}

proptest! {
    /// Whatever is written, what is accepted can stand in parentheses without reaching out of them.
    #[test]
    fn an_accepted_expression_stays_in_its_parentheses(text in "[-a-z0-9_.,:;'\"()\\[\\]$*/=\\\\ \\nEé]{0,24}") {
        if let Ok(expr) = parse(&text) {
            let nested = format!("({}) is null", expr.text());
            let tokens = crate::mapping::lexer::tokens(&nested).expect("still readable");
            let own = crate::mapping::lexer::tokens(&text).expect("readable");
            prop_assert_eq!(&tokens[1..=own.len()], &own[..]);
            prop_assert_eq!(tokens.len(), own.len() + 4);
        }
    }
}

fn pins(condition: &str) -> BTreeMap<String, Constant> {
    pinned(parse(condition).expect(condition).tokens(), "email")
}

#[test]
fn a_condition_pins_what_it_compares_with_a_constant() {
    let value = |text: &str| Constant::Value(text.to_owned());
    for (condition, column, constant) in [
        ("email.\"type\" = 'EMAIL'", "type", value("EMAIL")),
        ("'EMAIL' = email.\"type\"", "type", value("EMAIL")),
        ("(email.\"type\") = ('EMAIL'::text)", "type", value("EMAIL")),
        ("email.\"type\"::text = 'EMAIL'", "type", value("EMAIL")),
        ("email.n = 5", "n", value("5")),
        ("email.\"isPrimary\"", "isPrimary", Constant::True),
        ("email.\"isPrimary\" = true", "isPrimary", Constant::True),
        ("not (email.\"isPrimary\")", "isPrimary", Constant::False),
        ("email.\"isPrimary\" = 'TRUE'::\"BooleanTrue\"", "isPrimary", value("TRUE")),
        ("(email.x is null and (email.\"isPrimary\"))", "isPrimary", Constant::True),
    ] {
        assert_eq!(pins(condition).get(column), Some(&constant), "{condition}");
    }
    for nothing in [
        "email.\"type\" = s.\"type\"",
        "email.\"type\" <> 'EMAIL'",
        "email.\"type\" = 'EMAIL' or email.\"isPrimary\"",
        "email.a between 1 and email.\"flag\" = true and email.\"flag\"",
        "case when email.a and email.\"flag\" and email.b then true end",
        "not email.\"type\" = 'EMAIL'",
        "email.\"type\" = 'EMAIL' is not true",
        "email.n = 0.1::float8",
        "email.t = 'EMAIL'::\"char\"",
        "email.t = 'EMAIL'::character",
        "email.t = lower('EMAIL')",
        "s.\"isPrimary\"",
    ] {
        assert_eq!(pins(nothing), BTreeMap::new(), "{nothing}");
    }
}

#[test]
fn a_partial_index_counts_if_the_condition_implies_its_predicate() {
    let condition = pins("email.\"type\" = 'EMAIL' and email.\"isPrimary\" and not email.\"gone\"");
    for follows in [
        "\"isPrimary\"",
        "(\"isPrimary\" = true)",
        "(type = 'EMAIL'::text)",
        "((type)::text = 'EMAIL'::text)",
        "(\"isPrimary\" AND (type = 'EMAIL'::text) AND (NOT gone))",
        "((value IS NOT NULL) AND \"isPrimary\")",
        "(type IS NOT NULL)",
    ] {
        assert!(predicate_follows(follows, &condition, &["value"]), "{follows}");
    }
    for does_not in [
        "(type = 'PHONE'::text)",
        "(\"isPrimary\" = false)",
        "gone",
        "(other IS NOT NULL)",
        "(\"isPrimary\" OR (type = 'PHONE'::text))",
        "(\"isPrimary\" AND (lower(type) = 'email'::text))",
        "(type <> 'PHONE'::text)",
        "(value = 'x'::text)",
    ] {
        assert!(!predicate_follows(does_not, &condition, &["value"]), "{does_not}");
    }
}
