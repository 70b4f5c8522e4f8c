//! What else keeps the outbox right, a bounded amount at a time: applications' wishes, visits, and a sweep of the
//! destinations of HTTP requests.

use std::time::Duration;

use deadpool_postgres::Object;
use uuid::Uuid;

use super::{delete_orphans, enqueue_due_visits, fold_asks, publish_settings, sweep_destinations};
use crate::config::Config;
use crate::db::{DbError, Internal};
use crate::trace::Span;
use crate::triggers;

const ASKS_MAX: i64 = 5_000;
/// Between visits where `sync.heartbeat` is zero: the sweep goes on, only more slowly.
const SWEEP: Duration = Duration::from_secs(600);
const DESTINATIONS_MAX: i64 = 1_000;
const ORPHANS_MAX: i64 = 5_000;
const FAULTS_MAX: i64 = 1_000;
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
    let client = internal.get().await?;
    let asks = asks(&client).await?;
    let heartbeat = config.sync.heartbeat;
    let interval = if heartbeat.is_zero() { SWEEP } else { heartbeat };
    let visits = visits(&client, interval, config.sync.visits_per_second).await?;
    let swept = sweep_destinations(&client, place.after, DESTINATIONS_MAX).await?;
    place.after = swept.next_after.unwrap_or_default();
    if place.rounds.is_multiple_of(ORPHANS_EVERY) {
        publish_settings(&client, config.requests.allow_http, config.requests.max_body_bytes).await?;
        delete_orphans(&client, ORPHANS_MAX).await?;
    }
    place.rounds = place.rounds.wrapping_add(1);
    let faults = triggers::settle_faults(&client, FAULTS_MAX).await?;
    Ok(Maintained { asks, visits, woken: swept.woken, faults })
}

/// What applications asked for is a trace.
async fn asks(client: &Object) -> Result<i64, DbError> {
    let span = Span::root("asks");
    let folded = fold_asks(client, ASKS_MAX, span.traceparent().as_deref()).await?;
    tell(span, folded.targets);
    Ok(folded.asks)
}

/// The visits of a round are a trace.
async fn visits(client: &Object, interval: Duration, per_second: i32) -> Result<i64, DbError> {
    let span = Span::root("visits");
    let visits =
        enqueue_due_visits(client, interval, per_second.into(), span.traceparent().as_deref()).await?;
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
