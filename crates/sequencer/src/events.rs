//! What triggers for HTTP events make of a row is what its mapping says: a changed mapping is followed at the start.
//! Beside the passes, so that a table that is busy delays none.

use std::convert::Infallible;
use std::time::Duration;

use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping::Mapping;
use tenant_sync_core::triggers::{TriggerError, follow_mappings};
use tenant_sync_core::worker::Rounds;
use tokio_util::sync::CancellationToken;

pub(crate) const FAILING: &str = "triggers cannot follow a changed mapping yet, trying again";

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(5),
    at_once: true,
    stop_within: Duration::from_secs(2),
    failing: FAILING,
};

/// Tries until all have followed, then waits for the end.
pub(crate) async fn run(
    internal: Internal,
    mappings: Vec<Mapping>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    let mut all = false;
    while !all && rounds.next().await {
        rounds
            .step(async {
                follow(&internal, &mappings).await?;
                all = true;
                Ok::<_, TriggerError>(())
            })
            .await;
    }
    stopping.cancelled().await;
    Ok(())
}

/// Lets the events of all tables follow their mappings, and tells which could not.
pub(crate) async fn follow(internal: &Internal, mappings: &[Mapping]) -> Result<(), TriggerError> {
    let mut client = internal.get().await?;
    let (followed, result) = follow_mappings(&mut client, internal.schema(), mappings).await;
    for one in followed {
        match one.problem {
            None => tracing::info!(
                table = one.table,
                "a mapping has changed, and the events of its table's triggers with it"
            ),
            Some(problem) => tracing::warn!(
                table = one.table,
                problem,
                "triggers do not fit their table's mapping and are broken; `trigger resume` them once they do"
            ),
        }
    }
    result
}
