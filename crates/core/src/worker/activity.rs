//! What a worker did lately, for whoever looks at its heartbeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Counts what a worker did. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    iterations: AtomicU64,
    processed: AtomicU64,
    /// Milliseconds since 1970; 0 = never.
    last_at: AtomicI64,
}

/// The counts of the beat before, to make rates of.
#[derive(Debug)]
pub(super) struct Before {
    at: Instant,
    processed: u64,
}

impl Before {
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), processed: 0 }
    }
}

impl Activity {
    /// An iteration of the worker's main loop ended, in which it processed this many rows, requests or jobs.
    pub fn note(&self, processed: u64) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.0.iterations.fetch_add(1, Ordering::Relaxed);
        self.0.processed.fetch_add(processed, Ordering::Relaxed);
        self.0.last_at.store(i64::try_from(now.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// As it stands in the heartbeat's `details`; `before` moves on.
    pub(super) fn describe(&self, before: &mut Before) -> Map<String, Value> {
        let (now, processed) = (Instant::now(), self.0.processed.load(Ordering::Relaxed));
        let seconds = now.duration_since(before.at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = if seconds > 0.0 { (processed - before.processed) as f64 / seconds } else { 0.0 };
        *before = Before { at: now, processed };
        let last_at = match self.0.last_at.load(Ordering::Relaxed) {
            0 => None,
            millis => OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok(),
        };
        let mut details = Map::new();
        details.insert("iterations".into(), json!(self.0.iterations.load(Ordering::Relaxed)));
        details.insert("processed".into(), json!(processed));
        details.insert("processedPerSecond".into(), json!((rate * 10.0).round() / 10.0));
        details.insert("lastIterationAt".into(), json!(last_at.and_then(|at| at.format(&Rfc3339).ok())));
        details
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_time_since_the_beat_before() {
        let (activity, mut before) = (Activity::default(), Before::now());
        assert!(activity.describe(&mut before)["lastIterationAt"].is_null());
        activity.note(10);
        activity.note(0);
        before.at -= std::time::Duration::from_secs(5);
        let details = activity.describe(&mut before);
        assert_eq!((details["iterations"].as_u64(), details["processed"].as_u64()), (Some(2), Some(10)));
        let rate = details["processedPerSecond"].as_f64().expect("a number");
        assert!((1.9..=2.0).contains(&rate), "{rate}");
        assert!(details["lastIterationAt"].is_string());
    }
}
