//! Asking for syncs: by our own processes at once, by applications through rows of kind `ask`.

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

use super::{NOTIFY_CHANNEL, TargetKey};

/// Asks for a sync of these targets: a new pending row, or one more on the counter of the one that is there,
/// whose due time (a back-off, a lease) stays. Paused targets and ones that do not exist are left out. The jobs belong
/// to the trace of `traceparent`, as those of a pass do to its own. Waits for rows that somebody has locked, in the order that all of us keep. Returns how many were asked for.
///
/// # Errors
/// Postgres does.
pub async fn enqueue(
    client: &Object,
    targets: &[TargetKey],
    traceparent: Option<&str>,
) -> Result<u64, Error> {
    let (tenancies, databases): (Vec<_>, Vec<_>) =
        targets.iter().map(|t| (t.tenancy_id, t.database_id.as_str())).unzip();
    let text = r#"
insert into "OutgoingRequest" (kind, "deduplicationKey", "tenancyId", "databaseId", traceparent)
select distinct 'sync', 'sync:' || e."tenancyId" || ':' || e.id, e."tenancyId", e.id, $3
from unnest($1, $2) as asked(tenancy, database)
join "ExternalDatabase" e on e."tenancyId" = asked.tenancy and e.id = asked.database
where e.state <> 'paused'
order by 2
on conflict ("deduplicationKey") where kind = 'sync'
do update set counter = "OutgoingRequest".counter + 1, traceparent = excluded.traceparent"#;
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&tenancies, Type::UUID_ARRAY), (&databases, Type::TEXT_ARRAY), (&traceparent, Type::TEXT)];
    client.execute_typed(text, &parameters).await
}

/// What one call of [`fold_asks`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded {
    /// Rows of kind `ask` that are gone.
    pub asks: i64,
    /// Targets that were asked for.
    pub targets: i64,
}

/// Turns what applications asked for (rows of kind `ask`, one a target, which `enqueue_tenant_sync` only
/// inserts) into sync rows, oldest first, at most `limit` asks. An ask for a target that is paused or gone
/// meanwhile comes to nothing.
///
/// Waits for nobody: what it touches it locks first, and where a target's sync row is locked by somebody else
/// it leaves that target's asks for a later call. The jobs belong to the trace of `traceparent`.
///
/// # Errors
/// Postgres does.
pub async fn fold_asks(client: &Object, limit: i64, traceparent: Option<&str>) -> Result<Folded, Error> {
    let text = r#"
with asks as materialized (
    select id, "tenancyId", "databaseId" from "OutgoingRequest" where kind = 'ask' order by "createdAt" limit $1
    for update skip locked
), targets as materialized (
    select distinct e."tenancyId", e.id as "databaseId", 'sync:' || e."tenancyId" || ':' || e.id as key
    from asks a join "ExternalDatabase" e on e."tenancyId" = a."tenancyId" and e.id = a."databaseId"
    where e.state <> 'paused'
), present as materialized (
    select r.id, t.key from "OutgoingRequest" r join targets t on r."deduplicationKey" = t.key where r.kind = 'sync'
), locked as materialized (
    select r.id from "OutgoingRequest" r where r.id in (select id from present) for update skip locked
), busy as materialized (
    select key from present where id not in (select id from locked)
), gone as (
    delete from "OutgoingRequest" r using asks a
    where r.id = a.id and 'sync:' || a."tenancyId" || ':' || a."databaseId" not in (select key from busy)
    returning r.id
), asked as (
    insert into "OutgoingRequest" (kind, "deduplicationKey", "tenancyId", "databaseId", traceparent)
    select 'sync', t.key, t."tenancyId", t."databaseId", $2 from targets t where t.key not in (select key from busy)
    order by 2
    on conflict ("deduplicationKey") where kind = 'sync'
    do update set counter = "OutgoingRequest".counter + 1, traceparent = excluded.traceparent
    returning 1
)
select (select count(*) from gone), (select count(*) from asked)"#;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&limit, Type::INT8), (&traceparent, Type::TEXT)];
    let row = client.query_typed_one(text, &parameters).await?;
    Ok(Folded { asks: row.get(0), targets: row.get(1) })
}

/// Wakes the pollers of this schema. Only our own processes may do this: a NOTIFY takes one lock in the whole
/// cluster until its commit is flushed.
///
/// # Errors
/// Postgres does.
pub async fn notify(client: &Object) -> Result<(), Error> {
    client.execute_typed("select pg_notify($1, current_schema())", &[(&NOTIFY_CHANNEL, Type::TEXT)]).await?;
    Ok(())
}
