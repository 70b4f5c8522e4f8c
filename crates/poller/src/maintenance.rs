//! Looks after the outbox, at a bounded rate on a tick of its own (`core::outbox::maintain`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::outbox::{self, Maintained, Place};
use tenant_sync_core::worker::{Fusebox, Repeats, Rounds, Switch};
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

/// Runs a round a second until asked to stop. Of all pollers one does it in each second.
pub(crate) async fn run(
    config: Arc<Config>,
    internal: Internal,
    fusebox: Arc<Fusebox>,
    wake: Arc<Notify>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    let mut place = Place::default();
    // A trigger that fits no statement of an application is no line a second.
    let told = Repeats::new(Duration::from_secs(60), 1);
    while rounds.next().await {
        if fusebox.is_on(Switch::Poller).await {
            rounds.step(round(&internal, &config, &wake, &mut place, &told)).await;
        }
    }
    Ok(())
}

async fn round(
    internal: &Internal,
    config: &Config,
    wake: &Notify,
    place: &mut Place,
    told: &Repeats,
) -> Result<(), DbError> {
    if outbox::take_turn(&internal.get().await?, "outbox maintenance", TURN).await? {
        let maintained = maintain(internal, config, place).await?;
        if maintained.faults > 0
            && let Some(not_told) = told.tell(&())
        {
            tracing::warn!(
                statements = maintained.faults,
                not_told,
                "changes made no events, `trigger list` says of which triggers"
            );
        }
        if maintained.asks + maintained.visits + maintained.woken > 0 {
            wake.notify_one();
        }
    }
    Ok(())
}

/// One round, and what it did among the metrics.
///
/// # Errors
/// The internal Postgres does not answer.
pub async fn maintain(
    internal: &Internal,
    config: &Config,
    place: &mut Place,
) -> Result<Maintained, DbError> {
    let maintained = outbox::maintain(internal, config, place).await?;
    let Maintained { asks, visits, woken, faults } = maintained;
    metrics::counter!("tenant_sync_outbox_asks_total").increment(asks.unsigned_abs());
    metrics::counter!("tenant_sync_outbox_visits_total").increment(visits.unsigned_abs());
    metrics::counter!("tenant_sync_outbox_destinations_woken_total").increment(woken.unsigned_abs());
    metrics::counter!("tenant_sync_trigger_faults_total").increment(faults.unsigned_abs());
    Ok(maintained)
}
