//! What an error of a target means: one table from class to sentence, advice and policy.
//!
//! Of a server's error only SQLSTATE and the names of things are kept. Its message, detail, hint and
//! context carry the customer's values, and are never stored, logged or shown.

mod fault;
mod sqlstate;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

pub use fault::TargetFault;
pub(in crate::target) use fault::clean;
pub use sqlstate::class_of_sqlstate;

/// What went wrong, as far as it changes what is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorClass {
    /// No connection, or it was lost.
    Unreachable,
    /// The host's name has no address.
    NameNotFound,
    /// The host's address may not be dialled.
    AddressRefused,
    /// No encryption as it is required.
    TlsFailed,
    /// The login was refused.
    PasswordRefused,
    /// There is no such database.
    DatabaseMissing,
    /// The role may not do what has to be done.
    PermissionDenied,
    /// The server has no session left.
    TooManyConnections,
    /// A standby, or a database set to read only.
    ReadOnly,
    /// The server starts or stops.
    ShuttingDown,
    /// A lock was held by somebody else for too long.
    LockTimeout,
    /// A statement took too long.
    StatementTimeout,
    /// Serialization failure or deadlock.
    Conflict,
    /// No disk space or memory left.
    DiskFull,
    /// The database does not take this row.
    RowRefused,
    /// What we created there is not as we left it.
    SchemaChanged,
    /// The session lost what we had prepared in it.
    SessionStale,
    /// The schema belongs to another tenancy, target or deployment.
    OwnedByAnother,
    /// A table with one of our names that we did not create.
    ForeignTable,
    /// The mapping changed, and the table cannot follow.
    MappingConflict,
    /// The server is too old for a type of a mapping.
    TypeMissing,
    /// Not a PostgreSQL that we can write to.
    UnsupportedVersion,
    /// The server does what no honest server does.
    ProtocolAbuse,
    /// The stored settings of the target cannot be used.
    Configuration,
    /// A fault of this installation.
    Ours,
    /// Anything else.
    Unknown,
}

/// Who has to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Whoever owns the target.
    Customer,
    /// Whoever runs this installation.
    Operator,
    /// Nobody: it passes.
    Nobody,
}

/// What an error does to the target's circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Nothing.
    Untouched,
    /// It counts; `sync.breaker_failures` of them open it.
    Counts,
    /// It opens at once.
    Opens,
    /// The target is refused until somebody changes something; it is still looked at now and then.
    Refuses,
}

/// What is done after an error. Every class is tried again some day: what a customer repairs heals
/// without a manual step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Who has to do something.
    pub fault: Fault,
    /// What happens to the breaker.
    pub breaker: Breaker,
    /// The next attempt comes no earlier; back-off may make it later.
    pub min_wait: Duration,
    /// Whether the rows at hand may be the cause: they are halved, and the refused one is quarantined.
    pub quarantines: bool,
}

impl Policy {
    /// Whether the failure counts as an attempt of the target.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.breaker != Breaker::Untouched
    }
}

struct Entry {
    code: &'static str,
    sentence: &'static str,
    advice: &'static str,
    policy: Policy,
}

impl ErrorClass {
    /// All classes.
    pub const ALL: [Self; 26] = [
        Self::Unreachable,
        Self::NameNotFound,
        Self::AddressRefused,
        Self::TlsFailed,
        Self::PasswordRefused,
        Self::DatabaseMissing,
        Self::PermissionDenied,
        Self::TooManyConnections,
        Self::ReadOnly,
        Self::ShuttingDown,
        Self::LockTimeout,
        Self::StatementTimeout,
        Self::Conflict,
        Self::DiskFull,
        Self::RowRefused,
        Self::SchemaChanged,
        Self::SessionStale,
        Self::OwnedByAnother,
        Self::ForeignTable,
        Self::MappingConflict,
        Self::TypeMissing,
        Self::UnsupportedVersion,
        Self::ProtocolAbuse,
        Self::Configuration,
        Self::Ours,
        Self::Unknown,
    ];

