//! What else keeps the outbox right, at a bounded rate on a tick of its own: applications' wishes, visits, and a
//! sweep of the destinations of HTTP requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::trace::Span;
use tenant_sync_core::worker::{Fusebox, Repeats, Rounds, Switch};
use tenant_sync_core::{outbox, triggers};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

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
const DESTINATIONS_PER_TICK: i64 = 1_000;
const ORPHANS_PER_TICK: i64 = 5_000;
const FAULTS_PER_TICK: i64 = 1_000;
/// Rounds between looks for requests of triggers that are gone.
const ORPHANS_EVERY: u32 = 30;

/// Where the sweep of destinations has come to.
#[derive(Debug, Default)]
pub struct Place {
    after: Uuid,
    rounds: u32,
}

/// What one round did.
#[derive(Debug, PartialEq, Eq)]
pub struct Maintained {
    /// Rows of kind `ask` that are gone.
    pub asks: i64,
    /// Visits that were due.
    pub visits: i64,
    /// Destinations with requests that nobody knew of.
    pub woken: i64,
    /// Statements of the application that made no events.
    pub faults: i64,
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

/// One round: folds what applications asked for into sync rows, asks for due visits, looks at some destinations for
/// requests that nobody knows of, and counts statements that made no events.
///
/// # Errors
/// The internal Postgres does not answer.
pub async fn maintain(
    internal: &Internal,
    config: &Config,
    place: &mut Place,
) -> Result<Maintained, DbError> {
    let asks = fold_asks(internal).await?;
    let heartbeat = config.sync.heartbeat;
    let interval = if heartbeat.is_zero() { SWEEP } else { heartbeat };
    let visits = visit(internal, interval, config.sync.visits_per_second).await?;
    let client = internal.get().await?;
    let swept = outbox::sweep_destinations(&client, place.after, DESTINATIONS_PER_TICK).await?;
    place.after = swept.next_after.unwrap_or_default();
    if place.rounds.is_multiple_of(ORPHANS_EVERY) {
        outbox::publish_settings(&client, config.requests.allow_http, config.requests.max_body_bytes).await?;
        outbox::delete_orphans(&client, ORPHANS_PER_TICK).await?;
    }
    place.rounds = place.rounds.wrapping_add(1);
    let faults = triggers::settle_faults(&client, FAULTS_PER_TICK).await?;
    metrics::counter!("tenant_sync_outbox_asks_total").increment(asks.unsigned_abs());
    metrics::counter!("tenant_sync_outbox_visits_total").increment(visits.unsigned_abs());
    metrics::counter!("tenant_sync_outbox_destinations_woken_total").increment(swept.woken.unsigned_abs());
    metrics::counter!("tenant_sync_trigger_faults_total").increment(faults.unsigned_abs());
    Ok(Maintained { asks, visits, woken: swept.woken, faults })
}

/// What applications asked for is a trace.
async fn fold_asks(internal: &Internal) -> Result<i64, DbError> {
    let (client, span) = (internal.get().await?, Span::root("asks"));
    let folded = outbox::fold_asks(&client, ASKS_PER_TICK, span.traceparent().as_deref()).await?;
    tell(span, folded.targets);
    Ok(folded.asks)
}

/// The visits of a round are a trace.
async fn visit(internal: &Internal, interval: Duration, per_second: i32) -> Result<i64, DbError> {
    let (client, span) = (internal.get().await?, Span::root("visits"));
    let (limit, traceparent) = (i64::from(per_second), span.traceparent());
    let visits = outbox::enqueue_due_visits(&client, interval, limit, traceparent.as_deref()).await?;
    tell(span, visits);
    Ok(visits)
}

/// A round in which nobody had a wish, or no visit was due, is not told.
fn tell(mut span: Span, targets: i64) {
    if targets == 0 {
        span.forget();
    } else {
        span.set("tenant_sync.targets", || targets);
    }
}
