//! From which due time on the poller looks. Pure.
//!
//! While somebody holds an old snapshot, the index keeps an entry for every row that was processed since, and a
//! scan of all that is due walks over them: 410 ms after 240,000 of them. They all lie below the due time up to
//! which a scan has found nothing, so the next scan begins there.
//!
//! Two things can put a row below that: a transaction that set its due time and committed after we had looked
//! (so we stay 10 s behind), and a clock that steps back or a transaction longer than that (so every 30 s one
//! scan looks at everything).

use std::time::{Duration, Instant, SystemTime};

use tenant_sync_core::outbox::Scanned;

const SAFETY: Duration = Duration::from_secs(10);
pub(crate) const FULL_EVERY: Duration = Duration::from_secs(30);

/// Where the next scan of one lane begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    floor: SystemTime,
    full_at: Option<Instant>,
}

impl Scan {
    /// Nothing is known: the first scan looks at everything.
    pub(crate) fn new() -> Self {
        Self { floor: SystemTime::UNIX_EPOCH, full_at: None }
    }

    /// The due time from which the scan at `now` looks.
    pub(crate) fn begin(&mut self, now: Instant) -> SystemTime {
        if self.full_at.is_none_or(|at| now.duration_since(at) >= FULL_EVERY) {
            self.floor = SystemTime::UNIX_EPOCH;
            self.full_at = Some(now);
        }
        self.floor
    }

    /// Takes in what that scan found.
    pub(crate) fn learn(&mut self, scanned: Scanned) {
        self.floor = next_floor(self.floor, scanned);
    }
}

/// Below the result nothing is due: the scan looked from `floor` on, and what it left begins at `lowest_left`.
fn next_floor(floor: SystemTime, scanned: Scanned) -> SystemTime {
    let empty_up_to = scanned.lowest_left.map_or(scanned.as_of, |left| left.min(scanned.as_of));
    empty_up_to.checked_sub(SAFETY).map_or(floor, |behind| behind.max(floor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_floor_follows_the_clock_when_nothing_is_left() {
        assert_eq!(next_floor(at(0), Scanned { as_of: at(1000), lowest_left: None }), at(990));
    }

    #[test]
    fn it_stays_below_what_was_left() {
        assert_eq!(next_floor(at(0), Scanned { as_of: at(1000), lowest_left: Some(at(500)) }), at(490));
    }

    #[test]
    fn it_never_falls_between_full_scans() {
        assert_eq!(next_floor(at(495), Scanned { as_of: at(1000), lowest_left: Some(at(500)) }), at(495));
        assert_eq!(next_floor(at(495), Scanned { as_of: at(1), lowest_left: None }), at(495));
    }

    /// A row that is due at any time, made visible at most 10 s after that, is in a scan that begins later.
    #[test]
    fn no_row_that_commits_within_the_safety_is_below_the_floor() {
        let start = Instant::now();
        for late in 0..=10 {
            let mut scan = Scan::new();
            for second in 100..125 {
                let floor = scan.begin(start + Duration::from_secs(second - 100));
                let newly_visible_due = at(second - late);
                assert!(newly_visible_due >= floor, "committed {late} s late, seen at {second}");
                scan.learn(Scanned { as_of: at(second), lowest_left: None });
            }
        }
    }

    #[test]
    fn every_30_s_it_looks_at_everything() {
        let (start, mut scan) = (Instant::now(), Scan::new());
        assert_eq!(scan.begin(start), at(0));
        scan.learn(Scanned { as_of: at(1000), lowest_left: None });
        assert_eq!(scan.begin(start + Duration::from_secs(29)), at(990));
        assert_eq!(scan.begin(start + Duration::from_secs(30)), at(0));
    }
}
