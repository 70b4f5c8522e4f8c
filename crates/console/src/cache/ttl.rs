//! How long an entry lives.

use std::time::Duration;

/// Shorter ones would only cost.
const MIN: Duration = Duration::from_secs(1);
/// Longer ones would be forgotten.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A time to live that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(Duration);

/// A time to live that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time to live of {0:?} cannot be used: from 1 second to 24 hours")]
pub struct BadTtl(Duration);

impl Ttl {
    /// # Errors
    /// It is shorter than a second or longer than a day.
    pub fn new(ttl: Duration) -> Result<Self, BadTtl> {
        if (MIN..=MAX).contains(&ttl) { Ok(Self(ttl)) } else { Err(BadTtl(ttl)) }
    }

    /// In seconds.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_a_second_to_a_day() {
        for good in [MIN, Duration::from_secs(60), MAX] {
            assert!(Ttl::new(good).is_ok());
        }
        for bad in [Duration::ZERO, Duration::from_millis(999), MAX + Duration::from_nanos(1), Duration::MAX]
        {
            assert_eq!(Ttl::new(bad), Err(BadTtl(bad)));
        }
    }
}
