//! Every metric there is: what it counts, who exports it, and all values that its labels can have. So the number of
//! series does not depend on the number of tenants, and none is without a description. `docs/metrics.md` is this table.

use crate::worker::Kind;

pub use super::metric::{Label, Metric, Shape, Values};

const SEQUENCER: &[Kind] = &[Kind::Sequencer];
const POLLER: &[Kind] = &[Kind::Poller];
const SYNC_WORKER: &[Kind] = &[Kind::SyncWorker];
/// Who looks at the internal database for all: see [`crate::observe`].
const OBSERVERS: &[Kind] = &[Kind::Sequencer, Kind::Poller];
const BOTH_ENDS: &[Kind] = &[Kind::Poller, Kind::SyncWorker, Kind::RequestWorker];
const REQUEST_WORKER: &[Kind] = &[Kind::RequestWorker];
const CONSUMERS: &[Kind] = &[Kind::SyncWorker, Kind::RequestWorker];
const CONSOLE: &[Kind] = &[Kind::Console];
const EVERYBODY: &[Kind] =
    &[Kind::Sequencer, Kind::Poller, Kind::SyncWorker, Kind::RequestWorker, Kind::Console];
const LANE: Label = ("lane", Values::Of(&["live", "bulk", "requests"]));

const fn metric(
    name: &'static str,
    shape: Shape,
    by: &'static [Kind],
    labels: &'static [Label],
    help: &'static str,
) -> Metric {
    Metric { name, shape, by, labels, help }
}

use Shape::{Counter, Gauge, Histogram};

