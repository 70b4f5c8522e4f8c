//! The document that says what a tenancy's targets are. Read strictly: an unknown field is refused by name, and no
//! error repeats a value.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::settings::Settings;

/// Why a document is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DocumentError {
    /// It is no JSON.
    #[error("the document is not valid JSON (line {line}, column {column})")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A value is of another kind.
    #[error("{place} must be {expected}")]
    Kind {
        /// Where.
        place: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A field that does not exist.
    #[error("{place} has an unknown field {name:?}; known here: {known}")]
    Unknown {
        /// Where.
        place: String,
        /// The field.
        name: String,
        /// The fields that exist.
        known: &'static str,
    },
    /// A field is not there.
    #[error("{place} needs {name}")]
    Missing {
        /// Where.
        place: String,
        /// The field.
        name: &'static str,
    },
    /// Both forms at once.
    #[error(
        "the document gives externalDatabases twice, nested and as the flat key \"dbSync.externalDatabases\""
    )]
    Twice,
}

impl DocumentError {
    /// Where in the document.
    #[must_use]
    pub fn place(&self) -> &str {
        match self {
            Self::Kind { place, .. } | Self::Unknown { place, .. } | Self::Missing { place, .. } => place,
            Self::Json { .. } | Self::Twice => "the document",
        }
    }
}

const FLAT: &str = "dbSync.externalDatabases";

/// The settings of each target, by id.
///
/// # Errors
/// The first thing that is not understood, by its place.
pub fn parse(text: &str) -> Result<BTreeMap<String, Settings>, DocumentError> {
    // A syntax error of serde_json names the place only; still, only the place is told.
    let document: Value = serde_json::from_str(text)
        .map_err(|error| DocumentError::Json { line: error.line(), column: error.column() })?;
    let mut root = object(document, "the document")?;
    let flat = root.remove(FLAT);
    let nested = match root.remove("dbSync") {
        None => None,
        Some(section) => {
            let mut section = object(section, "dbSync")?;
            let databases = section.remove("externalDatabases");
            nothing_left(&section, "dbSync", "externalDatabases")?;
            databases
        }
    };
    nothing_left(&root, "the document", "dbSync, or the flat key dbSync.externalDatabases")?;
    let databases = match (nested, flat) {
        (Some(_), Some(_)) => return Err(DocumentError::Twice),
        (Some(databases), None) | (None, Some(databases)) => databases,
        (None, None) => {
            return Err(DocumentError::Missing { place: "the document".into(), name: FLAT });
        }
    };
    let databases = object(databases, FLAT)?;
    databases.into_iter().map(|(id, value)| Ok((id.clone(), target(&id, value)?))).collect()
}

fn target(id: &str, value: Value) -> Result<Settings, DocumentError> {
    let place = format!("{FLAT}.{id}");
    let mut fields = object(value, &place)?;
    match fields.remove("type") {
        None => return Err(DocumentError::Missing { place, name: "type" }),
        Some(Value::String(kind)) if kind == "postgres" => {}
        Some(_) => {
            return Err(DocumentError::Kind { place: format!("{place}.type"), expected: "\"postgres\"" });
        }
    }
    let url = text(&mut fields, &place, "connectionString")?;
    let url = url.ok_or(DocumentError::Missing { place: place.clone(), name: "connectionString" })?;
    let settings = Settings {
        url: SecretString::from(url.trim()),
        schema: text(&mut fields, &place, "schema")?,
        mappings: texts(&mut fields, &place, "mappings")?,
        read_roles: texts(&mut fields, &place, "readRoles")?.unwrap_or_default(),
        ca_certificates: text(&mut fields, &place, "caCertificates")?,
    };
    let known = "type, connectionString, schema, mappings, readRoles, caCertificates";
    nothing_left(&fields, &place, known)?;
    Ok(settings)
}

fn object(value: Value, place: &str) -> Result<Map<String, Value>, DocumentError> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(DocumentError::Kind { place: place.to_owned(), expected: "an object" }),
    }
}

/// A text; absent and null are the same.
fn text(fields: &mut Map<String, Value>, place: &str, name: &str) -> Result<Option<String>, DocumentError> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(DocumentError::Kind { place: format!("{place}.{name}"), expected: "a text" }),
    }
}

/// A list of texts; absent and null are the same.
fn texts(
    fields: &mut Map<String, Value>,
    place: &str,
    name: &str,
) -> Result<Option<Vec<String>>, DocumentError> {
    let wrong = || DocumentError::Kind { place: format!("{place}.{name}"), expected: "a list of texts" };
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => values
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(wrong()),
            })
            .collect::<Result<_, _>>()
            .map(Some),
        Some(_) => Err(wrong()),
    }
}

fn nothing_left(fields: &Map<String, Value>, place: &str, known: &'static str) -> Result<(), DocumentError> {
    match fields.keys().next() {
        None => Ok(()),
        Some(name) => Err(DocumentError::Unknown { place: place.to_owned(), name: name.clone(), known }),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const NESTED: &str =
        r#"{"dbSync":{"externalDatabases":{"main":{"type":"postgres","connectionString":"postgres://h"}}}}"#;

    #[test]
    fn nested_and_flat_mean_the_same() {
        let flat = r#"{"dbSync.externalDatabases":{"main":{"type":"postgres","connectionString":"postgres://h",
            "schema":"s","mappings":["users"],"readRoles":["bi"],"caCertificates":null}}}"#;
        assert_eq!(parse(NESTED).expect("good")["main"].url.expose_secret(), "postgres://h");
        let target = &parse(flat).expect("good")["main"];
        assert_eq!((target.schema.as_deref(), target.read_roles.len()), (Some("s"), 1));
        assert_eq!(target.mappings.as_deref(), Some(&["users".to_owned()][..]));
        assert!(parse(r#"{"dbSync":{"externalDatabases":{}}}"#).expect("no targets").is_empty());
    }

    #[test]
    fn what_is_not_understood_is_named_and_never_repeated() {
        let cases = [
            ("{", "line 1"),
            ("[]", "must be an object"),
            ("{}", "needs dbSync.externalDatabases"),
            (r#"{"dbSync":{}}"#, "needs dbSync.externalDatabases"),
            (r#"{"dbSync":{"externalDatabases":{}},"more":"hunter2"}"#, "\"more\""),
            (r#"{"dbSync":{"externalDatabases":{},"polling":1}}"#, "\"polling\""),
            (r#"{"dbSync":{"externalDatabases":{}},"dbSync.externalDatabases":{}}"#, "twice"),
            (r#"{"dbSync.externalDatabases":{"main":{"type":"postgres"}}}"#, "main needs connectionString"),
            (r#"{"dbSync.externalDatabases":{"main":{"connectionString":"hunter2"}}}"#, "main needs type"),
            (r#"{"dbSync.externalDatabases":{"main":{"type":"hunter2"}}}"#, "main.type must be"),
            (
                r#"{"dbSync.externalDatabases":{"main":{"type":"postgres","connectionString":{"a":"hunter2"}}}}"#,
                "a text",
            ),
            (
                r#"{"dbSync.externalDatabases":{"main":{"type":"postgres","connectionString":"hunter2","password":"hunter2"}}}"#,
                "\"password\"",
            ),
        ];
        for (text, expected) in cases {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
