//! What else keeps the outbox right, at a bounded rate on a tick of its own: applications' wishes and visits.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tenant_sync_core::config::{Config, Sync};
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox;
use tenant_sync_core::worker::{Fusebox, Rounds, Switch};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(1),
    at_once: true,
    stop_within: Duration::from_secs(2),
    failing: "maintenance of the outbox fails, trying again",
};
/// A little shorter than the interval, so that a tick that comes early finds its turn.
const TURN: Duration = Duration::from_millis(900);
const ASKS_PER_TICK: i64 = 5_000;
/// Between visits where `sync.heartbeat` is zero: the sweep goes on, only more slowly.
const SWEEP: Duration = Duration::from_secs(600);

/// What one round did.
#[derive(Debug, PartialEq, Eq)]
pub struct Maintained {
    /// Rows of kind `ask` that are gone.
    pub asks: i64,
    /// Visits that were due.
    pub visits: i64,
}

/// Runs a round a second until asked to stop. Of all pollers one does it in each second.
pub(crate) async fn run(
    config: Arc<Config>,
    internal: Internal,
    fusebox: Arc<Fusebox>,
    wake: Arc<Notify>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    while rounds.next().await {
        if fusebox.is_on(Switch::Poller).await {
            rounds.step(round(&internal, &config.sync, &wake)).await;
        }
    }
    Ok(())
}

async fn round(internal: &Internal, sync: &Sync, wake: &Notify) -> Result<(), DbError> {
    if outbox::take_turn(&internal.get().await?, "outbox maintenance", TURN).await? {
        let maintained = maintain(internal, sync).await?;
        if maintained.asks + maintained.visits > 0 {
            wake.notify_one();
        }
    }
    Ok(())
}

/// One round: folds what applications asked for into sync rows, then asks for due visits.
///
/// # Errors
/// The internal Postgres does not answer.
pub async fn maintain(internal: &Internal, sync: &Sync) -> Result<Maintained, DbError> {
    let client = internal.get().await?;
    let asks = outbox::fold_asks(&client, ASKS_PER_TICK).await?.asks;
    let interval = if sync.heartbeat.is_zero() { SWEEP } else { sync.heartbeat };
    let visits = outbox::enqueue_due_visits(&client, interval, i64::from(sync.visits_per_second)).await?;
    metrics::counter!("tenant_sync_outbox_asks_total").increment(asks.unsigned_abs());
    metrics::counter!("tenant_sync_outbox_visits_total").increment(visits.unsigned_abs());
    Ok(Maintained { asks, visits })
}
