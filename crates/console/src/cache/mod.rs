//! "CacheEntry": answers that are expensive to work out, kept for a while, for all consoles.
//!
//! ```text
//! fresh ─▶ served                                   expired for less than stale_max ─▶ served, and renewed behind it
//! missing ─▶ one loader (in a process: a flight, over processes: a lease in the row); everybody else waits for it
//! ```
//!
//! A loader's error goes to those who wait and is kept nowhere: the next who asks loads again.

mod flight;
mod purge;
mod sql;
mod ttl;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::worker::Repeats;
use tokio::sync::watch;
use uuid::Uuid;

pub use purge::purge;
pub(crate) use purge::run;
pub use ttl::{BadTtl, Ttl};

/// How long after its end an entry is still served while it is renewed, at most; then it is removed.
pub const STALE_MAX: Duration = Duration::from_secs(600);
/// Longest wait for an entry that somebody loads.
const WAIT_MAX: Duration = Duration::from_secs(55);

/// What an entry is called: a kind of answer, the tenancy that it belongs to, and what else was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The kind of answer; raise its number when its form changes.
    pub namespace: &'static str,
    /// Whose it is.
    pub tenancy_id: Uuid,
    /// What else the answer depends on.
    pub detail: String,
}

impl Key {
    fn text(&self) -> String {
        format!("{}/{}", self.tenancy_id, self.detail)
    }
}

/// An answer with its age.
#[derive(Debug, Clone, PartialEq)]
pub struct Cached {
    /// The answer.
    pub value: Arc<Value>,
    /// Since it was loaded.
    pub age: Duration,
    /// It has expired, and is being renewed.
    pub stale: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError<E> {
    /// The time to live cannot be used; nothing was loaded.
    #[error(transparent)]
    Ttl(#[from] BadTtl),
    /// The loader's own error.
    #[error("{0}")]
    Load(E),
    /// Somebody has been loading it for too long, or stopped in the middle.
    #[error("this is still being worked out; ask again in a moment")]
    Waited,
    /// The internal Postgres does not answer.
    #[error(transparent)]
    Database(Arc<DbError>),
}

impl<E> From<DbError> for CacheError<E> {
    fn from(error: DbError) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl<E> From<tokio_postgres::Error> for CacheError<E> {
    fn from(error: tokio_postgres::Error) -> Self {
        DbError::from(error).into()
    }
}

type Outcome<E> = Result<Cached, CacheError<E>>;
type Flights<E> = HashMap<Key, watch::Receiver<Option<Outcome<E>>>>;

/// The cache of one process; `E` is the error of its loaders. Cheap to clone.
#[derive(Debug)]
pub struct Cache<E> {
    internal: Internal,
    stale_max: Duration,
    flights: Arc<Mutex<Flights<E>>>,
    /// Answers that could not be kept.
    told: Arc<Repeats>,
}

impl<E> Clone for Cache<E> {
    fn clone(&self) -> Self {
        Self {
            internal: self.internal.clone(),
            stale_max: self.stale_max,
            flights: Arc::clone(&self.flights),
            told: Arc::clone(&self.told),
        }
    }
}

impl<E: Clone + Debug + Send + Sync + 'static> Cache<E> {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(internal: Internal) -> Self {
        let told = Arc::new(Repeats::new(Duration::from_secs(600), 10));
        Self { internal, stale_max: STALE_MAX, flights: Arc::default(), told }
    }

    /// Serves entries for `stale_max` after their end, up to [`STALE_MAX`].
    #[must_use]
    pub fn with_stale(self, stale_max: Duration) -> Self {
        Self { stale_max: stale_max.min(STALE_MAX), ..self }
    }

    /// The entry `key`; `load` works it out if it is missing or has expired, and what it says is kept for `ttl`. A loader that
    /// runs goes on to its end also if this is cancelled.
    ///
    /// # Errors
    /// `ttl` cannot be used (before anything is loaded), the loader's error, or that of the database.
    pub async fn get_or_load<F, L>(&self, key: Key, ttl: Duration, load: F) -> Result<Cached, CacheError<E>>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<Value, E>> + Send + 'static,
    {
        let ttl = Ttl::new(ttl)?;
        let found = sql::read(&self.internal.get().await?, &key, self.stale_max).await?;
        if let Some(cached) = found {
            if cached.stale {
                drop(self.flight(key, ttl, load));
            }
            return Ok(cached);
        }
        let mut landed = self.flight(key, ttl, load);
        let outcome = tokio::time::timeout(WAIT_MAX, landed.wait_for(Option::is_some)).await;
        match outcome {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(CacheError::Waited)),
            // The loader panicked, or the process stops.
            Ok(Err(_)) | Err(_) => Err(CacheError::Waited),
        }
    }

    /// The flight that is under way for `key`, or a new one.
    fn flight<F, L>(&self, key: Key, ttl: Ttl, load: F) -> watch::Receiver<Option<Outcome<E>>>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<Value, E>> + Send + 'static,
    {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = flights.get(&key) {
            return under_way.clone();
        }
        let (land, landed) = watch::channel(None);
        flights.insert(key.clone(), landed.clone());
        let cleared = Cleared { flights: Arc::clone(&self.flights), key: key.clone() };
        let (internal, stale_max, told) = (self.internal.clone(), self.stale_max, Arc::clone(&self.told));
        tokio::spawn(async move {
            let outcome = flight::fly((&internal, &told), &key, (ttl, stale_max), load).await;
            // First out of the table, so that whoever comes after the outcome begins anew.
            drop(cleared);
            let _ = land.send(Some(outcome));
        });
        landed
    }
}

/// Takes a flight out of the table however it ends.
struct Cleared<E> {
    flights: Arc<Mutex<Flights<E>>>,
    key: Key,
}

impl<E> Drop for Cleared<E> {
    fn drop(&mut self) {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
