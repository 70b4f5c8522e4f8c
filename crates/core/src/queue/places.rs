//! How live and bulk jobs share the places of one worker.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::names::Queue;

/// The places of one worker: `concurrency` in all, at most half of them for bulk, so that a one-row change
/// never waits until backfills have had their turns. A worker with one place gives it to either, live first.
///
/// They outlive a connection: jobs that still run keep theirs while the worker connects again.
#[derive(Debug, Clone)]
pub struct Places {
    all: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    concurrency: u16,
}

/// A place that is held by one job. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    _any: OwnedSemaphorePermit,
    _bulk: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// `concurrency` places; zero counts as one.
    #[must_use]
    pub fn new(concurrency: u16) -> Self {
        let concurrency = concurrency.max(1);
        let all = Arc::new(Semaphore::new(usize::from(concurrency)));
        Self { all, bulk: Arc::new(Semaphore::new(usize::from(bulk_places(concurrency)))), concurrency }
    }

    /// How many messages of a queue the broker may hand to this worker before it acknowledges one.
    pub(super) fn prefetch(&self, queue: Queue) -> u16 {
        match queue {
            Queue::Bulk => bulk_places(self.concurrency),
            Queue::Live | Queue::Requests | Queue::Dead => self.concurrency,
        }
    }

    /// A place for whatever comes. Pending while all are taken; cancelling gives nothing away.
    pub(super) async fn any(&self) -> OwnedSemaphorePermit {
        acquire(&self.all).await
    }

    /// Leave to fill that place with a bulk job.
    pub(super) async fn for_bulk(&self) -> OwnedSemaphorePermit {
        acquire(&self.bulk).await
    }

    /// How many are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        usize::from(self.concurrency).saturating_sub(self.all.available_permits())
    }

    /// Whether whatever comes next has to wait.
    #[must_use]
    pub fn are_taken(&self) -> bool {
        self.all.available_permits() == 0
    }

    /// Sets the gauge of places.
    pub fn export(&self) {
        let taken = u16::try_from(self.taken()).unwrap_or(u16::MAX);
        metrics::gauge!("tenant_sync_places", "state" => "taken").set(f64::from(taken));
        metrics::gauge!("tenant_sync_places", "state" => "free")
            .set(f64::from(self.concurrency.saturating_sub(taken)));
    }
}

impl Place {
    pub(super) fn new(any: OwnedSemaphorePermit, bulk: Option<OwnedSemaphorePermit>) -> Self {
        Self { _any: any, _bulk: bulk }
    }
}

fn bulk_places(concurrency: u16) -> u16 {
    (concurrency / 2).max(1)
}

async fn acquire(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(places).acquire_owned().await {
        Ok(permit) => permit,
        // A semaphore that nobody closes is never closed.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bulk_never_fills_a_worker_of_two_places_or_more(concurrency: u16) {
            let bulk = bulk_places(concurrency.max(1));
            prop_assert!(bulk >= 1 && (concurrency < 2 || bulk < concurrency));
        }
    }

    #[tokio::test]
    async fn a_live_job_finds_a_place_beside_all_bulk_jobs() {
        let places = Places::new(4);
        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(Place::new(places.any().await, Some(places.for_bulk().await)));
        }
        assert!(places.for_bulk().now_or_never().is_none(), "no third bulk job");
        let live = Place::new(places.any().await, None);
        assert_eq!(places.taken(), 3);
        drop((live, held));
        assert_eq!(places.taken(), 0);
        assert!(places.for_bulk().now_or_never().is_some());
    }
}
