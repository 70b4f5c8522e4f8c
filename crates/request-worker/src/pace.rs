//! How fast a destination may be called: a rate for each, kept over its turns.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

/// Rates that are remembered; beyond it those of destinations without a turn are forgotten.
const REMEMBERED_MAX: usize = 10_000;

type Limiter = DefaultDirectRateLimiter;

/// Whether a call may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    Now,
    After(Duration),
}

/// The rate of one destination. A worker that takes it over from another begins anew: one call may come early.
#[derive(Debug, Clone)]
pub(crate) struct Pace(Option<Arc<Limiter>>);

impl Pace {
    /// Asks for leave to begin a call; leave that is given is used up.
    pub(crate) fn ask(&self) -> Leave {
        let Some(limiter) = &self.0 else { return Leave::Now };
        match limiter.check() {
            Ok(()) => Leave::Now,
            Err(not_until) => Leave::After(not_until.wait_time_from(limiter.clock().now())),
        }
    }
}

/// The rates of one worker's destinations.
#[derive(Debug, Default)]
pub(crate) struct Paces(Mutex<HashMap<Uuid, (u64, Arc<Limiter>)>>);

impl Paces {
    /// The pace of a destination; `None` = as fast as it can.
    pub(crate) fn of(&self, destination_id: Uuid, per_second: Option<f64>) -> Pace {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((rate, quota)) = per_second.and_then(|rate| Some((rate, quota(rate)?))) else {
            paces.remove(&destination_id);
            return Pace(None);
        };
        if paces.len() >= REMEMBERED_MAX {
            paces.retain(|_, (_, limiter)| Arc::strong_count(limiter) > 1);
        }
        let (known, limiter) = paces
            .entry(destination_id)
            .or_insert_with(|| (rate.to_bits(), Arc::new(RateLimiter::direct(quota))));
        if *known != rate.to_bits() {
            (*known, *limiter) = (rate.to_bits(), Arc::new(RateLimiter::direct(quota)));
        }
        Pace(Some(Arc::clone(limiter)))
    }
}

/// One call at a time, evenly spread.
fn quota(per_second: f64) -> Option<Quota> {
    let period = Duration::try_from_secs_f64(1.0 / per_second).ok()?;
    Quota::with_period(period).map(|quota| quota.allow_burst(NonZeroU32::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_turns_and_changes_with_the_setting() {
        let (paces, id) = (Paces::default(), Uuid::from_u128(1));
        assert_eq!(paces.of(id, None).ask(), Leave::Now);
        assert_eq!(paces.of(id, Some(0.01)).ask(), Leave::Now);
        let Leave::After(wait) = paces.of(id, Some(0.01)).ask() else { panic!("no second one at once") };
        assert!(wait > Duration::from_secs(90) && wait <= Duration::from_secs(100), "{wait:?}");
        assert_eq!(paces.of(id, Some(0.02)).ask(), Leave::Now, "another rate begins anew");
        assert_eq!(paces.of(Uuid::from_u128(2), Some(0.01)).ask(), Leave::Now, "another destination");
        assert_eq!(paces.of(id, None).ask(), Leave::Now);
    }
}
