//! How long to wait after a failure. Pure arithmetic: the random part is a parameter.

use std::time::Duration;

/// Exponential back-off with full jitter: evenly spread over zero to `base × 2^failures`, at most `max`,
/// at least one millisecond. `failures` counts those before this one; `random` lies in 0..=1.
///
/// Full jitter, because targets that fail together (one server, many tenants) would else come back together.
#[must_use]
pub fn full_jitter(base: Duration, max: Duration, failures: u32, random: f64) -> Duration {
    ceiling(base, max, failures).mul_f64(random.clamp(0.0, 1.0)).max(Duration::from_millis(1))
}

fn ceiling(base: Duration, max: Duration, failures: u32) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(failures)).min(max)
}

/// Waits between attempts to reach a server of ours: 100 ms at first, then a random time up to a ceiling
/// that doubles to 5 s. Never below 100 ms, so that a server that accepts and hangs up is not hammered.
#[derive(Debug, Default)]
pub struct Reconnect {
    failures: u32,
}

impl Reconnect {
    const FLOOR: Duration = Duration::from_millis(100);
    const CEILING: Duration = Duration::from_secs(5);

    /// Counts a failure after something that held for `lasted`, and says how long to wait. What held longer
    /// than the longest wait was a success: the count starts again.
    pub fn after(&mut self, lasted: Duration) -> Duration {
        if lasted > Self::CEILING {
            self.failures = 0;
        }
        let delay = Self::delay(self.failures, rand::random());
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Attempts that failed in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn delay(failures: u32, random: f64) -> Duration {
        let spread = ceiling(Self::FLOOR, Self::CEILING, failures).saturating_sub(Self::FLOOR);
        Self::FLOOR + spread.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_positive_and_never_above_its_ceiling(
            base in 1_u64..60_000, max in 1_u64..3_600_000, failures in 0_u32..=u32::MAX, random in 0.0_f64..=1.0,
        ) {
            let (base, max) = (Duration::from_millis(base), Duration::from_millis(max));
            let wait = full_jitter(base, max, failures, random);
            prop_assert!(wait >= Duration::from_millis(1) && wait <= max);
            prop_assert!(failures > 20 || wait <= base * 2_u32.pow(failures));
        }

        #[test]
        fn the_ceiling_never_shrinks_with_failures(failures in 0_u32..64) {
            let at = |n| full_jitter(Duration::from_secs(1), Duration::from_secs(300), n, 1.0);
            prop_assert!(at(failures) <= at(failures + 1));
        }

        #[test]
        fn more_luck_is_a_longer_wait(failures in 0_u32..20, a in 0.0_f64..=1.0, b in 0.0_f64..=1.0) {
            let at = |r| full_jitter(Duration::from_secs(1), Duration::from_secs(300), failures, r);
            prop_assert_eq!(at(a.min(b)).min(at(a.max(b))), at(a.min(b)));
        }

        #[test]
        fn reconnecting_waits_between_floor_and_ceiling(failures in 0_u32..=u32::MAX, random in 0.0_f64..=1.0) {
            let wait = Reconnect::delay(failures, random);
            prop_assert!(wait >= Reconnect::FLOOR && wait <= Reconnect::CEILING);
        }
    }

    #[test]
    fn the_first_reconnect_is_quick_and_a_long_life_forgives() {
        let mut reconnect = Reconnect::default();
        assert_eq!(reconnect.after(Duration::ZERO), Reconnect::FLOOR);
        for _ in 0..10 {
            reconnect.after(Duration::ZERO);
        }
        assert_eq!(reconnect.failures(), 11);
        assert_eq!(reconnect.after(Duration::from_secs(6)), Reconnect::FLOOR);
    }
}
