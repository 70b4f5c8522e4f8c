//! Visits: every target is looked at now and then, also an idle one. Heartbeat and sweep in one.

use std::time::Duration;

use deadpool_postgres::Object;
use time::OffsetDateTime;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};

/// Asks for a sync of targets whose visit is due, oldest first, at most `limit`, and sets each one's next
/// visit to `interval` from now, give or take a tenth, so that targets made together drift apart. A target
/// whose row is there already is visited by that: its counter stays. Paused targets are not visited, ones
/// that somebody has locked are left for the next call. New rows belong to the trace of `traceparent`. Returns how many
/// visits were due.
///
/// # Errors
/// Postgres does.
pub async fn enqueue_due_visits(
    client: &Object,
    interval: Duration,
    limit: i64,
    traceparent: Option<&str>,
) -> Result<i64, Error> {
    let text = r#"
with due as materialized (
    select "tenancyId", id from "ExternalDatabase"
    where "nextVisitAt" <= now() and state <> 'paused'
    order by "nextVisitAt" limit $1
    for update skip locked
), moved as (
    update "ExternalDatabase" e
    set "nextVisitAt" = now() + $2 * (0.9 + 0.2 * random()) * interval '1 second'
    from due where e."tenancyId" = due."tenancyId" and e.id = due.id
), asked as (
    insert into "OutgoingRequest" (kind, "deduplicationKey", "tenancyId", "databaseId", traceparent)
    select 'sync', 'sync:' || "tenancyId" || ':' || id, "tenancyId", id, $3 from due
    order by 2
    on conflict ("deduplicationKey") where kind = 'sync' do nothing
)
select count(*) from due"#;
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&limit, Type::INT8), (&interval.as_secs_f64(), Type::FLOAT8), (&traceparent, Type::TEXT)];
    Ok(client.query_typed_one(text, &parameters).await?.get(0))
}

/// Takes the turn of `duty` for `length`: `true` for one caller in that time, over all processes. So a rate
/// holds however many pollers there are, and whoever dies in its turn is followed by another.
///
/// # Errors
/// Postgres does.
pub async fn take_turn(client: &Object, duty: &str, length: Duration) -> Result<bool, Error> {
    Ok(turn_taken_at(client, duty, length).await?.is_some())
}

/// As [`take_turn`], and since when the turn is the caller's, by the server's clock: two turns of a duty are at least as far apart as
/// the first is long, however long what is done in them takes.
///
/// # Errors
/// Postgres does.
pub async fn turn_taken_at(
    client: &Object,
    duty: &str,
    length: Duration,
) -> Result<Option<OffsetDateTime>, Error> {
    let text = r#"
insert into "CacheEntry" as turn (namespace, "cacheKey", "expiresAt")
values ('turn', $1, now() + $2 * interval '1 second')
on conflict (namespace, "cacheKey") do update set "expiresAt" = excluded."expiresAt"
where turn."expiresAt" <= now()
returning now()"#;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&duty, Type::TEXT), (&length.as_secs_f64(), Type::FLOAT8)];
    Ok(client.query_typed(text, &parameters).await?.first().map(|row| row.get(0)))
}
