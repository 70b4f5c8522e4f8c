//! What a status is made of.

use schemars::JsonSchema;
use serde::Serialize;
use tenant_sync_core::status::MappingStatus;
use uuid::Uuid;

use crate::api::fusebox::Switches;
use crate::http::At;
use crate::targets::{Cause, TargetLine};

/// A count that stops at a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Count {
    /// How many.
    pub(crate) count: i64,
    /// There may be more.
    pub(crate) at_least: bool,
}

impl Count {
    /// `counted` goes one beyond `max` if there are more.
    pub(crate) fn up_to(max: i64, counted: i64) -> Self {
        Self { count: counted.min(max), at_least: counted > max }
    }
}

/// How everything is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overview {
    /// When it was looked at.
    pub(crate) at: At,
    /// The operator's switches.
    pub(crate) switches: Switches,
    /// Giving ids to changes.
    pub(crate) sequencer: SequencerStatus,
    /// Handing requests to RabbitMQ.
    pub(crate) poller: PollerStatus,
    /// HTTP requests, and where they go.
    pub(crate) requests: RequestsStatus,
    /// RabbitMQ.
    pub(crate) queues: QueuesStatus,
    /// Every instance that was seen within a minute.
    pub(crate) workers: Vec<WorkerStatus>,
    /// Each mapping over all targets.
    pub(crate) sync_engine: Vec<MappingProgress>,
    /// The targets as a whole.
    pub(crate) targets: Fleet,
}

/// How the tenants' external databases are, as a whole.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fleet {
    /// How many there are; an estimate of the server's statistics where `atLeast` is true.
    pub(crate) total: Count,
    /// Those that something is to be done for.
    pub(crate) waiting: Count,
    /// What is wrong with those whose state is not `ok`, the most frequent first.
    pub(crate) causes: Vec<Cause>,
}

/// How all or one tenancy is, with its targets.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    #[serde(flatten)]
    pub(crate) overview: Overview,
    /// A page of targets, by tenancy and id.
    pub(crate) external_databases: Vec<TargetLine>,
    /// Where the next page begins.
    pub(crate) next_cursor: Option<String>,
}

/// How one tenancy is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenancyStatus {
    /// When it was looked at.
    pub(crate) at: At,
    pub(crate) tenancy_id: Uuid,
    /// What of it waits for an id.
    pub(crate) sequencer: SequencerStatus,
    /// Its requests.
    pub(crate) poller: PollerStatus,
    /// Its targets.
    pub(crate) external_databases: Vec<TargetLine>,
}

/// Giving ids to changes.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SequencerStatus {
    /// The highest id ever given.
    pub(crate) last_sequence_id: Option<i64>,
    /// When the ledger of passes last moved on; passes that find nothing write nothing.
    pub(crate) last_pass_at: Option<At>,
    /// Each relation whose changes get ids, tombstones (`DeletedRow`) and the feed of tracked tables (`ChangedRow`)
    /// among them.
    pub(crate) relations: Vec<RelationStatus>,
    /// Tenancies that a pass could not finish.
    pub(crate) backlog_tenancies: i64,
    /// Rows that refuse their id and are tried again later.
    pub(crate) parked_rows: i64,
}

/// What waits in a relation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RelationStatus {
    pub(crate) relation: String,
    /// Rows without an id.
    pub(crate) pending: Count,
    /// No row that waits was changed before this; at most a minute too early.
    pub(crate) oldest_pending_at: Option<At>,
    /// The highest id among its rows. In the status of all: among the tenancies of the hundred targets that were visited
    /// last, because only a tenancy's ids are indexed.
    pub(crate) highest_sequence_id: Option<i64>,
}

/// Requests to sync, by state.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PollerStatus {
    /// Due, and nobody has taken them up.
    pub(crate) pending: Count,
    /// Due since, the oldest of them.
    pub(crate) oldest_pending_at: Option<At>,
    /// Due later: after a failure.
    pub(crate) later: Count,
    /// Handed to RabbitMQ and not begun.
    pub(crate) claimed: Count,
    /// Begun by a worker.
    pub(crate) running: Count,
    /// Taken up by somebody whose lease is over; due again by themselves.
    pub(crate) stale: Count,
    /// Wishes of applications that are not folded into requests yet.
    pub(crate) asks: Count,
}