/// All metrics, in the order in which a change passes them.
pub const ALL: &[Metric] = &[
    metric(
        "tenant_sync_oldest_undelivered_seconds",
        Gauge,
        OBSERVERS,
        &[("state", Values::Of(&["unsequenced", "ok", "filling", "retrying", "broken", "refused"]))],
        "Age of the oldest change that is not in its target, by the target's state; unsequenced = it has no id yet",
    ),
    metric(
        "tenant_sync_lag_seconds",
        Histogram,
        SYNC_WORKER,
        &[],
        "From commit inside to commit in the target, of the oldest change of each turn; too long by at most sequencer.poll_interval",
    ),
    metric(
        "tenant_sync_passes_total",
        Counter,
        SEQUENCER,
        &[("outcome", Values::Of(&["done", "empty", "standby", "disabled", "failed"]))],
        "Passes of the sequencer, by what came of them",
    ),
    metric(
        "tenant_sync_sequencer_pass_seconds",
        Histogram,
        SEQUENCER,
        &[],
        "Duration of a pass of the sequencer",
    ),
    metric("tenant_sync_sequenced_rows_total", Counter, SEQUENCER, &[], "Rows that got a sequence id"),
    metric(
        "tenant_sync_sequencer_backlog_tenancies",
        Gauge,
        OBSERVERS,
        &[],
        "Tenancies with changes that a pass could not finish",
    ),
    metric(
        "tenant_sync_parked_rows",
        Gauge,
        OBSERVERS,
        &[],
        "Rows that refuse their sequence id and are set aside, counted up to 10000",
    ),
    metric(
        "tenant_sync_tracking_faults_total",
        Counter,
        OBSERVERS,
        &[],
        "Writes to tracked tables that could not be recorded, since the schema was made",
    ),
    metric(
        "tenant_sync_outbox_requests",
        Gauge,
        OBSERVERS,
        &[LANE, ("state", Values::Of(&["due", "waiting", "queued", "running"]))],
        "Targets to be synced (live, bulk), and destinations of HTTP requests (requests): due, waiting, in RabbitMQ, being worked on",
    ),
    metric(
        "tenant_sync_outbox_oldest_due_seconds",
        Gauge,
        OBSERVERS,
        &[LANE],
        "How long the oldest row that may be claimed has been due, 0 if none is; one that was claimed in vain is due anew",
    ),
    metric(
        "tenant_sync_outbox_asks",
        Gauge,
        OBSERVERS,
        &[],
        "Wishes of applications (enqueue_tenant_sync) that were not taken up yet, counted up to 10000",
    ),
    metric(
        "tenant_sync_outbox_asks_total",
        Counter,
        POLLER,
        &[],
        "Wishes of applications that were taken up",
    ),
    metric(
        "tenant_sync_outbox_visits_total",
        Counter,
        POLLER,
        &[],
        "Visits of targets that were due (sync.heartbeat)",
    ),
    metric("tenant_sync_poller_claim_seconds", Histogram, POLLER, &[], "Duration of a claim of due requests"),
    metric("tenant_sync_poller_claimed_total", Counter, POLLER, &[LANE], "Requests that were claimed"),
    metric(
        "tenant_sync_poller_published_total",
        Counter,
        POLLER,
        &[],
        "Messages that RabbitMQ has confirmed",
    ),
    metric(
        "tenant_sync_poller_given_back_total",
        Counter,
        POLLER,
        &[],
        "Requests that were given back because RabbitMQ did not confirm their message",
    ),
    metric(
        "tenant_sync_publish_confirm_seconds",
        Histogram,
        POLLER,
        &[],
        "From publishing a message to RabbitMQ's confirm",
    ),
    metric(
        "tenant_sync_rabbitmq_connected",
        Gauge,
        BOTH_ENDS,
        &[("role", Values::Of(&["publisher", "consumer"]))],
        "Whether the connection to RabbitMQ stands (1) or not (0)",
    ),
    metric(
        "tenant_sync_rabbitmq_faults_total",
        Counter,
        BOTH_ENDS,
        &[("role", Values::Of(&["publisher", "consumer"]))],
        "Times that RabbitMQ could not be reached or was lost",
    ),
    metric(
        "tenant_sync_dead_messages_total",
        Counter,
        CONSUMERS,
        &[("queue", Values::Of(&["tenant-sync.live", "tenant-sync.bulk", "tenant-sync.requests"]))],
        "Messages that could not be read and were moved to tenant-sync.dead",
    ),
    metric(
        "tenant_sync_jobs_total",
        Counter,
        SYNC_WORKER,
        &[("outcome", Values::Of(&["stale", "no_target", "up_to_date", "more", "failed", "given_back"]))],
        "Jobs of sync workers, by what came of them",
    ),
    metric(
        "tenant_sync_turn_seconds",
        Histogram,
        SYNC_WORKER,
        &[],
        "Duration of a turn: session, lock, reading, writing and commit",
    ),
    metric(
        "tenant_sync_rows_written_total",
        Counter,
        SYNC_WORKER,
        &[],
        "Rows that were written or deleted in targets",
    ),
    metric(
        "tenant_sync_differing_rows_total",
        Counter,
        SYNC_WORKER,
        &[],
        "Rows that differed from their source when they were compared, and were mended",
    ),
    metric(
        "tenant_sync_target_failures_total",
        Counter,
        SYNC_WORKER,
        &[("class", Values::ErrorClasses)],
        "Turns that failed because of their target",
    ),
    metric(
        "tenant_sync_source_rewound_total",
        Counter,
        SYNC_WORKER,
        &[],
        "Times that a target was found to be ahead of the internal database",
    ),
    metric(
        "tenant_sync_sessions",
        Gauge,
        SYNC_WORKER,
        &[("state", Values::Of(&["busy", "idle"]))],
        "Open sessions in targets, sampled every five seconds",
    ),
    metric(
        "tenant_sync_places",
        Gauge,
        SYNC_WORKER,
        &[("state", Values::Of(&["taken", "free"]))],
        "Places for jobs (sync.concurrency), sampled every five seconds",
    ),
    metric(
        "tenant_sync_targets",
        Gauge,
        OBSERVERS,
        &[("state", Values::Of(&["ok", "retrying", "broken", "paused", "refused"]))],
        "Targets, by the state of their breaker",
    ),
    metric(
        "tenant_sync_targets_filling",
        Gauge,
        OBSERVERS,
        &[],
        "Targets of which a table is being filled (first copy, new column, resync, repair), or is about to be",
    ),
    metric(
        "tenant_sync_refused_rows",
        Gauge,
        OBSERVERS,
        &[],
        "Rows that targets refuse and that are set aside",
    ),
    metric(
        "tenant_sync_outbox_delivery_asks_total",
        Counter,
        POLLER,
        &[],
        "Statements with HTTP requests that were taken up",
    ),
    metric(
        "tenant_sync_outbox_destinations_woken_total",
        Counter,
        POLLER,
        &[],
        "Destinations with requests that nobody had asked for, found by looking",
    ),
    metric(
        "tenant_sync_trigger_faults_total",
        Counter,
        POLLER,
        &[],
        "Statements of the application whose events could not be made",
    ),
    metric(
        "tenant_sync_deliveries_total",
        Counter,
        REQUEST_WORKER,
        &[(
            "outcome",
            Values::Of(&["stale", "no_destination", "done", "more", "crowded", "paused", "given_back"]),
        )],
        "Jobs of request workers, one a destination, by what came of them",
    ),
    metric(
        "tenant_sync_requests_total",
        Counter,
        REQUEST_WORKER,
        &[("class", Values::RequestClasses)],
        "Attempts to deliver an HTTP request, by what came of them",
    ),
    metric("tenant_sync_request_seconds", Histogram, REQUEST_WORKER, &[], "Duration of a call of a receiver"),
    metric(
        "tenant_sync_request_turn_seconds",
        Histogram,
        REQUEST_WORKER,
        &[],
        "Duration of a job of a request worker",
    ),
    metric(
        "tenant_sync_requests_dead_total",
        Counter,
        REQUEST_WORKER,
        &[],
        "HTTP requests that were given up after their last attempt",
    ),
    metric(
        "tenant_sync_oldest_unsent_seconds",
        Gauge,
        OBSERVERS,
        &[("state", Values::Of(&["ok", "retrying", "broken"]))],
        "How long the oldest HTTP request that is due has been due, by its destination's state; paused triggers' do not count",
    ),
    metric(
        "tenant_sync_destinations",
        Gauge,
        OBSERVERS,
        &[("state", Values::Of(&["ok", "retrying", "broken"]))],
        "Destinations of HTTP requests, by the state of their breaker",
    ),
    metric(
        "tenant_sync_console_logins_total",
        Counter,
        CONSOLE,
        &[("outcome", Values::Of(&["accepted", "refused", "delayed"]))],
        "Keys that were shown to the console: sessions begun, wrong keys, and addresses that have to wait",
    ),
    metric(
        "tenant_sync_workers",
        Gauge,
        OBSERVERS,
        &[("worker", Values::Of(&["sequencer", "poller", "sync-worker", "request-worker", "console"]))],
        "Workers that were seen in the last 30 seconds",
    ),
    metric(
        "tenant_sync_heartbeat_age_seconds",
        Gauge,
        OBSERVERS,
        &[("worker", Values::Of(&["sequencer", "poller", "sync-worker", "request-worker", "console"]))],
        "Time since any worker of a kind was seen; NaN if none was in a day, or all said goodbye",
    ),
    metric(
        "tenant_sync_switch_on",
        Gauge,
        OBSERVERS,
        &[("switch", Values::Of(&["sequencer", "poller", "sync_engine", "requests"]))],
        "The operator's switches (fusebox show): 1 on, 0 off",
    ),
    metric(
        "tenant_sync_observed_timestamp_seconds",
        Gauge,
        OBSERVERS,
        &[],
        "When the internal database was last looked at for these gauges",
    ),
    metric("tenant_sync_observation_duration_seconds", Gauge, OBSERVERS, &[], "How long that look took"),
    metric(
        "tenant_sync_trace_spans_total",
        Counter,
        EVERYBODY,
        &[("outcome", Values::Of(&["sent", "lost"]))],
        "Spans of traces that the collector took, and those that it did not or that were too many",
    ),
    metric(
        "tenant_sync_build_info",
        Gauge,
        EVERYBODY,
        &[
            ("worker", Values::Of(&["sequencer", "poller", "sync-worker", "request-worker", "console"])),
            ("version", Values::Version),
        ],
        "1 for the program that runs",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_units_follow_the_conventions() {
        let mut names = HashSet::new();
        for metric in ALL {
            let name = metric.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.starts_with("tenant_sync_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.shape == Shape::Counter, "{name}");
            if metric.shape == Shape::Histogram {
                assert!(name.ends_with("_seconds"), "{name}: buckets are of seconds");
            }
            assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn label_sets_are_bounded() {
        let series: usize = ALL.iter().map(|metric| metric.series().len()).sum();
        assert!(series < 250, "{series}");
        for metric in ALL {
            for (label, _) in metric.labels {
                assert!(
                    !["tenancy", "tenant", "target", "project"].contains(label),
                    "{}: {label}",
                    metric.name
                );
            }
        }
    }

    #[test]
    fn series_are_all_combinations() {
        let requests = ALL.iter().find(|m| m.name == "tenant_sync_outbox_requests").expect("listed");
        assert_eq!(requests.series().len(), 12);
        assert_eq!(requests.series()[0], [("lane", "live"), ("state", "due")]);
    }
}
