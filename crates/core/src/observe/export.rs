//! An observation as gauges.

use metrics::gauge;

use super::Observation;
use crate::worker::metrics::catalog;

/// Sets every series of every gauge, so that none keeps a value of yesterday.
pub(super) fn export(seen: &Observation) {
    let age = |since: Option<f64>| since.map_or(0.0, |since| (seen.at - since).max(0.0));
    gauge!("tenant_sync_observed_timestamp_seconds").set(seen.at);
    gauge!("tenant_sync_observation_duration_seconds").set(seen.took);
    for state in values("tenant_sync_oldest_undelivered_seconds", "state") {
        let since = match state {
            "unsequenced" => seen.unsequenced_since,
            state => seen.undelivered_since.get(state).copied(),
        };
        gauge!("tenant_sync_oldest_undelivered_seconds", "state" => state).set(age(since));
    }
    for state in values("tenant_sync_oldest_unsent_seconds", "state") {
        gauge!("tenant_sync_oldest_unsent_seconds", "state" => state)
            .set(age(seen.unsent_since.get(state).copied()));
    }
    for lane in values("tenant_sync_outbox_requests", "lane") {
        for state in values("tenant_sync_outbox_requests", "state") {
            let found = seen.requests.iter().find(|(l, s, _)| l == lane && s == state);
            gauge!("tenant_sync_outbox_requests", "lane" => lane, "state" => state)
                .set(found.map_or(0.0, |(_, _, count)| number(*count)));
        }
        gauge!("tenant_sync_outbox_oldest_due_seconds", "lane" => lane)
            .set(age(seen.due_since.get(lane).copied()));
    }
    gauge!("tenant_sync_outbox_asks").set(number(seen.asks));
    for state in values("tenant_sync_targets", "state") {
        gauge!("tenant_sync_targets", "state" => state)
            .set(number(seen.targets.get(state).copied().unwrap_or(0)));
    }
    for state in values("tenant_sync_destinations", "state") {
        gauge!("tenant_sync_destinations", "state" => state)
            .set(number(seen.destinations.get(state).copied().unwrap_or(0)));
    }
    gauge!("tenant_sync_targets_filling").set(number(seen.filling));
    gauge!("tenant_sync_refused_rows").set(number(seen.refused_rows));
    gauge!("tenant_sync_sequencer_backlog_tenancies").set(number(seen.backlog));
    gauge!("tenant_sync_parked_rows").set(number(seen.parked));
    metrics::counter!("tenant_sync_tracking_faults_total").absolute(seen.tracking_faults);
    for worker in values("tenant_sync_workers", "worker") {
        let (count, last_seen) = seen.workers.get(worker).copied().unwrap_or((0, f64::NAN));
        gauge!("tenant_sync_workers", "worker" => worker).set(number(count));
        gauge!("tenant_sync_heartbeat_age_seconds", "worker" => worker).set(seen.at - last_seen);
    }
    for switch in values("tenant_sync_switch_on", "switch") {
        let on = seen.switches.get(switch).copied().unwrap_or(true);
        gauge!("tenant_sync_switch_on", "switch" => switch).set(f64::from(u8::from(on)));
    }
}

fn values(metric: &str, label: &str) -> Vec<&'static str> {
    let metric = catalog::ALL.iter().find(|known| known.name == metric);
    let label = metric.and_then(|metric| metric.labels.iter().find(|(name, _)| *name == label));
    label.map(|(_, values)| values.all()).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows, far below 2^53")]
fn number(count: i64) -> f64 {
    count as f64
}
