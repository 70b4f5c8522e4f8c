//! A trigger as the API tells it.

use schemars::JsonSchema;
use serde::Serialize;
use tenant_sync_core::triggers::{COUNT_MAX, Line};
use uuid::Uuid;

use crate::http::At;
use crate::status::Count;

/// A trigger, and how its receiver does. No secret, and no header's value.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trigger {
    pub(crate) id: Uuid,
    /// Whose rows; null = all tenants'.
    pub(crate) tenancy_id: Option<Uuid>,
    /// The table; null = events of tenant-sync itself.
    pub(crate) table: Option<String>,
    /// First part of its events' names.
    pub(crate) event: Option<String>,
    /// Which changes: `insert`, `update`, `delete`.
    pub(crate) on: Vec<String>,
    /// Which events of tenant-sync.
    pub(crate) events: Vec<String>,
    /// Columns that count in an update.
    pub(crate) columns: Option<Vec<String>>,
    /// The condition on the row.
    pub(crate) when: Option<serde_json::Value>,
    pub(crate) url: String,
    pub(crate) header_names: Vec<String>,
    /// How many secrets sign its requests; null = not known.
    pub(crate) secret_count: Option<usize>,
    /// Since when each of them does, the newest first; null = since before that was noted.
    pub(crate) secrets_since: Option<Vec<Option<At>>>,
    /// `active`, `paused` or `broken`.
    pub(crate) state: String,
    /// Why it is not active.
    pub(crate) state_reason: Option<String>,
    pub(crate) state_since: At,
    /// Statements that made no events although they should have.
    pub(crate) missed_statements: i64,
    /// SQLSTATE of the last of them.
    pub(crate) last_fault: Option<String>,
    pub(crate) last_fault_at: Option<At>,
    pub(crate) ordered: bool,
    pub(crate) max_events: i32,
    /// Requests at once; null = `requests.parallelism`.
    pub(crate) parallelism: Option<i32>,
    pub(crate) rate_per_second: Option<f64>,
    pub(crate) batch_events: i32,
    pub(crate) batch_wait_millis: i32,
    /// Longest time of a request; null = `requests.timeout`.
    pub(crate) timeout_millis: Option<i32>,
    /// How the receiver answers: `ok`, `retrying` or `broken`.
    pub(crate) destination_state: String,
    pub(crate) consecutive_failures: i32,
    /// What went wrong last.
    pub(crate) last_error: Option<String>,
    pub(crate) last_success_at: Option<At>,
    /// Nothing is tried before this, because nothing else than failures came.
    pub(crate) next_attempt_at: Option<At>,
    /// Requests that wait.
    pub(crate) waiting: Count,
    /// When the oldest of those that were counted was made.
    pub(crate) oldest_waiting_at: Option<At>,
    /// Requests that were given up.
    pub(crate) dead: Count,
    pub(crate) created_at: At,
}

impl From<Line> for Trigger {
    fn from(line: Line) -> Self {
        Self {
            id: line.id,
            tenancy_id: line.tenancy_id,
            table: line.table,
            event: line.event,
            on: line.operations,
            events: line.events,
            columns: line.columns,
            when: line.condition.and_then(|text| serde_json::from_str(&text).ok()),
            url: line.url,
            header_names: line.header_names,
            secret_count: line.secrets_since.as_ref().map(Vec::len),
            secrets_since: line.secrets_since.map(|all| all.into_iter().map(|at| at.map(At)).collect()),
            state: line.state,
            state_reason: line.state_reason,
            state_since: At(line.state_since),
            missed_statements: line.missed_statements,
            last_fault: line.last_fault,
            last_fault_at: line.last_fault_at.map(At),
            ordered: line.ordered,
            max_events: line.event_limit,
            parallelism: line.parallelism,
            rate_per_second: line.rate_per_second,
            batch_events: line.batch_events,
            batch_wait_millis: line.batch_wait_millis,
            timeout_millis: line.timeout_millis,
            destination_state: line.destination_state,
            consecutive_failures: line.consecutive_failures,
            last_error: line.last_error,
            last_success_at: line.last_success_at.map(At),
            next_attempt_at: line.next_attempt_at.map(At),
            waiting: Count::up_to(COUNT_MAX, line.waiting),
            oldest_waiting_at: line.oldest_waiting_at.map(At),
            dead: Count::up_to(COUNT_MAX, line.dead),
            created_at: At(line.created_at),
        }
    }
}

/// Triggers, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TriggerPage {
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) next_cursor: Option<String>,
}
