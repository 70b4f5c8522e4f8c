//! Auto-migrations: plain SQL files, applied in order, safe with many migrators at once.
//!
//! A migrator works in one session. That session takes an advisory lock by asking again and again, reads
//! what is recorded, and applies what is missing. A migration is one transaction with its record, unless
//! its leading comments say otherwise:
//!
//! ```sql
//! -- tenant-sync: no-transaction      each statement by itself, for CREATE INDEX CONCURRENTLY
//! -- tenant-sync: repeat-until-done   each statement again and again, each time in a transaction,
//! --                                  until it touches no row
//! -- tenant-sync: breaking            an older version must not run on a schema that has it
//! ```
//!
//! Several directives of a line are separated by commas. Statements outside a transaction should be safe
//! to run twice: a crash between a statement and its record repeats it (an index is recognised).

mod apply;
mod create;
mod error;
mod file;
mod foreign;
mod index;
mod lexer;
mod list;
mod live;
mod migrator;
mod objects;
mod record;
mod reset;
mod session;
mod statement;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use create::create_database;
pub use error::MigrateError;
pub use file::{FileProblem, Migration, Mode};
pub use list::Migrations;
pub use migrator::Migrator;
pub use objects::{Object, Space};
pub use reset::Survey;
pub use statement::Statement;
pub use status::{Entry, State, Status};

use crate::config::Config;

/// What a check or a run found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that this version knows is applied.
    UpToDate {
        /// Applied by a newer version, and not breaking.
        newer: Vec<String>,
    },
    /// These were applied now, in this order.
    Applied {
        /// Their names.
        names: Vec<String>,
    },
    /// The observer stopped the run.
    Stopped {
        /// What was applied before.
        applied: Vec<String>,
        /// What is still missing.
        missing: Vec<String>,
    },
}

/// What an observer wants to happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Apply it.
    Apply,
    /// Apply neither it nor what follows.
    Stop,
}

/// Hears what a migrator does. `()` lets everything happen.
pub trait Observer: Send {
    /// Before a migration; the lock is held meanwhile.
    fn before(&mut self, _migration: &Migration) -> Decision {
        Decision::Apply
    }

    /// After a migration.
    fn applied(&mut self, _migration: &Migration) {}

    /// Once, when another migrator holds the lock.
    fn waiting(&mut self, _holder: &str) {}
}

impl Observer for () {}

/// How long a migrator waits for what, and how often it tries.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest wait for locks of one attempt; nobody queues behind us for longer.
    pub lock_timeout: Duration,
    /// Attempts at one transaction, or at one statement outside a transaction.
    pub attempts: u32,
    /// Pause before the second attempt, doubled each time, with jitter.
    pub backoff_min: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Longest wait for another migrator.
    pub wait: Duration,
    /// How often to ask whether that one is done.
    pub poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(2),
            attempts: 30,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            wait: Duration::from_secs(600),
            poll: Duration::from_millis(200),
        }
    }
}

/// What a worker does before it starts: with `database.auto_migrate` it applies what is missing, else it
/// refuses a schema that is too old. Costs one query when nothing is needed.
///
/// # Errors
/// The schema is not fit for this version, or could not be made so. [`MigrateError::is_transient`] says
/// whether trying again may help.
pub async fn ensure(config: &Config) -> Result<Outcome, MigrateError> {
    let migrator = Migrator::new(config)?;
    if config.database.auto_migrate { migrator.run(&mut ()).await } else { migrator.check().await }
}
