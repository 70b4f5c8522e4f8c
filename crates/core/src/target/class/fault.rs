//! What is kept of an error.

use std::{fmt, io};

use serde::Serialize;
use tokio_postgres::error::DbError;

use super::{ErrorClass, class_of_sqlstate};
use crate::target::bounded::ProtocolAbuse;

/// Names longer than this are no names of Postgres; a trigger can put anything there.
const NAME_CHARS_MAX: usize = 63;
const DETAIL_CHARS_MAX: usize = 600;

/// An error of a target, without anything that could be a value of the customer's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetFault {
    /// What it means.
    pub class: ErrorClass,
    /// Five letters and digits, if the server said so.
    pub sqlstate: Option<Box<str>>,
    /// The schema that the server named.
    pub schema: Option<Box<str>>,
    /// The table that the server named.
    pub table: Option<Box<str>>,
    /// The column that the server named.
    pub column: Option<Box<str>>,
    /// The constraint that the server named.
    pub constraint: Option<Box<str>>,
    /// More, in our own words.
    pub detail: Option<Box<str>>,
}

impl TargetFault {
    /// A fault that we found ourselves.
    #[must_use]
    pub fn new(class: ErrorClass) -> Self {
        Self {
            class,
            sqlstate: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
            detail: None,
        }
    }

    /// The same with more to say, which must be words of ours and no values of the customer's.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = clean(&detail.into(), DETAIL_CHARS_MAX).map(Into::into);
        self
    }

    /// What is kept of a client library's error.
    #[must_use]
    pub fn from_postgres(error: &tokio_postgres::Error) -> Self {
        if let Some(db) = error.as_db_error() {
            return Self::from_server(db);
        }
        if error.is_closed() {
            return Self::new(ErrorClass::Unreachable);
        }
        let source = std::error::Error::source(error);
        source.and_then(|e| e.downcast_ref()).map_or_else(|| Self::new(ErrorClass::Unknown), Self::from_io)
    }

    /// What is kept of an error of the connection.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(abuse) = inner.and_then(|e| e.downcast_ref::<ProtocolAbuse>()) {
            return Self::from(*abuse);
        }
        if inner.is_some_and(|e| e.is::<rustls::Error>()) {
            return Self::new(ErrorClass::TlsFailed);
        }
        Self::new(class_of_io(error))
    }

    fn from_server(error: &DbError) -> Self {
        let code = error.code().code();
        let name = |text: Option<&str>| text.and_then(|t| clean(t, NAME_CHARS_MAX)).map(Into::into);
        Self {
            class: class_of_sqlstate(code),
            sqlstate: is_sqlstate(code).then(|| code.into()),
            schema: name(error.schema()),
            table: name(error.table()),
            column: name(error.column()),
            constraint: name(error.constraint()),
            detail: None,
        }
    }
}

impl From<ProtocolAbuse> for TargetFault {
    fn from(abuse: ProtocolAbuse) -> Self {
        Self::new(ErrorClass::ProtocolAbuse).with_detail(abuse.to_string())
    }
}

/// Our sentence, what the server named, and more in our own words.
impl fmt::Display for TargetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class.sentence())?;
        let named = [
            ("SQLSTATE", &self.sqlstate),
            ("schema", &self.schema),
            ("table", &self.table),
            ("column", &self.column),
            ("constraint", &self.constraint),
        ];
        let mut separator = " (";
        for (what, name) in named {
            if let Some(name) = name {
                write!(f, "{separator}{what} {name}")?;
                separator = ", ";
            }
        }
        if separator == ", " {
            f.write_str(")")?;
        }
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " {detail}"))
    }
}

impl std::error::Error for TargetFault {}

fn is_sqlstate(code: &str) -> bool {
    code.len() == 5 && code.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn class_of_io(error: &io::Error) -> ErrorClass {
    /// Linux: this process, this machine has too many files open.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
        return ErrorClass::Ours;
    }
    match error.kind() {
        // No local port left, no network, or a local firewall.
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::NetworkDown | io::ErrorKind::PermissionDenied => {
            ErrorClass::Ours
        }
        // The client library's words for bytes that it could not read.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ErrorClass::ProtocolAbuse,
        _ => ErrorClass::Unreachable,
    }
}

/// One line of printable text of at most `max` characters.
pub(in crate::target) fn clean(text: &str, max: usize) -> Option<String> {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(printable.take(max).collect::<String>()).filter(|t| !t.trim().is_empty())
}
