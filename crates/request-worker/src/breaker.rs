//! The circuit breaker of one destination. Pure; its numbers are kept in the destination's row, shared by all workers.

use std::time::Duration;

use tenant_sync_core::config::Requests;
use tenant_sync_core::http::outcome::{Action, Class};
use tenant_sync_core::worker::backoff::full_jitter;

/// Closed, until so many failures in a row are known that it opens; then one probe after each wait, until one of
/// them finds the destination well.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    failures: i32,
    samples: i32,
    probing: bool,
}

impl Breaker {
    /// As the destination's row says, at the beginning of a turn.
    pub(crate) fn new(failures: i32, requests: &Requests) -> Self {
        let (failures, samples) = (failures.max(0), requests.breaker_samples);
        Self { failures, samples, probing: failures >= samples }
    }

    /// Whether only one request may be under way.
    pub(crate) fn probing(&self) -> bool {
        self.probing
    }

    /// Whether nothing more may be sent in this turn.
    pub(crate) fn is_open(&self) -> bool {
        self.failures >= self.samples && !self.probing
    }

    pub(crate) fn failures(&self) -> i32 {
        self.failures
    }

    /// Takes in what an attempt came to. What was under way together when the breaker opened opens it once.
    pub(crate) fn record(&mut self, class: Class) {
        let policy = class.policy();
        if policy.opens_breaker {
            if !self.is_open() {
                self.failures = self.failures.saturating_add(1);
            }
            self.probing = false;
        } else if !matches!(policy.action, Action::Hold | Action::GiveBack) {
            (self.failures, self.probing) = (0, false);
        }
    }

    /// How long an open breaker keeps everything back: at least half of a wait that doubles with each probe.
    pub(crate) fn wait(&self, requests: &Requests, random: f64) -> Duration {
        let probes = u32::try_from(self.failures.saturating_sub(self.samples)).unwrap_or(0);
        let ceiling = full_jitter(requests.breaker_base, requests.breaker_max, probes, 1.0);
        ceiling.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tenant_sync_core::config::Config;

    use super::*;

    fn requests() -> Requests {
        let url = ("TENANT_SYNC_DATABASE__URL".to_owned(), "postgres://h/d".to_owned());
        Config::from_sources(None, [url]).expect("defaults").requests
    }

    #[test]
    fn it_opens_after_enough_samples_and_once_for_all_that_was_under_way() {
        let requests = requests();
        let mut breaker = Breaker::new(0, &requests);
        for _ in 0..4 {
            breaker.record(Class::TimedOut);
        }
        assert!(!breaker.is_open());
        for _ in 0..20 {
            breaker.record(Class::ServerError);
        }
        assert!(breaker.is_open());
        assert_eq!(breaker.failures(), requests.breaker_samples);
        let wait = breaker.wait(&requests, 1.0);
        assert_eq!(wait, requests.breaker_base);
    }

    #[test]
    fn a_probe_that_fails_doubles_the_wait_and_one_that_succeeds_closes() {
        let requests = requests();
        let mut breaker = Breaker::new(5, &requests);
        assert!(breaker.probing() && !breaker.is_open());
        breaker.record(Class::Broken);
        assert!(breaker.is_open());
        assert_eq!(breaker.wait(&requests, 1.0), requests.breaker_base * 2);
        let mut breaker = Breaker::new(breaker.failures(), &requests);
        breaker.record(Class::Delivered);
        assert!(!breaker.probing() && !breaker.is_open());
        assert_eq!(breaker.failures(), 0);
    }

    #[test]
    fn whoever_answers_quickly_is_not_kept_waiting() {
        let mut breaker = Breaker::new(4, &requests());
        breaker.record(Class::Refused);
        assert_eq!(breaker.failures(), 0);
        for class in [Class::Throttled, Class::Ours] {
            let mut breaker = Breaker::new(4, &requests());
            breaker.record(class);
            assert_eq!(breaker.failures(), 4, "{class} says nothing");
        }
    }

    proptest! {
        #[test]
        fn the_wait_is_bounded(failures in 0..i32::MAX, random in 0.0_f64..=1.0) {
            let requests = requests();
            let wait = Breaker::new(failures, &requests).wait(&requests, random);
            prop_assert!(wait >= requests.breaker_base / 2 && wait <= requests.breaker_max);
        }
    }
}
