//! JSON in both directions. What is wrong with a body is told by field; nothing of it is repeated, it may be a secret.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Problem;
use crate::state::Console;

/// A body that was read strictly.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Console> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::media_type());
        }
        let bytes = Bytes::from_request(request, console).await.map_err(|rejection| {
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(console.config.console.max_body_bytes),
                _ => Problem::invalid("body", "the body did not arrive whole"),
            }
        })?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let place = if path == "." { "body".to_owned() } else { path };
        complaint(place, error.inner())
    })?;
    reader.end().map_err(|_| Problem::invalid("body", "something follows the JSON value"))?;
    Ok(value)
}

/// Of serde's messages only those are repeated that name fields, which are ours, or the caller's names.
fn complaint(place: String, error: &serde_json::Error) -> Problem {
    let said = error.to_string();
    let name = || said.split('`').nth(1).unwrap_or_default().to_owned();
    let inside = |name: String| match place.as_str() {
        "body" => name,
        place if place.ends_with(&name) => place.to_owned(),
        place => format!("{place}.{name}"),
    };
    if !error.is_data() {
        let place_text = format!("is not valid JSON (line {}, column {})", error.line(), error.column());
        return Problem::invalid("body", place_text);
    }
    if said.starts_with("missing field") {
        return Problem::invalid(inside(name()), "is missing");
    }
    if said.starts_with("unknown field") {
        let known = said.split_once("expected ").map_or("", |(_, rest)| rest);
        let known = known.rsplit_once(" at line").map_or(known, |(known, _)| known);
        return Problem::invalid(inside(name()), format!("there is no such field; expected {known}"));
    }
    if said.starts_with("unknown variant") {
        let known = said.split_once("expected ").map_or("", |(_, rest)| rest);
        let known = known.rsplit_once(" at line").map_or(known, |(known, _)| known);
        return Problem::invalid(place, format!("expected {known}"));
    }
    let expected = said.split_once("expected ").map(|(_, rest)| rest);
    let expected =
        expected.and_then(|rest| rest.rsplit_once(" at line")).map_or("another kind of value", |(e, _)| e);
    Problem::invalid(place, format!("expected {expected}"))
}

/// An answer as JSON.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read by serde")]
        max_rows: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read by serde")]
        inner: Inner,
    }

    #[test]
    fn the_field_is_named_and_no_value_repeated() {
        for (body, field, says) in [
            (r#"{"inner": {"maxRows": "hunter2"}}"#, "inner.maxRows", "expected u8"),
            (r#"{"inner": {}}"#, "inner.maxRows", "is missing"),
            (r#"{"inner": {"maxRows": 1, "typo": "hunter2"}}"#, "inner.typo", "no such field"),
            (r#"{}"#, "inner", "is missing"),
            (r#"{"hunter": "hunter2""#, "hunter", "no such field"),
            (r#"{"inner": {"maxRows": 1}} x"#, "body", "follows"),
            ("hunter2", "body", "line 1"),
            ("", "body", "line 1"),
        ] {
            let problem = parse::<Outer>(body.as_bytes()).expect_err(body);
            let text = format!("{problem:?}");
            assert_eq!(problem.field(), Some(field), "{body}: {text}");
            assert!(text.contains(says) && !text.contains("hunter2"), "{body}: {text}");
        }
    }
}
