//! How a value of a type travels from the internal database to a target.

use serde::Serialize;

/// The form in which a value is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Carry {
    /// As Postgres's binary form, which all supported versions share.
    Binary,
    /// As text: cast to `text` at the source and back in the target, both under [`TEXT_SETTINGS`].
    Text,
}

/// Settings under which a value's text means the same in both databases.
///
/// A session that evaluates expressions needs them always (`s."createdAt"::text` follows `TimeZone`); a session
/// in a target needs them where a column is carried as [`Carry::Text`]. `extra_float_digits` of 1 or more gives
/// text that is read back as exactly the same number.
pub const TEXT_SETTINGS: &[(&str, &str)] = &[
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("xmloption", "content"),
];

/// Types with a binary form that versions 13 to 18 share, by their name in `pg_type`.
const BINARY: [&str; 35] = [
    "bool",
    "bytea",
    "char",
    "name",
    "int2",
    "int4",
    "int8",
    "oid",
    "float4",
    "float8",
    "numeric",
    "money",
    "text",
    "varchar",
    "bpchar",
    "uuid",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "json",
    "jsonb",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "bit",
    "varbit",
    "point",
    "line",
    "lseg",
    "box",
    "path",
];
const BINARY_SHAPES: [&str; 2] = ["polygon", "circle"];

/// Types whose text is exact, but whose binary form we do not rely on.
const TEXT: [&str; 7] = ["xml", "tsvector", "tsquery", "jsonpath", "pg_lsn", "pg_snapshot", "xid8"];

/// What the catalog says of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypeFacts {
    pub(super) oid: u32,
    /// As `format_type` writes it, with its modifier.
    pub(super) display: String,
    /// `pg_type.typname`.
    pub(super) name: String,
    /// `pg_type.typtype`.
    pub(super) kind: String,
    /// Whether it comes with every Postgres.
    pub(super) built_in: bool,
    /// `typname` of the element type, if it is an array.
    pub(super) element: Option<(String, String)>,
}

/// How the type is carried, or why it cannot be.
pub(super) fn carry(facts: &TypeFacts) -> Result<Carry, String> {
    let what = match facts.kind.as_str() {
        "e" => "an enum",
        "d" => "a domain",
        "c" => "a row type",
        "p" => "a pseudo-type",
        _ if !facts.built_in => "not part of Postgres itself",
        "r" | "m" => return Ok(Carry::Text),
        _ => match &facts.element {
            // The text of money depends on the server's locale.
            Some((element, kind)) if element != "money" && (is_range(kind) || is_carried(element)) => {
                return Ok(Carry::Text);
            }
            None if is_binary(&facts.name) => return Ok(Carry::Binary),
            None if TEXT.contains(&facts.name.as_str()) => return Ok(Carry::Text),
            _ => "meaningful in its own database only",
        },
    };
    Err(format!("the type {} is {what}, so a target may not have it", facts.display))
}

fn is_range(kind: &str) -> bool {
    kind == "r" || kind == "m"
}

fn is_carried(name: &str) -> bool {
    is_binary(name) || TEXT.contains(&name)
}

fn is_binary(name: &str) -> bool {
    BINARY.contains(&name) || BINARY_SHAPES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::{Carry, TypeFacts, carry};

    fn facts(name: &str, kind: &str, built_in: bool, element: Option<(&str, &str)>) -> TypeFacts {
        let element = element.map(|(n, k)| (n.to_owned(), k.to_owned()));
        TypeFacts {
            oid: 1,
            display: name.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            built_in,
            element,
        }
    }

    #[test]
    fn base_types_are_binary_and_composed_ones_text() {
        for (name, kind, element, wanted) in [
            ("uuid", "b", None, Carry::Binary),
            ("polygon", "b", None, Carry::Binary),
            ("xml", "b", None, Carry::Text),
            ("int4range", "r", None, Carry::Text),
            ("int4multirange", "m", None, Carry::Text),
            ("_text", "b", Some(("text", "b")), Carry::Text),
            ("_int4range", "b", Some(("int4range", "r")), Carry::Text),
        ] {
            assert_eq!(carry(&facts(name, kind, true, element)), Ok(wanted), "{name}");
        }
    }

    #[test]
    fn what_a_target_may_lack_is_refused() {
        for (name, kind, built_in, element) in [
            ("mood", "e", false, None),
            ("email", "d", false, None),
            ("pair", "c", false, None),
            ("citext", "b", false, None),
            ("regclass", "b", true, None),
            ("record", "p", true, None),
            ("_mood", "b", false, Some(("mood", "e"))),
            ("_money", "b", true, Some(("money", "b"))),
        ] {
            assert!(carry(&facts(name, kind, built_in, element)).is_err(), "{name}");
        }
    }
}
