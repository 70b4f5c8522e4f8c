//! A look at the whole installation, for gauges that are right also when workers are gone: it is read from the internal
//! database by whoever lives.
//!
//! Sequencers and pollers take turns: one of them looks, stores what it saw in "CacheEntry", and all of them export
//! that. So the cost does not depend on how many there are. A look comes every 10 s, and no sooner than twenty times
//! as long after the last one as that took: at most a twentieth of a core, however many targets there are.

mod export;
mod sql;

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::db::{DbError, Internal};
use crate::outbox;
use crate::worker::Rounds;

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(5),
    at_once: true,
    stop_within: Duration::from_secs(1),
    failing: "the installation cannot be looked at, its gauges stand still",
};
/// Between two looks, of all observers together.
const EVERY: Duration = Duration::from_secs(10);
/// Looking takes at most one part of this many of the time.
const IDLE_PARTS: f64 = 20.0;
/// One observer has this long; then another may look.
const TURN: Duration = Duration::from_secs(8);

/// What was seen. Instants are seconds since 1970 by the database's clock.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observation {
    /// When.
    pub at: f64,
    /// Seconds that it took.
    #[serde(default)]
    pub took: f64,
    /// Lower bound of the commit of the oldest change that has no id; `None` = all have.
    pub unsequenced_since: Option<f64>,
    /// For each state of targets, since when the oldest change was not delivered.
    pub undelivered_since: HashMap<String, f64>,
    /// For each state of destinations of HTTP requests, since when the oldest request that is due is due.
    #[serde(default)]
    pub unsent_since: HashMap<String, f64>,
    /// Lane, state and number of the requests to sync, and of destinations with HTTP requests (lane `requests`).
    pub requests: Vec<(String, String, i64)>,
    /// For each lane, since when its oldest due request is due.
    pub due_since: HashMap<String, f64>,
    /// Wishes of applications that wait.
    pub asks: i64,
    /// Targets, by state.
    pub targets: HashMap<String, i64>,
    /// Destinations of HTTP requests, by state.
    #[serde(default)]
    pub destinations: HashMap<String, i64>,
    /// Targets that are being filled.
    pub filling: i64,
    /// Rows that targets refuse.
    pub refused_rows: i64,
    /// Tenancies that a pass could not finish.
    pub backlog: i64,
    /// Rows that refuse their id.
    pub parked: i64,
    /// Writes of tracked tables that could not be recorded.
    pub tracking_faults: u64,
    /// For each kind of worker: how many were seen in the last 30 s, and when the last was seen.
    pub workers: HashMap<String, (i64, f64)>,
    /// The operator's switches.
    pub switches: HashMap<String, bool>,
}

/// Why the installation could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The internal Postgres does not answer in time, or a privilege is missing.
    #[error(transparent)]
    Database(#[from] DbError),
    /// What it answered makes no sense.
    #[error("what was seen cannot be read: {0}")]
    Payload(#[from] serde_json::Error),
}

impl From<tokio_postgres::Error> for ObserveError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl ObserveError {
    /// Whether it is the look that fails, and not the database as a whole: a privilege is missing, or it takes too long.
    fn is_of_looking(&self) -> bool {
        match self {
            Self::Payload(_) => true,
            Self::Database(DbError::Query(error)) => error
                .code()
                .is_some_and(|state| *state == SqlState::QUERY_CANCELED || state.code().starts_with("42")),
            Self::Database(_) => false,
        }
    }
}

/// Looks, or reads what another observer saw, every few seconds, and exports it.
///
/// # Errors
/// Never; the type is what a main task wants.
pub async fn run(internal: Internal, stopping: CancellationToken) -> Result<(), std::convert::Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    while rounds.next().await {
        let round = async {
            match current(&internal).await {
                Ok(seen) => export::export(&seen),
                Err(error) if error.is_of_looking() => return Err(error),
                // A database that is away is told by the worker's own work.
                Err(error) => tracing::debug!(%error, "the installation cannot be looked at now"),
            }
            Ok::<_, ObserveError>(())
        };
        rounds.step(round).await;
    }
    Ok(())
}

/// The newest observation; a new one is made if it is due and nobody else is at it. If the future is dropped, the look
/// goes on to the end of its statement.
///
/// # Errors
/// The internal Postgres does not answer within 10 s, or a privilege is missing.
pub async fn current(internal: &Internal) -> Result<Observation, ObserveError> {
    let mut client = internal.get().await?;
    let known = sql::stored(&client).await?;
    match known {
        Some((observation, age)) if age < due_after(observation.took) => Ok(observation),
        // Nobody has looked before, or it is time to look again.
        known => {
            if outbox::take_turn(&client, "observation", TURN).await? {
                return sql::look(&mut client).await;
            }
            match known {
                Some((observation, _)) => Ok(observation),
                None => sql::look(&mut client).await,
            }
        }
    }
}

fn due_after(took: f64) -> f64 {
    EVERY.as_secs_f64().max(took * IDLE_PARTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_takes_long_comes_seldom() {
        assert!((due_after(0.01) - 10.0).abs() < 1e-9);
        assert!((due_after(2.0) - 40.0).abs() < 1e-9);
    }
}
