//! What is told once, and not again at each attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use tenant_sync_core::outbox::Taken;
use tenant_sync_core::target::class::TargetFault;
use tenant_sync_core::worker::Repeats;

use crate::target::Refusal;
use crate::target::state::Owner;

/// Trouble that goes on is told again after this.
pub(crate) const AGAIN: Duration = Duration::from_secs(600);

/// What one worker has told of late.
#[derive(Debug)]
pub(crate) struct Told {
    /// Jobs that the internal database did not let end.
    pub(crate) inside: Repeats,
    /// Turns that failed on our side, by target.
    pub(crate) turns: Repeats,
    /// Turns that are left to other workers, by target.
    pub(crate) left: Repeats,
    /// Failures of targets, by target and class.
    failures: Repeats,
    /// Fills that begin, by target, mapping and reason: one whose turn fails begins anew.
    pub(crate) fills: Repeats,
    /// Rows that differed from their source, by target and mapping.
    pub(crate) differences: Repeats,
    /// Rows that a target refuses, by target, mapping and reason.
    refusals: Repeats,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            inside: Repeats::new(Duration::from_secs(30), 2),
            turns: Repeats::new(AGAIN, 30),
            left: Repeats::new(AGAIN, 30),
            fills: Repeats::new(AGAIN, 600),
            differences: Repeats::new(AGAIN, 60),
            failures: Repeats::new(AGAIN, 60),
            refusals: Repeats::new(AGAIN, 60),
        }
    }
}

/// How often a target has failed in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failures {
    /// Before this time.
    pub(crate) before: i32,
    /// From which number on it counts as broken.
    pub(crate) broken_at: i32,
}

impl Told {
    /// The first failure is told, and the one that makes the target count as broken; those in between, and after, only
    /// to who asks for details: a target that is away for a week is two lines.
    pub(crate) fn failure(&self, taken: &Taken, fault: &TargetFault, wait: Duration, failures: Failures) {
        let (tenancy, target) = (taken.target.tenancy_id, taken.target.database_id.as_str());
        let (request, class, wait_ms) = (taken.held.request_id, fault.class.code(), wait.as_millis());
        // What counts as no failure of the target comes as the first each time.
        let first = failures.before == 0;
        match first.then(|| self.failures.tell(&(&taken.target, class))).flatten() {
            Some(not_told) => {
                tracing::warn!(%tenancy, target, %request, class, wait_ms, reason = %fault, not_told,
                    "the target failed; it is tried again");
            }
            None => tracing::debug!(%tenancy, target, %request, class, wait_ms, "the target failed again"),
        }
        let counted = failures.before + i32::from(fault.class.policy().counts());
        if counted > failures.before && counted == failures.broken_at {
            tracing::info!(%tenancy, target, %request, class, failures = counted, reason = %fault,
                "the target counts as broken from now on");
        }
    }

    /// One line a reason, with the first of its rows: a row comes once more with its id, and thousands may be refused
    /// for one reason. All of them are in `_sync_refused`.
    pub(crate) fn refusals(&self, owner: &Owner, mapping: &str, refusals: &[Refusal]) {
        let mut reasons: BTreeMap<&str, (&Refusal, u64)> = BTreeMap::new();
        for refusal in refusals {
            reasons.entry(&refusal.reason).or_insert((refusal, 0)).1 += 1;
        }
        let (tenancy, target) = (owner.tenancy, owner.target.as_str());
        for (reason, (first, rows)) in reasons {
            if let Some(not_told) = self.refusals.tell(&(tenancy, target, mapping, reason)) {
                tracing::warn!(
                    %tenancy, target, mapping, rows, key = ?first.key, sqlstate = first.sqlstate, reason, not_told,
                    "the target refuses a row; it is tried again later"
                );
            }
        }
    }
}
