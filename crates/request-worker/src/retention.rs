//! What is kept for a while only: the log of attempts, and dead requests. Small pieces, so that nobody waits for them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox::{self, requests};
use tenant_sync_core::worker::Rounds;
use tokio_util::sync::CancellationToken;

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(10),
    at_once: true,
    stop_within: Duration::from_secs(2),
    failing: "old attempts cannot be removed, trying again",
};
/// A little shorter than the interval; of all workers one does it each time.
const TURN: Duration = Duration::from_secs(9);
const ROWS: i64 = 5_000;
/// Pieces of one round: 10,000 rows a second, more than are made for long.
const PIECES: usize = 20;

/// Removes what is too old until asked to stop.
pub(crate) async fn run(
    config: Arc<Config>,
    internal: Internal,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    while rounds.next().await {
        rounds.step(round(&config, &internal)).await;
    }
    Ok(())
}

async fn round(config: &Config, internal: &Internal) -> Result<(), DbError> {
    let client = internal.get().await?;
    if !outbox::take_turn(&client, "request retention", TURN).await? {
        return Ok(());
    }
    let kept = &config.requests;
    for _ in 0..PIECES {
        let attempts = requests::purge_attempts(&client, kept.attempt_retention, ROWS).await?;
        let dead = requests::purge_dead(&client, kept.dead_retention, ROWS).await?;
        if attempts.max(dead) < ROWS.unsigned_abs() {
            break;
        }
    }
    Ok(())
}
