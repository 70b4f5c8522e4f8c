//! How full the outbox is, for people and charts. Counts are bounded.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::TargetKey;
use crate::db::{kept, kept_one};

/// Requests are counted up to here, in each state.
pub const COUNT_MAX: i64 = 5_000;
/// One more tells that there are more.
const LOOKED_MAX: i64 = COUNT_MAX + 1;
/// Requests in each lane among which those that wait longest are looked for.
const LONGEST_AMONG: i64 = 10_000;

/// How many requests to sync are in which state; each count at most [`COUNT_MAX`] + 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fill {
    /// Due, and nobody has taken them up.
    pub pending: i64,
    /// Pending since, the oldest of them.
    pub oldest_pending_at: Option<OffsetDateTime>,
    /// Later, after a failure or because a lease still runs.
    pub later: i64,
    /// Handed to RabbitMQ and not begun.
    pub claimed: i64,
    /// Begun.
    pub running: i64,
    /// Claimed or begun, by somebody whose lease is over: due again by itself.
    pub stale: i64,
    /// What applications asked for and nobody has folded yet.
    pub asks: i64,
}

/// Looks at the outbox of one tenancy or of all. Rows that are due are few where pollers run, and rows with a later due
/// time are those of targets that are worked on or wait after a failure.
///
/// # Errors
/// Postgres does.
pub async fn fill<C: GenericClient>(client: &C, tenancy_id: Option<Uuid>) -> Result<Fill, Error> {
    let arms = match tenancy_id {
        Some(_) => {
            let of_tenancy = |due: bool| arm(due, r#"r."tenancyId" = $1"#, "");
            vec![of_tenancy(true), of_tenancy(false)]
        }
        None => [true, false]
            .into_iter()
            .flat_map(|due| {
                ["live", "bulk"].map(|lane| arm(due, &format!("r.lane = '{lane}'"), r#"order by r."dueAt""#))
            })
            .collect(),
    };
    let (asks, parameters): (_, &[&(dyn ToSql + Sync)]) = match &tenancy_id {
        Some(id) => (r#"r.kind = 'ask' and r."tenancyId" = $1"#, &[id]),
        None => ("r.kind = 'ask'", &[]),
    };
    let sql = format!(
        r#"
select coalesce(sum(a.waiting) filter (where a.due), 0)::int8, min(a.oldest), coalesce(sum(a.waiting) filter (where not a.due), 0)::int8,
       coalesce(sum(a.started - a.running) filter (where not a.due), 0)::int8,
       coalesce(sum(a.running) filter (where not a.due), 0)::int8, coalesce(sum(a.started) filter (where a.due), 0)::int8,
       (select count(*) from (
            select from "OutgoingRequest" r where {asks} order by r."createdAt" limit {LOOKED_MAX}) asked)
from ({}) a"#,
        arms.join(" union all ")
    );
    let row = kept_one(client, &sql, parameters).await?;
    Ok(Fill {
        pending: row.try_get(0)?,
        oldest_pending_at: row.try_get(1)?,
        later: row.try_get(2)?,
        claimed: row.try_get(3)?,
        running: row.try_get(4)?,
        stale: row.try_get(5)?,
        asks: row.try_get(6)?,
    })
}

/// Counts one range of the requests to sync that are due, or are not. The fewest columns and the plainest aggregates: it is
/// thousands of rows.
fn arm(due: bool, range: &str, order: &str) -> String {
    let side = if due { "<=" } else { ">" };
    format!(
        r#"
select {due} as due, count(*) - count(q.started) as waiting, count(q.started) as started, count(q.running) as running,
       {oldest} as oldest
from (select r."dueAt" as at, r."startedFulfillingAt" as started, r."runningSince" as running from "OutgoingRequest" r
      where r.kind = 'sync' and {range} and r."dueAt" {side} now() {order} limit {LOOKED_MAX}) q"#,
        oldest = if due { "min(q.at) filter (where q.started is null)" } else { "null::timestamptz" },
    )
}

/// How many HTTP requests and destinations are in which state; each count at most [`COUNT_MAX`] + 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestsFill {
    /// Requests that wait, for their first attempt or another one.
    pub waiting: i64,
    /// When the oldest of those that were counted was made.
    pub oldest_waiting_at: Option<OffsetDateTime>,
    /// Requests that were given up.
    pub dead: i64,
    /// Destinations that are due, and nobody has taken them up.
    pub due: i64,
    /// Due since, the oldest of them.
    pub oldest_due_at: Option<OffsetDateTime>,
    /// Destinations in RabbitMQ that no worker has begun.
    pub queued: i64,
    /// Since when the oldest of them is there.
    pub queued_since: Option<OffsetDateTime>,
    /// Destinations that a worker sends to.
    pub running: i64,
    /// Triggers that are active.
    pub active_triggers: i64,
    /// Triggers that an operator, or nothing but failures, has paused.
    pub paused_triggers: i64,
    /// Triggers that make no events: their definition is broken.
    pub broken_triggers: i64,
    /// Destinations that answer with failures only.
    pub broken_destinations: i64,
}

/// Looks at the HTTP requests and their destinations.
///
/// # Errors
/// Postgres does.
pub async fn requests_fill<C: GenericClient>(client: &C) -> Result<RequestsFill, Error> {
    let sql = format!(
        r#"
select w.n, w.oldest, (
           select count(*) from (select from "OutgoingRequest" r where r.kind = 'http' and r.state = 'dead' limit {LOOKED_MAX}) q),
       d.due, d.oldest, d.queued, d.since, d.running, t.active, t.paused, t.broken, (
           select count(*) from (select from "HttpDestination" h where h."state" = 'broken' limit {LOOKED_MAX}) q)
from (select count(*) as n, min(q."createdAt") as oldest from (
          select r."createdAt" from "OutgoingRequest" r where r.kind = 'http' and r.state = 'pending' limit {LOOKED_MAX}) q) w,
     (select count(*) filter (where q.due) as due, min(q."dueAt") filter (where q.due) as oldest,
             count(*) filter (where q.queued) as queued, min(q."startedFulfillingAt") filter (where q.queued) as since,
             count(*) filter (where q.running) as running
      from (select r."dueAt", r."startedFulfillingAt", r."dueAt" <= now() as due,
                   r."dueAt" > now() and r."startedFulfillingAt" is not null and r."runningSince" is null as queued,
                   r."dueAt" > now() and r."runningSince" is not null as running
            from "OutgoingRequest" r where r.kind = 'delivery' order by r."dueAt" limit {LOOKED_MAX}) q) d,
     (select count(*) filter (where q."state" = 'active') as active, count(*) filter (where q."state" = 'paused') as paused,
             count(*) filter (where q."state" = 'broken') as broken
      from (select h."state" from "HttpTrigger" h limit {LOOKED_MAX}) q) t"#
    );
    let row = kept_one(client, &sql, &[]).await?;
    Ok(RequestsFill {
        waiting: row.try_get(0)?,
        oldest_waiting_at: row.try_get(1)?,
        dead: row.try_get(2)?,
        due: row.try_get(3)?,
        oldest_due_at: row.try_get(4)?,
        queued: row.try_get(5)?,
        queued_since: row.try_get(6)?,
        running: row.try_get(7)?,
        active_triggers: row.try_get(8)?,
        paused_triggers: row.try_get(9)?,
        broken_triggers: row.try_get(10)?,
        broken_destinations: row.try_get(11)?,
    })
}

/// Targets that something is to be done for, those that wait longest first; at most `limit`. A target without such a row
/// has everything.
///
/// # Errors
/// Postgres does.
pub async fn waiting<C: GenericClient>(client: &C, limit: i64) -> Result<Vec<TargetKey>, Error> {
    let sql = format!(
        r#"
select q."tenancyId", q."databaseId" from (
    (select r."tenancyId", r."databaseId", r."createdAt" from "OutgoingRequest" r
     where r.kind = 'sync' and r.lane = 'live' order by r."dueAt" limit {limit})
    union all
    (select r."tenancyId", r."databaseId", r."createdAt" from "OutgoingRequest" r
     where r.kind = 'sync' and r.lane = 'bulk' order by r."dueAt" limit {limit})) q
order by q."createdAt" limit {limit}"#
    );
    let rows = kept(client, &sql, &[]).await?;
    rows.iter()
        .map(|row| Ok(TargetKey { tenancy_id: row.try_get(0)?, database_id: row.try_get(1)? }))
        .collect()
}

/// The targets that wait longest for what they were asked for, first those that were asked first; at most `limit`, of
/// those of 10,000 requests in each lane. A target that was looked at and lacks nothing has no request.
///
/// # Errors
/// Postgres does.
pub async fn waiting_longest<C: GenericClient>(client: &C, limit: i64) -> Result<Vec<TargetKey>, Error> {
    let sql = format!(
        r#"
select q."tenancyId", q."databaseId" from (
    (select r."tenancyId", r."databaseId", r."createdAt" from "OutgoingRequest" r
     where r.kind = 'sync' and r.lane = 'live' order by r."dueAt" limit {LONGEST_AMONG})
    union all
    (select r."tenancyId", r."databaseId", r."createdAt" from "OutgoingRequest" r
     where r.kind = 'sync' and r.lane = 'bulk' order by r."dueAt" limit {LONGEST_AMONG})) q
order by q."createdAt", q."tenancyId", q."databaseId" limit $1"#
    );
    let rows = client.query(&sql, &[&limit]).await?;
    rows.iter()
        .map(|row| Ok(TargetKey { tenancy_id: row.try_get(0)?, database_id: row.try_get(1)? }))
        .collect()
}
