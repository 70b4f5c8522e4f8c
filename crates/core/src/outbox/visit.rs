//! Visits: every target is looked at now and then, also an idle one. Heartbeat and sweep in one.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Error;

/// Asks for a sync of targets whose visit is due, oldest first, at most `limit`, and sets each one's next
/// visit to `interval` from now, give or take a tenth, so that targets made together drift apart. A target
/// whose row is there already is visited by that: its counter stays. Paused targets are not visited, ones
/// that somebody has locked are left for the next call. Returns how many visits were due.
///
/// # Errors
/// Postgres does.
pub async fn enqueue_due_visits(client: &Object, interval: Duration, limit: i64) -> Result<i64, Error> {
    let statement = client
        .prepare_cached(
            r#"
with due as materialized (
    select "tenancyId", id from "ExternalDatabase"
    where "nextVisitAt" <= now() and state <> 'paused'
    order by "nextVisitAt" limit $1
    for update skip locked
), moved as (
    update "ExternalDatabase" e
    set "nextVisitAt" = now() + $2::float8 * (0.9 + 0.2 * random()) * interval '1 second'
    from due where e."tenancyId" = due."tenancyId" and e.id = due.id
), asked as (
    insert into "OutgoingRequest" (kind, "deduplicationKey", "tenancyId", "databaseId")
    select 'sync', 'sync:' || "tenancyId" || ':' || id, "tenancyId", id from due
    order by "tenancyId", id collate "C"
    on conflict ("deduplicationKey") where "deduplicationKey" is not null do nothing
)
select count(*) from due"#,
        )
        .await?;
    Ok(client.query_one(&statement, &[&limit, &interval.as_secs_f64()]).await?.get(0))
}
