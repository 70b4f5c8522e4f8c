//! Who was active when: brings "UserActivity" and the days up to date with what the application has committed.
//!
//! The application's transactions only say whose rows they change ("UserFeed"). A console folds what has become visible, in batches, under a lock
//! that all consoles share: once a second, and before it answers a question that depends on it.

mod sql;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox;
use tenant_sync_core::worker::Rounds;
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::state::Console;

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(1),
    at_once: true,
    stop_within: Duration::from_secs(2),
    failing: "folding activity fails, trying again",
};
/// Longest part of a round that is spent with folding; what is left is for the next.
const ROUND_MAX: Duration = Duration::from_secs(10);
/// One console in this time looks for what can go.
const PURGE_EVERY: Duration = Duration::from_secs(10);
const PURGE_ROWS: i32 = 1_000;

/// How far activity is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caught {
    /// Everything that was committed before the call is in.
    Up,
    /// There was more than could be folded in the time given.
    Behind,
}

/// Folds for one process: whoever asks while a fold is under way waits for the one after it.
#[derive(Debug)]
pub struct Activity {
    internal: Internal,
    /// When the last fold that came to its end began.
    last: Mutex<Option<Instant>>,
}

impl Activity {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(internal: Internal) -> Self {
        Self { internal, last: Mutex::default() }
    }

    /// Folds until nothing is left, or for about `patience`. What was folded stays so if this is cancelled.
    ///
    /// # Errors
    /// The internal Postgres does not answer.
    pub async fn catch_up(&self, patience: Duration) -> Result<Caught, DbError> {
        let asked = Instant::now();
        let Ok(mut last) = tokio::time::timeout(patience, self.last.lock()).await else {
            return Ok(Caught::Behind);
        };
        if last.is_some_and(|began| began >= asked) {
            return Ok(Caught::Up);
        }
        let began = Instant::now();
        let client = self.internal.get().await?;
        if sql::is_anything_left(&client).await? {
            while fold(&client).await? {
                if asked.elapsed() >= patience {
                    return Ok(Caught::Behind);
                }
            }
        }
        *last = Some(began);
        Ok(Caught::Up)
    }
}

/// A batch of the feed; `true` = there may be more.
async fn trim(client: &deadpool_postgres::Object) -> Result<bool, DbError> {
    match sql::trim(client).await {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(false),
        trimmed => Ok(trimmed?),
    }
}

/// One batch of each source; `true` = there is more. Another console that is folding meanwhile counts as more.
async fn fold(client: &deadpool_postgres::Object) -> Result<bool, DbError> {
    let folded = async {
        let users = sql::fold_users(client).await?;
        Ok::<_, tokio_postgres::Error>(sql::fold_events(client).await? || users)
    };
    match folded.await {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(true),
        folded => Ok(folded?),
    }
}

/// Folds once a second until asked to stop, so that questions find little to do.
pub(crate) async fn run(console: Console, stopping: CancellationToken) -> Result<(), Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    while rounds.next().await {
        rounds.step(round(&console)).await;
    }
    Ok(())
}

async fn round(console: &Console) -> Result<(), DbError> {
    console.activity.catch_up(ROUND_MAX).await?;
    let client = console.internal.get().await?;
    if outbox::take_turn(&client, "activity purge", PURGE_EVERY).await? {
        let began = Instant::now();
        while trim(&client).await? && began.elapsed() < ROUND_MAX {}
        sql::purge(&client, PURGE_ROWS).await?;
    }
    Ok(())
}
