//! Metrics of calls. Looking up a metric by name and label takes longer than counting, so what was used last is kept.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Histogram};

/// Counts the calls of one turn.
pub(crate) struct Meter {
    last: Option<(&'static str, Counter)>,
    seconds: Histogram,
}

impl Default for Meter {
    fn default() -> Self {
        Self { last: None, seconds: metrics::histogram!("tenant_sync_request_seconds") }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

impl Meter {
    /// A call of so many requests ended with this class.
    pub(crate) fn count(&mut self, class: &'static str, requests: u64, took: Duration) {
        if self.last.as_ref().is_none_or(|(last, _)| *last != class) {
            self.last = Some((class, metrics::counter!("tenant_sync_requests_total", "class" => class)));
        }
        if let Some((_, counter)) = &self.last {
            counter.increment(requests);
        }
        self.seconds.record(took.as_secs_f64());
    }
}
