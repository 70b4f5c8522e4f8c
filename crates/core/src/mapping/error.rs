//! What is wrong with mapping files: always the file, the line if one is to blame, and the reason.

use std::fmt;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct MappingError {
    /// Name of the file, as the operator knows it.
    pub file: String,
    /// Line, from 1; none if the file as a whole is at fault.
    pub line: Option<u32>,
    /// What is wrong and, where it helps, what to write instead.
    pub reason: String,
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.reason),
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}

/// Every mistake that was found, by file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct MappingErrors(Vec<MappingError>);

impl MappingErrors {
    /// Of at least one mistake, in any order.
    pub(super) fn new(mut found: Vec<MappingError>) -> Self {
        found.sort();
        found.dedup();
        Self(found)
    }

    /// The mistakes, at least one.
    #[must_use]
    pub fn errors(&self) -> &[MappingError] {
        &self.0
    }

    pub(super) fn into_errors(self) -> Vec<MappingError> {
        self.0
    }
}

impl fmt::Display for MappingErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}
