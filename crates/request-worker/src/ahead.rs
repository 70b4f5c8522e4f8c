//! What of a stream of requests is in memory: those that were read and wait, and those that were sent and are not
//! settled. Pure, and bounded on both sides.

use std::collections::VecDeque;
use std::time::Duration;

use tenant_sync_core::outbox::requests::{Attempted, Cursor, Due};
use tokio::time::Instant;

use crate::chains;
use crate::turn::is_whole;

/// With fewer requests waiting, which is less than a whole page, the next one is read.
const READ_BELOW: usize = 1_000;
/// Requests that are settled at once, if there are so many: a transaction of one costs as much besides its rows.
const SETTLE_ROWS: usize = 1_000;
/// What was sent is settled after this at the latest, as soon as the settlement before it is written.
const SETTLE_WITHIN: Duration = Duration::from_millis(500);
/// Where settling falls behind, sending waits: so many come again if the worker dies, and their answers are kept.
const UNSETTLED_MAX: usize = 3 * SETTLE_ROWS;

/// Requests that were read and wait.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    rows: VecDeque<Due>,
    /// Where the next read begins; `None` = there is nothing more to read.
    after: Option<Cursor>,
}

impl Ahead {
    pub(crate) fn of(page: Vec<Due>) -> Self {
        let mut ahead = Self::default();
        ahead.take_in(page);
        ahead
    }

    /// A page that was read. One that is not full is the last one; one with keys is left for whoever keeps the order.
    pub(crate) fn take_in(&mut self, page: Vec<Due>) {
        if chains::have_keys(&page) {
            self.after = None;
            return;
        }
        self.after = page.last().filter(|_| is_whole(&page)).map(|last| (last.due_at, last.position));
        self.rows.extend(page);
    }

    /// Nothing more is sent, or read.
    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn next(&mut self) -> Option<Due> {
        self.rows.pop_front()
    }

    /// From where to read more, if it is time.
    pub(crate) fn reads_from(&self) -> Option<Cursor> {
        self.after.filter(|_| self.rows.len() < READ_BELOW)
    }
}

/// Requests that were sent and are not settled.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    attempts: Vec<Attempted>,
    since: Option<Instant>,
    /// How many are being settled.
    settling: usize,
}

impl Unsettled {
    /// Takes in what `add` adds. `true`: that begins a settlement's time, or completes it, and none is under way.
    pub(crate) fn grows(&mut self, add: impl FnOnce(&mut Vec<Attempted>)) -> bool {
        let is_first = self.since.is_none();
        self.since.get_or_insert_with(Instant::now);
        add(&mut self.attempts);
        self.settling == 0 && (is_first || self.attempts.len() >= SETTLE_ROWS)
    }

    /// Whether another call may begin beside those that are under way.
    pub(crate) fn have_room_beside(&self, under_way: usize) -> bool {
        self.attempts.len() + self.settling + under_way < UNSETTLED_MAX
    }

