//! Whether answers are what an OpenAPI document says. Strict: what the document does not name must not be there.

use serde_json::{Map, Value};

/// A document.
#[derive(Debug, Clone)]
pub struct Document(Value);

impl Document {
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn new(document: Value) -> Self {
        assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")), "{document}");
        Self(document)
    }

    /// Each method (in capitals) and path.
    #[must_use]
    pub fn operations(&self) -> Vec<(String, String)> {
        let paths = self.0["paths"].as_object().cloned().unwrap_or_default();
        let each = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().cloned().unwrap_or_default();
            methods.into_iter().map(move |(method, _)| (method.to_uppercase(), path.clone()))
        });
        each.collect()
    }

    /// The operation that an address belongs to: its template, and what is said of it. A literal part counts more than a
    /// named one.
    #[must_use]
    pub fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let asked: Vec<&str> = path.split('?').next().unwrap_or_default().split('/').collect();
        let paths = self.0["paths"].as_object()?;
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            let fits = |(part, given): (&&str, &&str)| part.starts_with('{') || part == given;
            parts.len() == asked.len() && parts.iter().zip(&asked).all(fits)
        };
        let mut fitting: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
        fitting.sort_by_key(|template| template.matches('{').count());
        let template = *fitting.first()?;
        let operation = paths[template].get(method.to_lowercase())?;
        Some((template.clone(), operation))
    }

    /// The schema of a named thing.
    #[must_use]
    pub fn schema(&self, name: &str) -> &Value {
        &self.0["components"]["schemas"][name]
    }

    /// The schema of an operation's answer with this status; `None` = it has no body.
    ///
    /// # Panics
    /// The operation says nothing of such an answer.
    #[must_use]
    pub fn answer<'a>(&'a self, operation: &'a Value, status: u16) -> Option<&'a Value> {
        let responses = &operation["responses"];
        let said = responses.get(status.to_string());
        let response = match said {
            Some(response) => response,
            None if status >= 400 => self.follow(&responses["default"]),
            None => panic!("nothing is said of the status {status}: {responses}"),
        };
        let content = response["content"].as_object()?;
        content.values().next().map(|media| &media["schema"])
    }

    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null),
            None => value,
        }
    }

    /// Whether `value` is what `schema` says.
    ///
    /// # Errors
    /// The first place where it is not.
    pub fn validate(&self, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let named = self.0.pointer(reference.trim_start_matches('#'));
            return self.validate(named.ok_or_else(|| format!("{reference} is not there"))?, value, place);
        }
        if schema == &Value::Bool(true) {
            return Ok(());
        }
        let Some(schema) = schema.as_object() else { return Err(format!("{place}: no schema")) };
        for choice in ["anyOf", "oneOf"] {
            if let Some(options) = schema.get(choice).and_then(Value::as_array) {
                let tried: Vec<_> = options.iter().map(|one| self.validate(one, value, place)).collect();
                if tried.iter().all(Result::is_err) {
                    return Err(format!("{place}: fits none of {tried:?}"));
                }
            }
        }
        for one in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.validate(one, value, place)?;
        }
        if let Some(kinds) = schema.get("type") {
            let kinds: Vec<&str> = match kinds {
                Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
                kind => kind.as_str().into_iter().collect(),
            };
            if !kinds.iter().any(|kind| is_a(kind, value)) {
                return Err(format!("{place}: {value} is none of {kinds:?}"));
            }
        }
        if let Some(known) =
            schema.get("enum").and_then(Value::as_array).filter(|known| !known.contains(value))
        {
            return Err(format!("{place}: {value} is none of {known:?}"));
        }
        if schema.get("const").is_some_and(|only| only != value) {
            return Err(format!("{place}: {value} is not as it must be"));
        }
        self.validate_parts(schema, value, place)
    }

    fn validate_parts(&self, schema: &Map<String, Value>, value: &Value, place: &str) -> Result<(), String> {
        if let (Some(items), Some(entries)) = (schema.get("items"), value.as_array()) {
            for (at, entry) in entries.iter().enumerate() {
                self.validate(items, entry, &format!("{place}[{at}]"))?;
            }
        }
        let Some(fields) = value.as_object() else { return Ok(()) };
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if name.as_str().is_some_and(|name| !fields.contains_key(name)) {
                return Err(format!("{place} has no {name}"));
            }
        }
        let (properties, rest) = (schema.get("properties"), schema.get("additionalProperties"));
        for (name, field) in fields {
            let within = format!("{place}.{name}");
            match (properties.and_then(|p| p.get(name)), rest) {
                (Some(property), _) => self.validate(property, field, &within)?,
                (None, Some(rest)) if rest != &Value::Bool(false) => self.validate(rest, field, &within)?,
                (None, None) if properties.is_none() => {}
                (None, _) => return Err(format!("{within} is not described")),
            }
        }
        Ok(())
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_or_not_described_is_found() {
        let document = Document::new(json!({
            "openapi": "3.1.0",
            "paths": { "/a/{id}": { "get": {} }, "/a/b": { "post": {} } },
            "components": { "schemas": { "Pair": {
                "type": "object",
                "required": ["left"],
                "properties": {
                    "left": { "type": "integer" },
                    "right": { "anyOf": [{ "$ref": "#/components/schemas/Pair" }, { "type": "null" }] },
                    "list": { "type": "array", "items": { "enum": ["x"] } },
                },
            } } },
        }));
        let check = |value: Value| document.validate(document.schema("Pair"), &value, "it");
        assert_eq!(check(json!({ "left": 1, "right": { "left": 2, "right": null }, "list": ["x"] })), Ok(()));
        for wrong in [
            json!({}),
            json!({ "left": 1.5 }),
            json!({ "left": 1, "more": 1 }),
            json!({ "left": 1, "right": { "left": "2" } }),
            json!({ "left": 1, "list": ["y"] }),
            json!([]),
        ] {
            assert!(check(wrong.clone()).is_err(), "{wrong}");
        }
        assert_eq!(document.operation("GET", "/a/7?x=1").map(|(path, _)| path), Some("/a/{id}".into()));
        assert_eq!(document.operation("POST", "/a/b").map(|(path, _)| path), Some("/a/b".into()));
        assert!(document.operation("POST", "/a/7").is_none());
        assert_eq!(document.operations().len(), 2);
    }
}
