//! Reads a TOML document key by key and notes every mistake with its line, instead of stopping at the first.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::MappingError;

/// A value and the line it stands in.
#[derive(Debug, Clone, Default)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) line: u32,
}

/// A file that is being read, and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    found: Vec<MappingError>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// The document's top, if it is TOML at all.
    pub(super) fn document(&mut self) -> Option<Section<'t>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let line = error.span().map(|span| self.line(&span));
            self.found.push(self.error(line, format!("not valid TOML: {}", error.message())));
        }
        errors.is_empty().then(|| Section::new("the file", 1, document.into_inner()))
    }

    pub(super) fn refuse(&mut self, line: u32, reason: impl Into<String>) {
        self.found.push(self.error(Some(line), reason.into()));
    }

    /// Notes the reason of a failed rule.
    pub(super) fn rule(&mut self, line: u32, outcome: Result<(), String>) {
        if let Err(reason) = outcome {
            self.refuse(line, reason);
        }
    }

    pub(super) fn into_found(self) -> Vec<MappingError> {
        self.found
    }

    fn error(&self, line: Option<u32>, reason: String) -> MappingError {
        MappingError { file: self.file.to_owned(), line, reason }
    }

    fn line(&self, span: &Range<usize>) -> u32 {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        let breaks = before.iter().filter(|byte| **byte == b'\n').count();
        u32::try_from(breaks + 1).unwrap_or(u32::MAX)
    }
}

/// A table of the document. Keys are taken out of it; what is left in the end is unknown.
#[derive(Debug)]
pub(super) struct Section<'t> {
    what: &'static str,
    pub(super) line: u32,
    table: DeTable<'t>,
    asked: Vec<&'static str>,
    /// It should be there and is not, which has been noted: nothing that it lacks is worth a word.
    absent: bool,
}

impl<'t> Section<'t> {
    fn new(what: &'static str, line: u32, table: DeTable<'t>) -> Self {
        Self { what, line, table, asked: Vec::new(), absent: false }
    }

    /// A text that must be there and say something; empty if not, which is noted.
    pub(super) fn text(&mut self, reader: &mut Reader<'t>, key: &'static str) -> At<String> {
        self.require(reader, key, key);
        let Some(text) = self.text_or_none(reader, key) else {
            return At { value: String::new(), line: self.line };
        };
        if text.value.is_empty() {
            reader.refuse(text.line, format!("{key} must not be empty"));
        }
        text
    }

    /// A text that may be there.
    pub(super) fn text_or_none(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<At<String>> {
        let (line, value) = self.take(reader, key)?;
        match value {
            DeValue::String(value) => Some(At { value: value.into_owned(), line }),
            _ => wrong_kind(reader, line, key, "a text in quotes"),
        }
    }

    /// A whole number from 1 that may be there.
    pub(super) fn whole_or_none(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<At<i32>> {
        let (line, value) = self.take(reader, key)?;
        let number = match &value {
            DeValue::Integer(n) => i32::from_str_radix(n.as_str(), n.radix()).ok().filter(|n| *n >= 1),
            _ => None,
        };
        match number {
            Some(value) => Some(At { value, line }),
            None => wrong_kind(reader, line, key, "a whole number from 1"),
        }
    }

    /// `true` or `false`, if it is there.
    pub(super) fn flag_or_none(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<At<bool>> {
        let (line, value) = self.take(reader, key)?;
        match value {
            DeValue::Boolean(value) => Some(At { value, line }),
            _ => wrong_kind(reader, line, key, "true or false"),
        }
    }

    /// A list of texts that must be there and not be empty.
    pub(super) fn names(&mut self, reader: &mut Reader<'t>, key: &'static str) -> At<Vec<String>> {
        let nothing = At { value: Vec::new(), line: self.line };
        self.require(reader, key, key);
        let Some((line, value)) = self.take(reader, key) else { return nothing };
        let names: Option<Vec<String>> = match value {
            DeValue::Array(items) if !items.is_empty() => {
                items.into_iter().map(|i| as_text(i.into_inner())).collect()
            }
            _ => None,
        };
        match names {
            Some(value) => At { value, line },
            None => wrong_kind(reader, line, key, "a list of names such as [\"id\"]").unwrap_or(nothing),
        }
    }

    /// A table of texts that must be there and not be empty, by key.
    pub(super) fn pairs(&mut self, reader: &mut Reader<'t>, key: &'static str) -> At<Vec<(String, String)>> {
        self.require(reader, key, key);
        self.pairs_or_none(reader, key, "pairs of columns such as { \"theirs\" = \"source's\" }")
            .unwrap_or(At { value: Vec::new(), line: self.line })
    }

    /// A table of texts that may be there, and is not empty then, by key.
    pub(super) fn pairs_or_none(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        wanted: &str,
    ) -> Option<At<Vec<(String, String)>>> {
        let (line, value) = self.take(reader, key)?;
        let pairs: Option<Vec<(String, String)>> = match value {
            DeValue::Table(table) if !table.is_empty() => table
                .into_iter()
                .map(|(k, v)| Some((k.into_inner().into_owned(), as_text(v.into_inner())?)))
                .collect(),
            _ => None,
        };
        match pairs {
            Some(value) => Some(At { value, line }),
            None => wrong_kind(reader, line, key, wanted),
        }
    }

    /// A table that must be there.
    pub(super) fn section(&mut self, reader: &mut Reader<'t>, key: &'static str, what: &'static str) -> Self {
        let at = self.line;
        let empty = || Section { absent: true, ..Section::new(what, at, DeTable::new()) };
        self.require(reader, key, what);
        let Some((line, value)) = self.take(reader, key) else { return empty() };
        match value {
            DeValue::Table(table) => Section::new(what, line, table),
            _ => wrong_kind(reader, line, key, what).unwrap_or_else(empty),
        }
    }

    /// Any number of tables.
    pub(super) fn sections(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        what: &'static str,
    ) -> Vec<Self> {
        let Some((line, value)) = self.take(reader, key) else { return Vec::new() };
        let DeValue::Array(items) = value else {
            return wrong_kind(reader, line, key, what).unwrap_or_default();
        };
        let mut sections = Vec::new();
        for item in items {
            let line = reader.line(&item.span());
            match item.into_inner() {
                DeValue::Table(table) => sections.push(Section::new(what, line, table)),
                _ => reader.refuse(line, format!("{key} must be {what}")),
            }
        }
        sections
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self, reader: &mut Reader<'t>) {
        for key in self.table.keys() {
            let line = reader.line(&key.span());
            let known = self.asked.join(", ");
            reader.refuse(line, format!("{} has no key {:?} (known: {known})", self.what, key.get_ref()));
        }
    }

    fn require(&self, reader: &mut Reader<'t>, key: &str, what: &str) {
        if !self.absent && !self.table.contains_key(key) {
            reader.refuse(self.line, format!("{} needs {what}", self.what));
        }
    }

    fn take(&mut self, reader: &Reader<'t>, key: &'static str) -> Option<(u32, DeValue<'t>)> {
        self.asked.push(key);
        let value: Spanned<DeValue<'t>> = self.table.remove(key)?;
        Some((reader.line(&value.span()), value.into_inner()))
    }
}

fn as_text(value: DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.into_owned()),
        _ => None,
    }
}

fn wrong_kind<T>(reader: &mut Reader<'_>, line: u32, key: &str, wanted: &str) -> Option<T> {
    reader.refuse(line, format!("{key} must be {wanted}"));
    None
}
