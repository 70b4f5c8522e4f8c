//! Where a mapping stands in a target, and whether what the target says of itself can be true. Pure.

use uuid::Uuid;

use crate::source::{Cursor, Phase, Snapshot};
use crate::target::state::MappingState;

/// Ids that a restore or failover can have lost at most: hours at full speed.
const STEP_BACK_MAX: i64 = 1_000_000_000;

/// What is to be made of a target's watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is one of ours: go on from there.
    Follows,
    /// It was never given: the source has stepped back.
    Ahead(i64),
    /// It cannot be built on: compare everything.
    WantsFill(&'static str),
}

/// The cursor that a target's own words mean. What makes no sense means: from the start.
pub(crate) fn cursor(known: Option<&MappingState>) -> Cursor {
    let Some(known) = known else { return Cursor { watermark: 0, phase: Phase::Filling(None) } };
    let phase = if known.filling { Phase::Filling(known.fill_position.clone()) } else { Phase::Following };
    Cursor { watermark: known.watermark.unwrap_or(0), phase }
}

/// Compares what the target knows with what this snapshot of the source says. `tracked`: the source is a tracked
/// table, whose changes are pointers that are purged.
pub(crate) fn verdict(
    known: Option<&MappingState>,
    tracked: bool,
    epoch: Option<Uuid>,
    snapshot: &Snapshot,
) -> Verdict {
    let Some(known) = known else { return Verdict::WantsFill("the target is new") };
    let Some(watermark) = known.watermark else { return Verdict::WantsFill("its watermark makes no sense") };
    if watermark > snapshot.horizon {
        // No loss explains a step of more; a target's metadata is a stranger's input.
        let explained = watermark - snapshot.horizon <= STEP_BACK_MAX;
        return if explained {
            Verdict::Ahead(watermark)
        } else {
            Verdict::WantsFill("its watermark makes no sense")
        };
    }
    if epoch.is_some() && !snapshot.epoch_known {
        return Verdict::WantsFill("it was written in a life of the source that is lost");
    }
    if let Some(next) = snapshot.next_epoch_from {
        // Changes that were written before they had an id may be lost although the watermark is not.
        if watermark >= next || (known.flagged_rows > 0 && watermark >= next - 1) {
            return Verdict::WantsFill("the source has stepped back since");
        }
    }
    if watermark < snapshot.purged_through {
        return Verdict::WantsFill("deletes that it has not seen are gone");
    }
    if tracked && watermark < snapshot.changes_purged_through {
        return Verdict::WantsFill("changes that it has not seen are no longer kept");
    }
    Verdict::Follows
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::{Cursor, MappingState, Phase, Snapshot, Verdict, cursor, verdict};

    fn known(watermark: i64) -> MappingState {
        MappingState {
            watermark: Some(watermark),
            version: Some(1),
            fingerprint: "f".into(),
            filling: false,
            fill_position: None,
            flagged_rows: 0,
            storage: None,
            storage_now: None,
            ours: true,
        }
    }

    fn snapshot(horizon: i64) -> Snapshot {
        Snapshot {
            as_of: OffsetDateTime::UNIX_EPOCH,
            horizon,
            epoch: Some(Uuid::from_u128(1)),
            epoch_known: true,
            next_epoch_from: None,
            purged_through: 0,
            changes_purged_through: 0,
        }
    }

    fn judge(known: &MappingState, snapshot: &Snapshot) -> Verdict {
        verdict(Some(known), false, Some(Uuid::from_u128(1)), snapshot)
    }

    #[test]
    fn a_watermark_within_the_horizon_follows() {
        assert_eq!(judge(&known(5), &snapshot(5)), Verdict::Follows);
    }

    #[test]
    fn a_watermark_that_was_never_given_is_ahead() {
        assert_eq!(judge(&known(6), &snapshot(5)), Verdict::Ahead(6));
        assert!(matches!(judge(&known(i64::MAX), &snapshot(5)), Verdict::WantsFill(_)));
    }

    #[test]
    fn a_lost_life_and_a_step_back_want_a_fill() {
        let lost = Snapshot { epoch_known: false, ..snapshot(9) };
        assert!(matches!(judge(&known(5), &lost), Verdict::WantsFill(_)));
        let stepped = Snapshot { next_epoch_from: Some(5), ..snapshot(9) };
        assert!(matches!(judge(&known(5), &stepped), Verdict::WantsFill(_)));
        assert_eq!(judge(&known(4), &stepped), Verdict::Follows);
        let tail = MappingState { flagged_rows: 1, ..known(4) };
        assert!(matches!(judge(&tail, &stepped), Verdict::WantsFill(_)));
    }

    #[test]
    fn below_the_purge_horizon_wants_a_fill() {
        let purged = Snapshot { purged_through: 7, ..snapshot(9) };
        assert!(matches!(judge(&known(6), &purged), Verdict::WantsFill(_)));
        assert_eq!(judge(&known(7), &purged), Verdict::Follows);
    }

    #[test]
    fn pointers_that_are_gone_concern_tracked_tables_only() {
        let purged = Snapshot { changes_purged_through: 7, ..snapshot(9) };
        let judge_tracked =
            |known: &MappingState| verdict(Some(known), true, Some(Uuid::from_u128(1)), &purged);
        assert_eq!(judge(&known(6), &purged), Verdict::Follows);
        assert!(matches!(judge_tracked(&known(6)), Verdict::WantsFill(_)));
        assert_eq!(judge_tracked(&known(7)), Verdict::Follows);
    }

    #[test]
    fn nonsense_means_from_the_start() {
        let nonsense = MappingState { watermark: None, ..known(0) };
        assert_eq!(cursor(Some(&nonsense)).watermark, 0);
        assert!(matches!(judge(&nonsense, &snapshot(9)), Verdict::WantsFill(_)));
        assert_eq!(cursor(None), Cursor { watermark: 0, phase: Phase::Filling(None) });
    }
}
