//! What there is to say about triggers.

use deadpool_postgres::Object;
use time::OffsetDateTime;
use tokio_postgres::types::{ToSql, Type};
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
    /// Requests that wait, counted up to 10,000.
    pub waiting: i64,
    /// Requests that were given up, counted likewise.
    pub dead: i64,
    /// When it was registered.
    pub created_at: OffsetDateTime,
}

const LIST: &str = r#"
select t."id", t."tenancyId", h."name", h."event", t."operations", t."events", t."columns", t."condition"::text, t."url",
       array(select jsonb_object_keys(t."headers") order by 1), t."state", t."stateReason", t."stateSince",
       t."missedStatements", t."lastFault", t."lastFaultAt", t."ordered", t."eventLimit", d."parallelism",
       d."ratePerSecond", d."batchEvents", d."batchWaitMillis", d."state", d."consecutiveFailures", d."lastError",
       d."lastSuccessAt",
       (select count(*) from (select from "OutgoingRequest" r where r.kind = 'http' and r.state = 'pending'
                              and r."destinationId" = t."id" limit 10000) w),
       (select count(*) from (select from "OutgoingRequest" r where r.kind = 'http' and r.state = 'dead'
                              and r."destinationId" = t."id" limit 10000) w),
       t."createdAt"
from "HttpTrigger" t
join "HttpDestination" d on d."id" = t."id"
left join "HttpTable" h on h."id" = t."tableId"
where ($1::uuid is null or t."id" = $1) and ($2::uuid is null or t."tenancyId" = $2)
order by t."createdAt", t."id""#;

/// All triggers, one of them, or those of one tenancy; oldest first.
///
/// # Errors
/// Postgres does.
pub async fn list(client: &Object, id: Option<Uuid>, tenancy_id: Option<Uuid>) -> Result<Vec<Line>, Error> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::UUID), (&tenancy_id, Type::UUID)];
    client.query_typed(LIST, &parameters).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Line, Error> {
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
    })
}
