//! What can go wrong, and what the operator does about it.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::file::FileProblem;
use crate::db::DbError;

/// Why migrations were not checked, applied or taken back.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The internal Postgres cannot be reached or refused a statement of the runner itself.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The internal server is too old.
    #[error(
        "the internal database is on PostgreSQL {major}; tenant-sync needs version {oldest} or later there"
    )]
    OldServer {
        /// Its major version.
        major: u32,
        /// The oldest that will do.
        oldest: u32,
    },
    /// A migration file has a mistake in it. Nothing was applied.
    #[error("migration {name}: {problem}")]
    File {
        /// `set/file`
        name: String,
        /// The mistake.
        problem: FileProblem,
    },
    /// A file differs from what was applied under its name.
    #[error(
        "already applied and changed since: {}. An applied migration stays as it is; put the change into a new one",
        names.join(", ")
    )]
    Changed {
        /// Their names.
        names: Vec<String>,
    },
    /// A missing migration is older than an applied one of its set.
    #[error("{name} is missing, but the later {after} is already applied; give it the next free number")]
    OutOfOrder {
        /// The one that came too late.
        name: String,
        /// The last applied one of its set.
        after: String,
    },
    /// Migrations are missing, and this program may not apply them.
    #[error("the schema is too old for this version; missing: {}. Run `tenant-sync db migrate`", names.join(", "))]
    Missing {
        /// Their names, in order.
        names: Vec<String>,
    },
    /// A newer version made the schema unfit for this one.
    #[error("the schema is too new for this version: {} is marked as breaking. Run a newer version", names.join(", "))]
    Breaking {
        /// Their names.
        names: Vec<String>,
    },
    /// Migrations that this version does not know are applied, so it cannot tell what is ours.
    #[error("this version does not know {}; use the version that applied it", names.join(", "))]
    Unknown {
        /// Their names.
        names: Vec<String>,
    },
    /// Names of ours are taken by something that we did not create.
    #[error(
        "in schema {schema:?} there is already something that tenant-sync did not create: {}. Rename it, or set \
         database.schema to a schema of its own",
        names.join(", ")
    )]
    Foreign {
        /// The schema.
        schema: String,
        /// What is in the way.
        names: Vec<String>,
    },
    /// Another migrator was at work for the whole of the wait.
    #[error("another migrator is still at work after {}: {holder}", humantime::format_duration(*waited))]
    Locked {
        /// How long.
        waited: Duration,
        /// Who.
        holder: String,
    },
    /// A lock was not to be had in any of the attempts.
    #[error(
        "{name} line {line}: no lock within {attempts} attempts, the table is in use: {reason}. Nothing of this transaction was applied; run it again when it is quieter"
    )]
    Busy {
        /// The migration.
        name: String,
        /// The statement that waited.
        line: usize,
        /// How often it was tried.
        attempts: u32,
        /// The server's words.
        reason: String,
    },
    /// A statement of a migration failed.
    #[error("{name} line {line}: {reason}{}", hint(.partly))]
    Statement {
        /// The migration.
        name: String,
        /// The line of the file.
        line: usize,
        /// The server's words and SQLSTATE.
        reason: String,
        /// Whether earlier statements of the file stay done because they run outside a transaction.
        partly: bool,
    },
    /// The session that holds the lock is gone, and with it the lock.
    #[error(
        "the session to the internal Postgres ended during {during}; run it again, it goes on where it stopped"
    )]
    SessionLost {
        /// What was being done.
        during: String,
    },
    /// Something that is not ours depends on what a reset would drop.
    #[error("cannot drop {object}: {reason}. Nothing was dropped")]
    Depended {
        /// What should go.
        object: String,
        /// What holds it.
        reason: String,
    },
    /// A reset of an installation that has targets, without saying of which.
    #[error("{targets} targets exist; name the database ({database}) to say that this one is meant")]
    TargetsExist {
        /// How many.
        targets: i64,
        /// Its name.
        database: String,
    },
}

fn hint(partly: &bool) -> &'static str {
    if *partly { ". What ran before it stays done; correct the file and run it again" } else { "" }
}

impl MigrateError {
    /// Whether trying again later may help without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(DbError::Connect(_)) | Self::SessionLost { .. } | Self::Locked { .. } => true,
            Self::Database(DbError::Query(error)) => error.as_db_error().is_none_or(|e| {
                is_shutdown(e.code())
                    || [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS].contains(e.code())
            }),
            _ => false,
        }
    }
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Whether the server ended the session, or it broke.
pub(super) fn ends_session(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || error.code().map_or(error.as_db_error().is_none(), is_shutdown)
}

/// Whether waiting a little and trying again is the answer.
pub(super) fn is_lock_conflict(error: &tokio_postgres::Error) -> bool {
    let conflicts =
        [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    error.code().is_some_and(|code| conflicts.contains(code))
}

fn is_shutdown(code: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::CONNECTION_FAILURE,
        SqlState::CONNECTION_EXCEPTION,
    ]
    .contains(code)
}

/// Message and SQLSTATE. The detail is left out: it can carry values of rows.
pub(super) fn reason(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |e| format!("{} ({})", e.message(), e.code().code()))
}
