//! Entries that nobody is served any more go, a batch at a time.

use std::convert::Infallible;
use std::time::Duration;

use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox;
use tenant_sync_core::worker::Rounds;
use tokio_util::sync::CancellationToken;

use super::sql;

const EVERY: Duration = Duration::from_secs(30);
const ROUNDS: Rounds = Rounds {
    every: EVERY,
    at_once: true,
    stop_within: Duration::from_secs(2),
    failing: "purging the cache fails, trying again",
};
/// A little shorter, so that a round that comes early finds its turn.
const TURN: Duration = Duration::from_secs(27);
const BATCH: i64 = 500;
const BATCHES_MAX: u32 = 20;

/// Purges until asked to stop. Of all consoles one does it in each round.
pub(crate) async fn run(internal: Internal, stopping: CancellationToken) -> Result<(), Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    while rounds.next().await {
        rounds.step(round(&internal)).await;
    }
    Ok(())
}

async fn round(internal: &Internal) -> Result<(), DbError> {
    if outbox::take_turn(&internal.get().await?, "cache purge", TURN).await? {
        purge(internal).await?;
    }
    Ok(())
}

/// Removes entries that are too old to be served, in at most twenty batches; returns how many.
///
/// # Errors
/// The internal Postgres does not answer.
pub async fn purge(internal: &Internal) -> Result<u64, DbError> {
    let client = internal.get().await?;
    let mut purged = 0;
    for _ in 0..BATCHES_MAX {
        let batch = sql::purge(&client, BATCH).await?;
        purged += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(purged)
}
