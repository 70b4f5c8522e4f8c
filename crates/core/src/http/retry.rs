//! When a request is tried again. Pure arithmetic: time and chance are parameters.

use std::time::{Duration, SystemTime};

/// Whoever asks for no wait at all gets this one.
const SHORTEST: Duration = Duration::from_secs(1);

/// The wait after a failure, by the schedule, give or take a tenth; `None` = there is no further try. `failures`
/// counts those before this one, `random` lies in 0..=1.
#[must_use]
pub fn after_failure(schedule: &[Duration], failures: usize, random: f64) -> Option<Duration> {
    schedule.get(failures).map(|wait| wait.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0)))
}

/// The wait that a `Retry-After` asks for, in seconds or as a date, at least a second and at most `max`; `None` if it
/// cannot be read.
#[must_use]
pub fn retry_after(value: &str, now: SystemTime, max: Duration) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number has: for ever.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.clamp(SHORTEST.min(max), max))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_schedule_is_followed_to_its_end() {
        let schedule = [5, 300, 1_800].map(Duration::from_secs);
        for (failures, wait) in schedule.iter().enumerate() {
            assert_eq!(after_failure(&schedule, failures, 0.5), Some(*wait));
        }
        assert_eq!(after_failure(&schedule, 3, 0.5), None);
        assert_eq!(after_failure(&schedule, usize::MAX, 0.5), None);
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        for (value, wait) in [
            ("120", Some(Duration::from_secs(120))),
            (" 0 ", Some(SHORTEST)),
            ("99999999999999999999999999", Some(DAY)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::from_secs(60))),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(SHORTEST)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now, DAY), wait, "{value}");
        }
    }

    proptest! {
        #[test]
        fn the_jitter_is_a_tenth_at_most(seconds in 1_u64..100_000, random in 0.0_f64..=1.0) {
            let wait = after_failure(&[Duration::from_secs(seconds)], 0, random).expect("one wait");
            prop_assert!(wait.as_secs_f64() >= seconds as f64 * 0.899 && wait.as_secs_f64() <= seconds as f64 * 1.101);
        }

        #[test]
        fn any_header_is_read_or_not(value in ".{0,60}") {
            let wait = retry_after(&value, SystemTime::now(), DAY);
            prop_assert!(wait.is_none_or(|wait| wait <= DAY));
        }
    }
}