    /// When those that are there are to be settled at the latest.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| since + SETTLE_WITHIN)
    }

    /// What is to be settled now, if it is time. `nothing_else`: nothing is to be waited for.
    pub(crate) fn due(&mut self, nothing_else: bool) -> Option<Vec<Attempted>> {
        let at = self.due_at()?;
        if self.attempts.is_empty() {
            self.since = None;
            return None;
        }
        if !nothing_else && self.attempts.len() < SETTLE_ROWS && Instant::now() < at {
            return None;
        }
        self.since = None;
        self.settling = self.attempts.len();
        Some(std::mem::take(&mut self.attempts))
    }

    /// What was given to be settled is.
    pub(crate) fn settled(&mut self) {
        self.settling = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;
    use tenant_sync_core::outbox::requests::Fate;
    use uuid::Uuid;

    use super::*;

    const FULL: usize = 1_000;

    fn row(position: usize, key: Option<&str>) -> Due {
        Due {
            id: Uuid::from_u128(position as u128),
            position: position as i64,
            due_at: SystemTime::UNIX_EPOCH,
            due_in: Duration::ZERO,
            age: Duration::ZERO,
            attempts: 0,
            event_type: None,
            body: None,
            order_key: key.map(Into::into),
            method: None,
            url: None,
            headers: None,
            timeout: None,
        }
    }

    fn attempt(row: &Due) -> Attempted {
        Attempted {
            id: row.id,
            fate: Fate::Delivered,
            began: std::time::Instant::now(),
            took: Duration::ZERO,
            status: Some(200),
            error_class: None,
            error: None,
            excerpt: None,
        }
    }

    /// One more that was sent; whether that is news.
    fn sent(unsettled: &mut Unsettled, n: usize) -> bool {
        unsettled.grows(|attempts| attempts.push(attempt(&row(n, None))))
    }

    #[test]
    fn more_is_read_behind_a_full_page_only_and_when_little_is_left() {
        let mut ahead = Ahead::of((0..FULL).map(|n| row(n, None)).collect());
        assert_eq!(ahead.reads_from(), None, "there is enough");
        while ahead.rows.len() >= READ_BELOW {
            assert!(ahead.next().is_some());
        }
        assert_eq!(ahead.reads_from(), Some((SystemTime::UNIX_EPOCH, 999)));
        ahead.take_in(vec![row(FULL, None)]);
        assert_eq!((ahead.reads_from(), ahead.rows.len()), (None, READ_BELOW), "that page was the last one");
    }

    #[test]
    fn a_page_with_keys_is_left_to_whoever_keeps_the_order() {
        let mut ahead = Ahead::of((0..FULL).map(|n| row(n, None)).collect());
        ahead.take_in((FULL..2 * FULL).map(|n| row(n, (n == 1_500).then_some("a"))).collect());
        assert_eq!((ahead.rows.len(), ahead.after), (FULL, None));
        ahead.close();
        assert!(ahead.is_empty() && ahead.next().is_none());
    }

    #[test]
    fn what_was_sent_is_settled_when_it_is_much_or_old_or_all() {
        let mut unsettled = Unsettled::default();
        assert_eq!((unsettled.due(true), unsettled.due_at()), (None, None), "there is nothing");
        sent(&mut unsettled, 1);
        assert!(unsettled.due_at().is_some());
        assert_eq!(unsettled.due(false), None, "others may join it");
        assert_eq!(unsettled.due(true).map(|due| due.len()), Some(1));
        for n in 0..SETTLE_ROWS {
            sent(&mut unsettled, n);
        }
        assert_eq!(unsettled.due(false).map(|due| due.len()), Some(SETTLE_ROWS));
        let long_ago = Instant::now() - 2 * SETTLE_WITHIN;
        sent(&mut unsettled, 1);
        unsettled.since = Some(long_ago);
        assert_eq!(unsettled.due(false).map(|due| due.len()), Some(1));
        unsettled.grows(|_| {});
        assert_eq!(
            (unsettled.due(true), unsettled.due_at()),
            (None, None),
            "a call that says nothing of its request"
        );
    }

    #[test]
    fn news_is_what_a_settlement_begins_with_or_is_complete_with_while_none_is_under_way() {
        let mut unsettled = Unsettled::default();
        let news: Vec<bool> = (1..=SETTLE_ROWS).map(|n| sent(&mut unsettled, n)).collect();
        assert!(news[0] && news[SETTLE_ROWS - 1], "the first one and the last");
        assert!(news[1..SETTLE_ROWS - 1].iter().all(|is| !is), "and none in between");
        assert!(unsettled.due(false).is_some());
        assert!((0..=SETTLE_ROWS).all(|n| !sent(&mut unsettled, n)), "one is under way");
        unsettled.settled();
        assert!(sent(&mut unsettled, 0));
    }

    proptest! {
        /// Whatever calls and settlements do, all that is read is settled once and in order, and what would come again
        /// is bounded.
        #[test]
        fn all_is_settled_once_and_the_bound_holds(steps in proptest::collection::vec(0_u8..6, 0..400)) {
            let total = 5 * FULL + 7;
            let mut read = 0;
            let mut page = || {
                let rows: Vec<Due> = (read..total.min(read + FULL)).map(|n| row(n, None)).collect();
                read += rows.len();
                rows
            };
            let (mut ahead, mut unsettled) = (Ahead::of(page()), Unsettled::default());
            let (mut under_way, mut settled) = (VecDeque::new(), Vec::new());
            let mut step = |what: u8, left: usize| {
                if ahead.reads_from().is_some() {
                    ahead.take_in(page());
                }
                match what {
                    0..=3 => for _ in 0..left {
                        if unsettled.have_room_beside(under_way.len()) {
                            under_way.extend(ahead.next());
                        }
                    },
                    4 => for _ in 0..left {
                        if let Some(row) = under_way.pop_front() {
                            unsettled.grows(|attempts| attempts.push(attempt(&row)));
                        }
                    },
                    _ => unsettled.settled(),
                }
                let idle = unsettled.settling == 0;
                if let Some(due) = idle.then(|| unsettled.due(under_way.is_empty() && ahead.is_empty())).flatten() {
                    settled.extend(due.iter().map(|attempt| attempt.id.as_u128() as usize));
                }
                assert!(unsettled.attempts.len() + unsettled.settling + under_way.len() <= UNSETTLED_MAX);
                settled.len()
            };
            for what in steps {
                step(what, 200);
            }
            let mut ends = 0;
            while step([0, 4, 5][ends % 3], UNSETTLED_MAX) < total {
                ends += 1;
                prop_assert!(ends < 1_000, "it does not come to an end");
            }
            prop_assert_eq!(settled, (0..total).collect::<Vec<_>>());
        }
    }
}
