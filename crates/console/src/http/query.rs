//! Parameters behind the question mark. Each is read once, by name; what nobody reads is refused.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use super::Problem;
use crate::state::Console;

/// More than any of our addresses needs.
const PARAMETERS_MAX: usize = 32;

/// The parameters of a request: `query.read(|q| Ok(…q.text("query")?…))?`.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl FromRequestParts<Console> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Console) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    fn parse(text: &str) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(|| Problem::invalid("query", "is not valid UTF-8"))?;
            let value = decode(value).ok_or_else(|| Problem::invalid(name.clone(), "is not valid UTF-8"))?;
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Problem::invalid(name, "is given twice"));
            }
            pairs.push((name, value));
            if pairs.len() > PARAMETERS_MAX {
                return Err(Problem::invalid("query", "has too many parameters"));
            }
        }
        Ok(Self(pairs))
    }

    /// Reads the parameters with `read`, then refuses those that it did not ask for.
    ///
    /// # Errors
    /// What `read` says, or the first parameter that is unknown.
    pub(crate) fn read<T>(self, read: impl FnOnce(&Reader) -> Result<T, Problem>) -> Result<T, Problem> {
        let reader = Reader { pairs: self.0, asked: RefCell::default() };
        let value = read(&reader)?;
        let asked = reader.asked.borrow();
        if let Some((name, _)) = reader.pairs.iter().find(|(name, _)| !asked.contains(&name.as_str())) {
            let known = if asked.is_empty() {
                "there are none here".into()
            } else {
                format!("known here: {}", asked.join(", "))
            };
            return Err(Problem::invalid(name.clone(), format!("there is no such parameter; {known}")));
        }
        Ok(value)
    }

    /// For addresses without parameters.
    ///
    /// # Errors
    /// There is one.
    pub(crate) fn none(self) -> Result<(), Problem> {
        self.read(|_| Ok(()))
    }
}

/// Reads parameters by name. An empty one counts as absent.
#[derive(Debug)]
pub(crate) struct Reader {
    pairs: Vec<(String, String)>,
    asked: RefCell<Vec<&'static str>>,
}

impl Reader {
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        self.asked.borrow_mut().push(name);
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// # Errors
    /// It is not a whole number in `range`.
    pub(crate) fn number(
        &self,
        name: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let expected = format!("expected a whole number from {} to {}", range.start(), range.end());
                Err(Problem::invalid(name, expected))
            }
        }
    }

    /// `limit`: how many entries of a list, 100 unless given.
    ///
    /// # Errors
    /// It is not a whole number from 1 to 1,000.
    pub(crate) fn limit(&self) -> Result<i64, Problem> {
        Ok(self.number("limit", 1..=1000)?.unwrap_or(100))
    }

    /// # Errors
    /// It is neither `true` nor `false`.
    pub(crate) fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid(name, "expected true or false")),
        }
    }

    /// # Errors
    /// It is no UUID.
    pub(crate) fn uuid(&self, name: &'static str) -> Result<Option<Uuid>, Problem> {
        let parse = |text: &str| text.parse().map_err(|_| Problem::invalid(name, "expected a UUID"));
        self.text(name).map(parse).transpose()
    }

    /// # Errors
    /// It is none of `known`.
    pub(crate) fn one_of(
        &self,
        name: &'static str,
        known: &[&'static str],
    ) -> Result<Option<&'static str>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match known.iter().find(|one| **one == text) {
            Some(one) => Ok(Some(one)),
            None => Err(Problem::invalid(name, format!("expected one of {}", known.join(", ")))),
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?.into_owned();
    // No text in Postgres can hold it.
    (!decoded.contains('\0')).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<T: std::fmt::Debug>(outcome: Result<T, Problem>) -> String {
        outcome.expect_err("refused").field().unwrap_or_default().to_owned()
    }

    #[test]
    fn parameters_are_read_by_name_and_the_rest_is_refused() {
        let parse = |text: &str| Query::parse(text).expect("parses");
        let read = parse("limit=7&desc=true&query=a%20b+c")
            .read(|q| Ok((q.limit()?, q.flag("desc")?, q.text("query").map(str::to_owned))));
        assert_eq!(read.expect("good"), (7, true, Some("a b c".to_owned())));
        assert_eq!(parse("query=").read(|q| Ok(q.text("query").is_none())).ok(), Some(true));
        assert_eq!(field(parse("limit=1&typo=1").read(|q| q.limit())), "typo");
        assert_eq!(field(parse("x").none()), "x");
        for bad in ["limit=0", "limit=1001", "limit=a", "limit=1.5"] {
            assert_eq!(field(parse(bad).read(|q| q.limit())), "limit");
        }
        assert_eq!(field(parse("id=5").read(|q| q.uuid("id"))), "id");
        assert_eq!(field(parse("s=x").read(|q| q.one_of("s", &["a", "b"]))), "s");
        assert_eq!(field(Query::parse("a=1&a=2")), "a");
        assert_eq!(field(Query::parse("a=%ff")), "a");
        assert_eq!(field(Query::parse("a=%00")), "a");
    }
}
