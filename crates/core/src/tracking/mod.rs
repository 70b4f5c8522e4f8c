//! Tables of the operator's own: tracking them, ending it, and what there is to say about them.
//!
//! The work is done by `track_table` and `untrack_table` in the database. Here it is made fit for a live table:
//! no lock is waited for longer than [`Limits::lock_timeout`], indexes are built and dropped concurrently, and
//! whatever a crash leaves behind is found by the next attempt.

mod index;
mod keys;
mod list;
mod near;
mod session;
mod track;
mod untrack;

use std::time::Duration;

pub use keys::{Stranger, strangers};
pub use list::{Firing, Line, list};
pub(crate) use near::missing;
pub(crate) use session::Session;
pub(crate) use track::find;
pub use track::{Request, Tracked, track};
pub use untrack::{Untracked, untrack};

use crate::db::{DbError, describe};

/// How patient an attempt is.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest that the application's writes can queue behind us.
    pub lock_timeout: Duration,
    /// The longest that one attempt may take in all, when a table has many partitions.
    pub attempt_timeout: Duration,
    /// How often the locks are tried for.
    pub attempts: u32,
    /// Pause after the first attempt; doubles up to [`Limits::backoff_max`].
    pub backoff_min: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(2),
            attempt_timeout: Duration::from_secs(6),
            attempts: 10,
            backoff_min: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
        }
    }
}

/// Gets a line whenever there is something to wait for.
pub trait Observer: Send {
    /// What is waited for, and for whom.
    fn waiting(&mut self, line: &str);
}

/// Why a table is not tracked, or still is.
#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    /// The internal Postgres could not be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A statement failed.
    #[error("internal Postgres: {}", describe(.0))]
    Query(#[from] tokio_postgres::Error),
    /// What was typed is no table's name.
    #[error("{0:?} is not a table's name: write SCHEMA.TABLE, such as public.invoices")]
    Name(String),
    /// There is no such table. Says what may have been meant.
    #[error("there is no table {0}")]
    Unknown(String),
    /// It is not tracked.
    #[error("{0} is not tracked; `table list` shows what is")]
    NotTracked(String),
    /// The table, or the role, is not fit for it. Says what to do.
    #[error("{0}")]
    Refused(String),
    /// Somebody held locks on the table all the time.
    #[error(
        "{table} was locked by others in {attempts} attempts ({by}); nothing is half done, run it again when they are through"
    )]
    Busy {
        /// The table.
        table: String,
        /// How often it was tried.
        attempts: u32,
        /// Who held it.
        by: String,
    },
    /// Another `table track` or `table untrack` works on it.
    #[error("another session is tracking or untracking {0} at this moment")]
    AtWork(String),
    /// First copies need an index that this role may not make.
    #[error(
        "{table} is tracked, but first copies need an index that only its owner may make: let {owner} run\n  {statement};\nand run this again"
    )]
    NeedsIndex {
        /// The table.
        table: String,
        /// Who may.
        owner: String,
        /// What makes it.
        statement: String,
    },
}
