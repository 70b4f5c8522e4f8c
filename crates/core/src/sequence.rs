//! One pass of the sequencer, and what the readers of sequenced relations must say for their statements to stay cheap.

mod pass;

pub use pass::{Outcome, Pass, pass};

/// The condition that a row of a sequenced relation waits for its id, for statements that look at one tenant.
///
/// Each such relation has two partial indexes of the rows that wait, one by transaction and one by tenant. The
/// second half of the condition holds for every row (2 is no transaction's number); it is the predicate of the
/// index by tenant, and without it the planner may walk the changes of all tenants.
#[must_use]
pub fn waits_for_id(alias: &str) -> String {
    format!(r#"{alias}."shouldUpdateSequenceId" and {alias}."changedBy" is distinct from '2'"#)
}
