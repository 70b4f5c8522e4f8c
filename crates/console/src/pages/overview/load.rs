//! The facts, from the status that the API gives. Pure.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::facts::{Broker, Depth, Facts, Lag, Rates, Requests, Running, Switched, Waiting};
use crate::http::At;
use crate::status::model::{Count, Overview, QueueStatus, WorkerStatus};

pub(super) fn facts(overview: &Overview, lag: Option<Lag>) -> Facts {
    let now = overview.at.0;
    let relations = &overview.sequencer.relations;
    let unsequenced = Waiting {
        count: relations.iter().map(|relation| relation.pending.count).sum(),
        at_least: relations.iter().any(|relation| relation.pending.at_least),
        oldest: relations
            .iter()
            .filter_map(|relation| relation.oldest_pending_at)
            .min()
            .map(|at| since(now, at)),
    };
    let poller = &overview.poller;
    let rate = |kind: &str| {
        let alive = overview.workers.iter().filter(|worker| worker.kind == kind && worker.alive);
        alive.filter_map(|worker| worker.processed_per_second).reduce(|sum, rate| sum + rate)
    };
    Facts {
        now,
        switches: Switched {
            sequencer: overview.switches.sequencer_enabled,
            poller: overview.switches.poller_enabled,
            sync_engine: overview.switches.sync_engine_enabled,
            requests: overview.switches.requests_enabled,
        },
        unsequenced,
        due: waiting(poller.pending, poller.oldest_pending_at, now),
        taken: poller.claimed.count + poller.running.count,
        lapsed: poller.stale.count,
        requests: requests(overview),
        queues: broker(overview),
        workers: overview.workers.iter().map(worker).collect(),
        states: states(overview),
        causes: causes(overview),
        lag,
        rates: Rates {
            changes: rate("sequencer"),
            jobs: rate("poller"),
            rows: rate("sync-worker"),
            requests: rate("request-worker"),
        },
    }
}

fn since(now: OffsetDateTime, at: At) -> Duration {
    Duration::try_from(now - at.0).unwrap_or_default()
}

fn waiting(count: Count, oldest: Option<At>, now: OffsetDateTime) -> Waiting {
    Waiting { count: count.count, at_least: count.at_least, oldest: oldest.map(|at| since(now, at)) }
}

fn requests(overview: &Overview) -> Requests {
    let (now, requests) = (overview.at.0, &overview.requests);
    Requests {
        waiting: waiting(requests.waiting, requests.oldest_waiting_at, now),
        dead: waiting(requests.dead, None, now),
        due: waiting(requests.due_destinations, requests.oldest_due_at, now),
        queued: waiting(requests.queued_destinations, requests.queued_since, now),
        running: requests.running_destinations.count,
        broken_destinations: requests.broken_destinations.count,
        active_triggers: requests.active_triggers.count,
        paused_triggers: requests.paused_triggers.count,
        broken_triggers: requests.broken_triggers.count,
    }
}

fn broker(overview: &Overview) -> Broker {
    let queues = &overview.queues;
    if queues.known {
        let depth = |queue: &QueueStatus| Depth {
            name: queue.name.clone(),
            ready: queue.ready.unwrap_or_default(),
            unacked: queue.unacknowledged.unwrap_or_default(),
            consumers: queue.consumers.unwrap_or_default(),
            rates: queue.published_per_second.zip(queue.acknowledged_per_second),
        };
        return Broker::Queues(queues.queues.iter().filter(|queue| queue.exists).map(depth).collect());
    }
    match &queues.management_url {
        None => Broker::NotAsked,
        Some(_) => Broker::Silent(queues.reason.clone().unwrap_or_default()),
    }
}

fn worker(worker: &WorkerStatus) -> Running {
    let unit = match worker.kind.as_str() {
        "sequencer" => Some("ids/s"),
        "poller" => Some("jobs/s"),
        "sync-worker" => Some("rows/s"),
        "request-worker" => Some("requests/s"),
        _ => None,
    };
    let last = worker.last_iteration_at.as_deref();
    Running {
        kind: worker.kind.clone(),
        id: worker.id.clone(),
        version: worker.version.clone(),
        started_at: worker.started_at.0,
        seen_at: worker.last_seen_at.0,
        alive: worker.alive,
        last_iteration_at: last.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok()),
        throughput: worker.processed_per_second.zip(unit),
    }
}

/// Those that are well are the rest.
fn states(overview: &Overview) -> Vec<(String, i64)> {
    let causes = &overview.targets.causes;
    let of = |state: &str| {
        causes.iter().filter(|cause| cause.state == state).map(|cause| cause.targets.count).sum()
    };
    let unwell = ["retrying", "broken", "refused", "paused"].map(|state| (state.to_owned(), of(state)));
    let well = overview.targets.total.count - unwell.iter().map(|(_, n): &(String, i64)| n).sum::<i64>();
    [("ok".to_owned(), well.max(0))].into_iter().chain(unwell).collect()
}

/// By class alone: whether a target is retried or broken is a matter of minutes.
fn causes(overview: &Overview) -> Vec<(String, i64)> {
    let mut causes: Vec<(String, i64)> = Vec::new();
    for cause in overview.targets.causes.iter().filter(|cause| cause.state != "paused") {
        let class = cause.class.clone().unwrap_or_else(|| "unknown".to_owned());
        match causes.iter_mut().find(|(known, _)| *known == class) {
            Some((_, n)) => *n += cause.targets.count,
            None => causes.push((class, cause.targets.count)),
        }
    }
    causes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    causes
}
