//! Taking a sample: what the overview says, and how far a few hundred targets are, chosen at random.

use std::convert::Infallible;
use std::time::Duration;

use tenant_sync_core::outbox;
use tenant_sync_core::registry::browse;
use tenant_sync_core::registry::targets::Target;
use tenant_sync_core::status::{self, TargetStatus};
use tenant_sync_core::worker::Rounds;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::sql;
use crate::audit;
use crate::http::Problem;
use crate::state::Console;
use crate::status::{Overview, overview};

/// Targets whose lag is looked at. Where there are no more, the percentiles are exact.
const TARGETS: i64 = 200;
/// Targets whose lag is kept for their own page, in each round of those.
const TARGETS_KEPT: usize = 100;
/// How often.
const TARGETS_EVERY: Duration = Duration::from_secs(60);
/// Whether anything is missing is all that a lag needs.
const ROWS: i64 = 1;

/// Takes a sample every `console.sample_interval`, one console at a time, until asked to stop.
pub(crate) async fn run(console: Console, stopping: CancellationToken) -> Result<(), Infallible> {
    let rounds = Rounds {
        every: console.config.console.sample_interval,
        at_once: true,
        stop_within: Duration::from_secs(2),
        failing: "cannot take a sample for the charts",
    };
    let mut rounds = rounds.begin(&stopping);
    while rounds.next().await {
        rounds.step(async { round(&console).await.map_err(|problem| problem.detail().to_owned()) }).await;
    }
    Ok(())
}

async fn round(console: &Console) -> Result<(), Problem> {
    let every = console.config.console.sample_interval;
    let client = console.internal.get().await?;
    // A little shorter than the interval, so that a round that comes early finds its turn.
    let Some(at) = outbox::turn_taken_at(&client, "console sample", every.mul_f64(0.9)).await? else {
        return Ok(());
    };
    let for_targets = outbox::take_turn(&client, "console target sample", TARGETS_EVERY.mul_f64(0.9)).await?;
    let some = some_targets(&client).await?;
    drop(client);
    let overview = Box::pin(overview(console)).await?;
    let statuses = status::read_of(&console.internal, &console.desk.mappings, some, ROWS).await?;
    let lags: Vec<f64> = statuses.iter().filter(|status| status.target.state != "paused").map(lag).collect();
    let client = console.internal.get().await?;
    sql::insert(&client, at, &values(&overview, lags)).await?;
    if for_targets {
        let kept: Vec<_> = statuses.iter().take(TARGETS_KEPT).map(|s| (&s.target.key, lag(s))).collect();
        sql::insert_lags(&client, at, &kept).await?;
    }
    sql::purge(&client).await?;
    audit::purge(&client, console.config.console.audit_retention).await?;
    Ok(())
}

/// Targets from somewhere on, all of them if there are few.
async fn some_targets(client: &deadpool_postgres::Object) -> Result<Vec<Target>, tokio_postgres::Error> {
    let somewhere = browse::TargetCursor {
        place: 0,
        text: String::new(),
        key: outbox::TargetKey { tenancy_id: Uuid::new_v4(), database_id: String::new() },
    };
    let filter = browse::TargetFilter::default();
    let mut found = browse::targets(client, &filter, Some(&somewhere), TARGETS).await?.entries;
    let missing = TARGETS - i64::try_from(found.len()).unwrap_or(TARGETS);
    if missing > 0 {
        let before = browse::targets(client, &filter, None, missing).await?.entries;
        let is_new = |target: &Target| !found.iter().any(|known| known.key == target.key);
        let before: Vec<Target> = before.into_iter().filter(is_new).collect();
        found.extend(before);
    }
    Ok(found)
}

fn lag(status: &TargetStatus) -> f64 {
    let longest = status.mappings.iter().map(|mapping| mapping.lag).max().unwrap_or_default();
    longest.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "charts need no more than 52 bits")]
fn values(overview: &Overview, mut lags: Vec<f64>) -> Vec<(&'static str, f64)> {
    let pending: i64 = overview.sequencer.relations.iter().map(|relation| relation.pending.count).sum();
    let rows = overview.workers.iter().filter(|worker| worker.alive && worker.kind == "sync-worker");
    let rows: f64 = rows.filter_map(|worker| worker.processed_per_second).sum();
    let requests = overview.poller.pending.count + overview.poller.claimed.count;
    let troubled: i64 = overview.targets.causes.iter().map(|cause| cause.targets.count).sum();
    let mut values = vec![
        ("pendingRows", pending as f64),
        ("pendingRequests", requests as f64),
        ("rowsPerSecond", rows),
        ("troubledTargets", troubled as f64),
    ];
    if let Some(id) = overview.sequencer.last_sequence_id {
        values.push(("lastSequenceId", id as f64));
    }
    if overview.queues.known {
        let depth: i64 = overview.queues.queues.iter().filter_map(|queue| queue.depth).sum();
        values.push(("queueDepth", depth as f64));
    }
    lags.sort_by(f64::total_cmp);
    if let (Some(p50), Some(p99)) = (percentile(&lags, 50), percentile(&lags, 99)) {
        values.extend([("lagP50Millis", p50), ("lagP99Millis", p99)]);
    }
    values
}

/// The smallest value that `percent` of all are not above.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (Some(50.0), Some(99.0)));
        assert_eq!((percentile(&[7.0], 50), percentile(&[7.0], 99)), (Some(7.0), Some(7.0)));
        assert_eq!(percentile(&[], 50), None);
    }
}
