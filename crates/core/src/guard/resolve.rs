//! Names to addresses: once, bounded in time, in number and in how many wait at once.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The system's resolver blocks a thread for each name, also after we stopped waiting.
const LOOKUPS_AT_ONCE: usize = 64;
/// This many different names in a row that do not resolve are the resolver's fault, not theirs.
const NAMES_FOR_AN_OUTAGE: usize = 3;

/// Why a name gave no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The resolver says so, or gives no answer for this name.
    #[error("the name has no address")]
    NotFound,
    /// Nothing resolves at the moment.
    #[error("name resolution does not work at the moment")]
    Ours,
}

/// Asks the system, for one road out of the house.
#[derive(Debug)]
pub struct Resolver {
    permits: Arc<Semaphore>,
    health: Mutex<Health>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)), health: Mutex::default() }
    }
}

impl Resolver {
    /// All addresses of a name, each once. Cancelling leaves the lookup to end by itself.
    ///
    /// # Errors
    /// There is none, or no answer within `limit`.
    pub async fn addresses(&self, name: &str, limit: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        let Ok(Ok(permit)) = timeout(limit, Arc::clone(&self.permits).acquire_owned()).await else {
            return Err(ResolveError::Ours);
        };
        let asked = (name.to_owned(), 0);
        // The permit goes with the lookup, which nobody can cancel, and not with our patience.
        let lookup = tokio::spawn(async move {
            let _permit = permit;
            tokio::net::lookup_host(asked).await.map(|found| found.map(|a| a.ip()).collect::<Vec<_>>())
        });
        let found = match timeout(limit, lookup).await {
            Ok(Ok(Ok(found))) => unique(found),
            _ => Vec::new(),
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if !found.is_empty() {
            health.resolved();
            return Ok(found);
        }
        Err(health.failed(name))
    }
}

fn unique(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    addresses
}

/// Which names failed since one resolved. A broken resolver and a wrong name look alike from here.
#[derive(Debug, Default)]
struct Health {
    failed: HashSet<String>,
}

impl Health {
    fn resolved(&mut self) {
        self.failed.clear();
    }

    fn failed(&mut self, name: &str) -> ResolveError {
        if self.failed.len() < NAMES_FOR_AN_OUTAGE {
            self.failed.insert(name.to_owned());
        }
        if self.failed.len() < NAMES_FOR_AN_OUTAGE { ResolveError::NotFound } else { ResolveError::Ours }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_name_is_its_own_fault_and_many_are_ours() {
        let mut health = Health::default();
        for _ in 0..10 {
            assert_eq!(health.failed("a"), ResolveError::NotFound);
        }
        assert_eq!(health.failed("b"), ResolveError::NotFound);
        assert_eq!(health.failed("c"), ResolveError::Ours);
        assert_eq!(health.failed("a"), ResolveError::Ours);
        health.resolved();
        assert_eq!(health.failed("a"), ResolveError::NotFound);
    }

    #[tokio::test]
    async fn names_give_each_address_once() {
        let resolver = Resolver::default();
        let limit = Duration::from_secs(10);
        let local = resolver.addresses("localhost", limit).await.unwrap();
        assert!(!local.is_empty() && local.iter().all(IpAddr::is_loopback));
        assert_eq!(unique([local.clone(), local.clone()].concat()), local);
        let missing = resolver.addresses("no-such-host.invalid", limit).await;
        assert_eq!(missing, Err(ResolveError::NotFound));
    }
}
