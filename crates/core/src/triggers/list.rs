//! What there is to say about triggers.

use time::OffsetDateTime;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// A trigger, and how its destination does.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// "HttpTrigger".id
    pub id: Uuid,
    /// Whose rows; `None` = all tenants'.
    pub tenancy_id: Option<Uuid>,
    /// The table; `None` = events of our own.
    pub table: Option<String>,
    /// First part of its events' names.
    pub event: Option<String>,
    /// Which changes.
    pub operations: Vec<String>,
    /// Which events of ours.
    pub events: Vec<String>,
    /// Columns that count in an update.
    pub columns: Option<Vec<String>>,
    /// The condition, as JSON.
    pub condition: Option<String>,
    /// Whom it calls.
    pub url: String,
    /// Names of the headers that are sent along; their values may be secret.
    pub header_names: Vec<String>,
    /// `active`, `paused` or `broken`.
    pub state: String,
    /// Why, if it is not active.
    pub state_reason: Option<String>,
    /// Since when.
    pub state_since: OffsetDateTime,
    /// Statements that made no events.
    pub missed_statements: i64,
    /// SQLSTATE of the last of them.
    pub last_fault: Option<String>,
    /// When that was.
    pub last_fault_at: Option<OffsetDateTime>,
    /// Events of one row go one after the other.
    pub ordered: bool,
    /// A statement that makes more events makes one with their number.
    pub event_limit: i32,
    /// Requests at once; `None` = as configured.
    pub parallelism: Option<i32>,
    /// Requests a second; `None` = no bound.
    pub rate_per_second: Option<f64>,
    /// Events in one request, at most.
    pub batch_events: i32,
    /// How long a request waits to be filled.
    pub batch_wait_millis: i32,
    /// `ok`, `retrying` or `broken`: how the destination answers.
    pub destination_state: String,
    /// Failures in a row.
    pub consecutive_failures: i32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When a request last succeeded.
    pub last_success_at: Option<OffsetDateTime>,
    /// Requests that wait, at most [`super::COUNT_MAX`] + 1.
    pub waiting: i64,
    /// Requests that were given up, counted likewise.
    pub dead: i64,
    /// When it was registered.
    pub created_at: OffsetDateTime,
    /// Longest time of a request; `None` = as configured.
    pub timeout_millis: Option<i32>,
    /// Since when each of its secrets signs, the newest first; `None` = since before this was noted.
    pub secrets_since: Option<Vec<Option<OffsetDateTime>>>,
    /// When the oldest of the requests that wait, as far as they were counted, was made.
    pub oldest_waiting_at: Option<OffsetDateTime>,
    /// Its breaker is open: nothing is tried before this.
    pub next_attempt_at: Option<OffsetDateTime>,
}

/// Of a trigger "t" with its destination "d"; `$1` is where counts end.
pub(super) const COLUMNS: &str = r#"
t."id", t."tenancyId", h."name", h."event", t."operations", t."events", t."columns", t."condition"::text, t."url",
array(select jsonb_object_keys(t."headers") order by 1), t."state", t."stateReason", t."stateSince",
t."missedStatements", t."lastFault", t."lastFaultAt", t."ordered", t."eventLimit", d."parallelism",
d."ratePerSecond", d."batchEvents", d."batchWaitMillis", d."state", d."consecutiveFailures", d."lastError",
d."lastSuccessAt", w.number, x.number, t."createdAt", t."timeoutMillis", t."secretsSince", w.oldest, d."nextAttemptAt""#;

/// What belongs to it.
pub(super) const JOINS: &str = r#"
left join "HttpTable" h on h."id" = t."tableId"
cross join lateral (
    select count(*) as number, min(q."createdAt") as oldest from (
        select r."createdAt" from "OutgoingRequest" r
        where r.kind = 'http' and r.state = 'pending' and r."destinationId" = t."id" order by r."dueAt", r.position limit $1) q) w
cross join lateral (
    select count(*) as number from (
        select from "OutgoingRequest" r where r.kind = 'http' and r.state = 'dead' and r."destinationId" = t."id" limit $1) q) x"#;

pub(super) fn read(row: &Row) -> Result<Line, Error> {
    Ok(Line {
        id: row.try_get(0)?,
        tenancy_id: row.try_get(1)?,
        table: row.try_get(2)?,
        event: row.try_get(3)?,
        operations: row.try_get(4)?,
        events: row.try_get(5)?,
        columns: row.try_get(6)?,
        condition: row.try_get(7)?,
        url: row.try_get(8)?,
        header_names: row.try_get(9)?,
        state: row.try_get(10)?,
        state_reason: row.try_get(11)?,
        state_since: row.try_get(12)?,
        missed_statements: row.try_get(13)?,
        last_fault: row.try_get(14)?,
        last_fault_at: row.try_get(15)?,
        ordered: row.try_get(16)?,
        event_limit: row.try_get(17)?,
        parallelism: row.try_get(18)?,
        rate_per_second: row.try_get(19)?,
        batch_events: row.try_get(20)?,
        batch_wait_millis: row.try_get(21)?,
        destination_state: row.try_get(22)?,
        consecutive_failures: row.try_get(23)?,
        last_error: row.try_get(24)?,
        last_success_at: row.try_get(25)?,
        waiting: row.try_get(26)?,
        dead: row.try_get(27)?,
        created_at: row.try_get(28)?,
        timeout_millis: row.try_get(29)?,
        secrets_since: row.try_get(30)?,
        oldest_waiting_at: row.try_get(31)?,
        next_attempt_at: row.try_get(32)?,
    })
}
