//! Where a mapping stands in a target. Pure: what a read means for the watermark is decided here.

/// Progress of one mapping in one target.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cursor {
    /// Last sequence id that is in the target.
    pub(crate) watermark: i64,
    pub(crate) phase: Phase,
}

/// What is left to do besides following the changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// Nothing: the target follows.
    Following,
    /// The key is walked to fill the target; `None` = from the first key on.
    Filling(Option<Vec<String>>),
}

impl Cursor {
    pub(crate) fn filling(&self) -> bool {
        matches!(self.phase, Phase::Filling(_))
    }
}

/// One arm of a read: tombstones or rows, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arm {
    /// The highest id that was read.
    pub(crate) last: Option<i64>,
    /// Whether the arm stopped at its limit, so that there may be more.
    pub(crate) cut: bool,
}

/// How far a read of several arms reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything up to the horizon is there.
    Horizon(i64),
    /// Rows and tombstones above this id are to be dropped: another arm may lack some below them.
    Cut(i64),
}

/// The arms are merged and cut first; what a tombstone means is asked afterwards. Any other order loses rows
/// or stops early.
pub(crate) fn reach(watermark: i64, horizon: i64, arms: &[Arm]) -> Reach {
    let cuts = arms.iter().filter(|arm| arm.cut).filter_map(|arm| arm.last);
    match cuts.min() {
        Some(last) => Reach::Cut(last.max(watermark)),
        None => Reach::Horizon(horizon.max(watermark)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Arm, Reach, reach};

    /// Reads `ids` above `watermark` with a limit, as the database does.
    fn arm(ids: &[i64], watermark: i64, limit: usize) -> (Vec<i64>, Arm) {
        let read: Vec<i64> = ids.iter().copied().filter(|id| *id > watermark).take(limit).collect();
        let arm = Arm { last: read.last().copied(), cut: read.len() == limit };
        (read, arm)
    }

    proptest! {
        #[test]
        fn every_id_is_seen_exactly_once_and_it_ends(
            mut rows in prop::collection::btree_set(1_i64..200, 0..60),
            gone in prop::collection::btree_set(1_i64..200, 0..60),
            limit in 1_usize..9,
        ) {
            rows.retain(|id| !gone.contains(id));
            let (rows, gone): (Vec<i64>, Vec<i64>) = (rows.into_iter().collect(), gone.into_iter().collect());
            let mut watermark = 0;
            let mut seen = Vec::new();
            for _ in 0..500 {
                let (mut a, arm_a) = arm(&rows, watermark, limit);
                let (b, arm_b) = arm(&gone, watermark, limit);
                a.extend(b);
                match reach(watermark, 200, &[arm_a, arm_b]) {
                    Reach::Cut(last) => {
                        prop_assert!(last > watermark, "no progress");
                        seen.extend(a.into_iter().filter(|id| *id <= last));
                        watermark = last;
                    }
                    Reach::Horizon(last) => {
                        seen.extend(a);
                        watermark = last;
                        break;
                    }
                }
            }
            prop_assert_eq!(watermark, 200);
            seen.sort_unstable();
            let mut all: Vec<i64> = rows.into_iter().chain(gone).collect();
            all.sort_unstable();
            prop_assert_eq!(seen, all);
        }
    }
}