    /// The name under which it is stored, logged and counted.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.entry().code
    }

    /// Reads what [`ErrorClass::code`] wrote.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    /// What happened, in one sentence of ours.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        self.entry().sentence
    }

    /// What to do, in words that can be sent to the customer.
    #[must_use]
    pub fn advice(self) -> &'static str {
        self.entry().advice
    }

    /// What is done about it.
    #[must_use]
    pub fn policy(self) -> Policy {
        self.entry().policy
    }

    #[expect(clippy::too_many_lines, reason = "this is the table")]
    const fn entry(self) -> Entry {
        use Breaker::{Counts, Opens, Refuses, Untouched};
        use Fault::{Customer, Nobody, Operator};
        match self {
            Self::Unreachable => row(
                "unreachable",
                "The database server cannot be reached.",
                "Check that the server runs, that host and port are right, and that its firewall lets our addresses in.",
                (Customer, Counts, 0),
            ),
            Self::NameNotFound => row(
                "nameNotFound",
                "The name of the database server has no address.",
                "Check the host name in the connection string.",
                (Customer, Counts, 30),
            ),
            Self::AddressRefused => row(
                "addressRefused",
                "The database server's address is not a public one, and such addresses are not dialled.",
                "Use the public name of the server. Addresses inside a private network can be allowed by whoever runs \
                 the synchronisation (network.allow_cidrs).",
                (Customer, Refuses, 600),
            ),
            Self::TlsFailed => row(
                "tlsFailed",
                "No encrypted connection to the database server could be made.",
                "Switch TLS on at the server and give it a valid certificate for its name, or give us the root \
                 certificate that signed it.",
                (Customer, Counts, 60),
            ),
            Self::PasswordRefused => row(
                "passwordRefused",
                "The database server refused the login.",
                "Check user and password in the connection string, and that the server's access rules \
                 (pg_hba.conf, IP allow list) admit this user.",
                (Customer, Opens, 300),
            ),
            Self::DatabaseMissing => row(
                "databaseMissing",
                "The database in the connection string does not exist.",
                "Create the database, or correct its name in the connection string.",
                (Customer, Counts, 60),
            ),
            Self::PermissionDenied => row(
                "permissionDenied",
                "The role lacks a privilege that the synchronisation needs.",
                "Run the statements that `target sql` prints as an administrator of the database.",
                (Customer, Counts, 30),
            ),
            Self::TooManyConnections => row(
                "tooManyConnections",
                "The database server has no session left for us.",
                "Raise the connection limit of the server or the role, or close sessions that are not needed.",
                (Customer, Counts, 5),
            ),
            Self::ReadOnly => row(
                "readOnly",
                "The database accepts no writes.",
                "Give the address of the primary server, or switch the read-only mode off (a full disk can cause it).",
                (Customer, Counts, 5),
            ),
            Self::ShuttingDown => row(
                "shuttingDown",
                "The database server is starting or stopping.",
                "Nothing needs to be done if this passes.",
                (Nobody, Counts, 1),
            ),
            Self::LockTimeout => row(
                "lockTimeout",
                "A table of the synchronisation was locked by somebody else for too long.",
                "Look for long transactions in the database and end them.",
                (Customer, Counts, 1),
            ),
            Self::StatementTimeout => row(
                "statementTimeout",
                "The database took too long.",
                "Check the load of the server, and triggers or indexes that were added to the synchronised tables.",
                (Customer, Counts, 1),
            ),
            Self::Conflict => row(
                "conflict",
                "Another transaction in the database was in the way.",
                "Nothing needs to be done if this passes.",
                (Nobody, Counts, 0),
            ),
            Self::DiskFull => row(
                "diskFull",
                "The database server has no disk space or memory left.",
                "Give the server more disk space or memory.",
                (Customer, Counts, 60),
            ),
            Self::RowRefused => Entry {
                policy: Policy { quarantines: true, ..policy((Customer, Counts, 0)) },
                ..row(
                    "rowRefused",
                    "The database refuses a row.",
                    "Check the constraints, triggers and column types that were added to the synchronised table.",
                    (Customer, Counts, 0),
                )
            },
            Self::SchemaChanged => row(
                "schemaChanged",
                "The synchronised schema is not as it was created.",
                "Do not drop or change tables, columns and keys of the synchronised schema; they are created again if \
                 possible.",
                (Customer, Counts, 0),
            ),
            Self::SessionStale => row(
                "sessionStale",
                "The session in the database lost its state.",
                "Nothing needs to be done: a new session is opened.",
                (Nobody, Counts, 0),
            ),
            Self::OwnedByAnother => row(
                "ownedByAnother",
                "The schema already belongs to another tenancy, target or deployment.",
                "Choose another schema for this target, or remove the one that owns it.",
                (Customer, Refuses, 600),
            ),
            Self::ForeignTable => row(
                "foreignTable",
                "The schema contains a table with one of our names that we did not create.",
                "Choose another schema for this target, or rename the table.",
                (Customer, Refuses, 600),
            ),
            Self::MappingConflict => row(
                "mappingConflict",
                "A mapping changed in a way that the table in the database cannot follow.",
                "Nothing needs to be done by readers: the table stays as it is. Whoever runs the synchronisation gives \
                 the column a new name in the mapping, or the column is changed in the database.",
                (Operator, Refuses, 300),
            ),
            Self::TypeMissing => row(
                "typeMissing",
                "The server does not know a type that a table of the synchronisation has.",
                "Use a newer PostgreSQL (`target check` names the columns). Or whoever runs the synchronisation gives \
                 this target other mappings, or makes the column text.",
                (Customer, Refuses, 600),
            ),
            Self::UnsupportedVersion => row(
                "unsupportedVersion",
                "The server is not a PostgreSQL of version 13 to 18.",
                "Use PostgreSQL 13 to 18.",
                (Customer, Refuses, 600),
            ),
            Self::ProtocolAbuse => row(
                "protocolAbuse",
                "The server sent something that no PostgreSQL server sends.",
                "Check that host and port are those of a PostgreSQL server.",
                (Customer, Opens, 600),
            ),
            Self::Configuration => row(
                "configuration",
                "The stored settings of the target cannot be used.",
                "Give the connection string and the root certificate again (`target update`).",
                (Customer, Refuses, 600),
            ),
            Self::Ours => row(
                "ours",
                "The synchronisation could not work for a reason of its own.",
                "Nothing needs to be done on the side of the database.",
                (Operator, Untouched, 5),
            ),
            Self::Unknown => row(
                "unknown",
                "The database reported an error that is not known here.",
                "Look for the error in the log of the database server.",
                (Customer, Counts, 0),
            ),
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

const fn row(
    code: &'static str,
    sentence: &'static str,
    advice: &'static str,
    what: (Fault, Breaker, u64),
) -> Entry {
    Entry { code, sentence, advice, policy: policy(what) }
}

const fn policy((fault, breaker, min_wait_seconds): (Fault, Breaker, u64)) -> Policy {
    Policy { fault, breaker, min_wait: Duration::from_secs(min_wait_seconds), quarantines: false }
}