/// HTTP requests, and the destinations that they go to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestsStatus {
    /// Requests that wait, for their first attempt or another one.
    pub(crate) waiting: Count,
    /// When the oldest of those that were counted was made.
    pub(crate) oldest_waiting_at: Option<At>,
    /// Requests that were given up.
    pub(crate) dead: Count,
    /// Destinations that are due, and nobody has taken them up.
    pub(crate) due_destinations: Count,
    /// Due since, the oldest of them.
    pub(crate) oldest_due_at: Option<At>,
    /// Destinations in RabbitMQ that no worker has begun.
    pub(crate) queued_destinations: Count,
    /// Since when the oldest of them is there.
    pub(crate) queued_since: Option<At>,
    /// Destinations that a worker sends to.
    pub(crate) running_destinations: Count,
    /// Destinations that answer with failures only.
    pub(crate) broken_destinations: Count,
    /// Triggers that are active.
    pub(crate) active_triggers: Count,
    /// Triggers that an operator, or nothing but failures, has paused.
    pub(crate) paused_triggers: Count,
    /// Triggers that make no events: their definition is broken.
    pub(crate) broken_triggers: Count,
}

/// RabbitMQ, as its management API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueuesStatus {
    /// Whether anything is known.
    pub(crate) known: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
    /// Address of RabbitMQ's own pages.
    pub(crate) management_url: Option<String>,
    /// When it was asked.
    pub(crate) at: Option<At>,
    pub(crate) queues: Vec<QueueStatus>,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueStatus {
    pub(crate) name: String,
    /// Whether the queue is there; without it the rest is null.
    pub(crate) exists: bool,
    /// Messages, delivered or not.
    pub(crate) depth: Option<i64>,
    /// Messages that nobody works on.
    pub(crate) ready: Option<i64>,
    /// Messages that a worker has and has not acknowledged.
    pub(crate) unacknowledged: Option<i64>,
    pub(crate) consumers: Option<i64>,
    /// Messages a second.
    pub(crate) published_per_second: Option<f64>,
    /// Messages a second.
    pub(crate) acknowledged_per_second: Option<f64>,
}

/// A running worker.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerStatus {
    /// `<host>-<pid>-<random>`
    pub(crate) id: String,
    /// Its program.
    pub(crate) kind: String,
    pub(crate) version: String,
    pub(crate) started_at: At,
    pub(crate) last_seen_at: At,
    /// It was seen within 30 s.
    pub(crate) alive: bool,
    /// When its main loop last did or found something; null before it has, and while its switch is off.
    pub(crate) last_iteration_at: Option<String>,
    /// Ids given, jobs handed over, rows written or requests delivered since it started.
    pub(crate) processed: Option<i64>,
    /// The same a second, between its last two heartbeats.
    pub(crate) processed_per_second: Option<f64>,
}

/// A mapping over all targets.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MappingProgress {
    pub(crate) mapping: String,
    /// The highest watermark over all targets: as of the last look at the installation, which comes every ten seconds where
    /// a sequencer or poller is up, or of the hundred targets that were visited last, if one of them is further.
    pub(crate) highest_sequence_id: Option<i64>,
    /// Rows that targets lack: of the targets that wait longest, up to fifty.
    pub(crate) rows_behind: Count,
}

/// How far a mapping is in a target.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MappingLag {
    pub(crate) name: String,
    /// Its watermark.
    pub(crate) last_synced_sequence_id: i64,
    /// Rows and deletes that are not there yet.
    pub(crate) rows_behind: Count,
    /// Age of the oldest change that is not there yet; 0 = it has all.
    pub(crate) lag_millis: u64,
    /// Every change committed before this instant is there.
    pub(crate) complete_as_of: Option<At>,
    /// It is being filled, or an operator asked for it.
    pub(crate) filling: bool,
    /// Rows that the target refuses.
    pub(crate) refused_rows: i32,
}

impl From<&MappingStatus> for MappingLag {
    fn from(status: &MappingStatus) -> Self {
        Self {
            name: status.name.clone(),
            last_synced_sequence_id: status.last_synced_sequence_id,
            rows_behind: Count { count: status.backlog_rows, at_least: status.backlog_is_at_least },
            lag_millis: u64::try_from(status.lag.as_millis()).unwrap_or(u64::MAX),
            complete_as_of: status.complete_as_of.map(At),
            filling: status.filling,
            refused_rows: status.refused_rows,
        }
    }
}
