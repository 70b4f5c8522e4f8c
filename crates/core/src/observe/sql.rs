//! The look itself: one statement that reads and stores, so that everything is of one snapshot.
//!
//! It goes over the requests, the targets and their progress: some rows a target and one a destination, never the rows of
//! a tenant and never all events.

use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use serde_json::Value;
use tokio_postgres::Error;
use tokio_postgres::types::Type;

use super::{Observation, ObserveError};

/// Longest time of a look.
const LONGEST: Duration = Duration::from_secs(10);

/// What was stored last, and its age in seconds.
pub(super) async fn stored(client: &Object) -> Result<Option<(Observation, f64)>, Error> {
    let text = r#"
select payload, extract(epoch from clock_timestamp() - "createdAt")::float8 from "CacheEntry"
where namespace = 'observation' and "cacheKey" = 'installation'"#;
    let Some(row) = client.query_typed_opt(text, &[]).await? else { return Ok(None) };
    // One that a neighbouring version has written and that we cannot read counts as none.
    let Ok(observation) = serde_json::from_value(row.try_get(0)?) else { return Ok(None) };
    Ok(Some((observation, row.try_get(1)?)))
}

/// - What has no id yet is no older than the last snapshot, of an earlier look or of a pass, in which its transaction
///   had not begun. Looks keep the last twelve of theirs for this, passes some thousands.
/// - What has an id lies in its target if there is no request for it. If there is one, everything from before
///   `completeAsOf` is there, and so is what was committed before the request was made.
/// - HTTP requests are looked at from destination to destination, by the first of each in the index, whether or not anybody
///   has taken them up: their age must be right also when pollers and request workers are gone. A trigger's id is that of
///   its destination. The look-ups have a limit so that each is one, whatever statistics say of how many there are.
const LOOK: &str = r#"
with recursive before as (
    select payload -> 'snapshots' as snapshots from "CacheEntry"
    where namespace = 'observation' and "cacheKey" = 'installation'
), snapshots as (
    select now() as at, pg_snapshot_xmax(pg_current_snapshot()) as xmax
    union all
    select to_timestamp((s ->> 'at')::float8), (s ->> 'xmax')::xid8
    from before, jsonb_array_elements(before.snapshots) s
    where (s ->> 'xmax')::xid8 <= pg_snapshot_xmax(pg_current_snapshot())
), waits as materialized (
    select sequencing_waits_from() as xid
), unsequenced as (
    select coalesce(
        (select k.at from (
            (select s.at from snapshots s where s.xmax <= w.xid order by s.at desc limit 1)
            union all
            (select p."at" from "SequencerPass" p where p."fromXid" <= w.xid order by p."pass" desc limit 1)) k
         order by k.at desc limit 1),
        (select p."at" from "SequencerPass" p order by p."pass" limit 1), now()) as since
    from waits w where w.xid is not null
), standing as (
    select s."tenancyId", s."databaseId", sum(s."refusedRows") as refused,
           bool_or(s."filling" or s."fillRequested" or s."mappingVersion" is null) as filling,
           case when bool_and(s."completeAsOf" is not null) then min(s."completeAsOf") end as complete
    from "SyncState" s group by 1, 2
), requests as (
    select r.lane, r."dueAt", greatest(r."createdAt", s.complete) as since,
           case when r."dueAt" <= now() then 'due' when r."runningSince" is not null then 'running'
                when r."startedFulfillingAt" is not null then 'queued' else 'waiting' end as state,
           case when d.state = 'ok' and s.filling is not false then 'filling' else d.state end as target
    from "OutgoingRequest" r
    join "ExternalDatabase" d on d."tenancyId" = r."tenancyId" and d.id = r."databaseId"
    left join standing s on s."tenancyId" = r."tenancyId" and s."databaseId" = r."databaseId"
    where r.kind = 'sync'
), deliveries as (
    select r."dueAt", case when r."dueAt" <= now() then 'due' when r."runningSince" is not null then 'running'
                           when r."startedFulfillingAt" is not null then 'queued' else 'waiting' end as state
    from "OutgoingRequest" r where r.kind = 'delivery'
), firsts (id, due) as (
    (select r."destinationId", r."dueAt" from "OutgoingRequest" r
     where r.kind = 'http' and r.state = 'pending' order by 1, 2 limit 1)
    union all
    select n.id, n.due from firsts f cross join lateral (
        select r."destinationId" as id, r."dueAt" as due from "OutgoingRequest" r
        where r.kind = 'http' and r.state = 'pending' and r."destinationId" > f.id order by 1, 2 limit 1) n
), unsent as (
    select coalesce(d.state, 'ok') as destination, min(f.due) as since
    from firsts f
    left join lateral (select d.state from "HttpDestination" d where d.id = f.id limit 1) d on true
    left join lateral (select t.state from "HttpTrigger" t where t.id = f.id limit 1) t on true
    where f.due <= now() and coalesce(t.state, 'active') = 'active'
    group by 1
), lanes as (
    select r.lane, r.state, r."dueAt" from requests r
    union all
    select 'requests', d.state, d."dueAt" from deliveries d
), seen as (
    select jsonb_build_object(
        'at', extract(epoch from now()),
        'unsequencedSince', (select extract(epoch from u.since) from unsequenced u),
        'undeliveredSince', (select coalesce(jsonb_object_agg(q.target, q.since), '{}') from (
            select r.target, extract(epoch from min(r.since)) as since from requests r group by 1) q),
        'unsentSince', (select coalesce(jsonb_object_agg(u.destination, extract(epoch from u.since)), '{}') from unsent u),
        'requests', (select coalesce(jsonb_agg(jsonb_build_array(q.lane, q.state, q.n)), '[]') from (
            select r.lane, r.state, count(*) as n from lanes r group by 1, 2) q),
        'dueSince', (select coalesce(jsonb_object_agg(q.lane, q.since), '{}') from (
            select r.lane, extract(epoch from min(r."dueAt")) as since from lanes r where r.state = 'due' group by 1) q),
        'asks', (select count(*) from (select from "OutgoingRequest" where kind = 'ask' limit 10000) q),
        'targets', (select coalesce(jsonb_object_agg(q.state, q.n), '{}') from (
            select d.state, count(*) as n from "ExternalDatabase" d group by 1) q),
        'destinations', (select coalesce(jsonb_object_agg(q.state, q.n), '{}') from (
            select d.state, count(*) as n from "HttpDestination" d group by 1) q),
        'filling', (select count(*) from standing s where s.filling),
        'refusedRows', (select coalesce(sum(s.refused), 0) from standing s),
        'watermarks', (select coalesce(jsonb_object_agg(q.name, q.id), '{}') from (
            select s."mappingName" as name, max(s."lastSyncedSequenceId") as id from "SyncState" s group by 1) q),
        'backlog', (select count(*) from "SequencerBacklog"),
        'parked', (select count(*) from (select from "ParkedRow" limit 10000) q),
        'trackingFaults', (select case when f.is_called then f.last_value else 0 end from tracking_fault_seq f),
        'workers', (select coalesce(jsonb_object_agg(q.kind, jsonb_build_array(q.n, q.seen)), '{}') from (
            select w.kind, count(*) filter (where w."lastSeenAt" > now() - interval '30 seconds') as n,
                   extract(epoch from max(w."lastSeenAt")) as seen
            from "WorkerHeartbeat" w group by 1) q),
        'switches', coalesce((select jsonb_build_object('sequencer', f."sequencerEnabled", 'poller', f."pollerEnabled",
                'sync_engine', f."syncEngineEnabled", 'requests', f."requestsEnabled") from "Fusebox" f limit 1), '{}'),
        'snapshots', (select jsonb_agg(jsonb_build_object('at', extract(epoch from q.at), 'xmax', q.xmax::text)) from (
            select s.at, s.xmax from snapshots s order by s.at desc limit 12) q)) as payload)
insert into "CacheEntry" as c (namespace, "cacheKey", payload, "expiresAt")
select 'observation', 'installation', payload, now() + interval '1 day' from seen
on conflict (namespace, "cacheKey") do update
    set payload = excluded.payload, "createdAt" = now(), "expiresAt" = excluded."expiresAt"
returning payload"#;

const TOOK: &str = r#"
update "CacheEntry" set payload = payload || jsonb_build_object('took', $1::float8)
where namespace = 'observation' and "cacheKey" = 'installation'"#;

/// Looks, and stores what is seen.
pub(super) async fn look(client: &mut Object) -> Result<Observation, ObserveError> {
    let transaction = client.transaction().await?;
    let limit = LONGEST.as_millis();
    // By indexes: the outbox may hold many rows that are not asked for here, whatever its statistics say.
    transaction
        .batch_execute(&format!(
            "set local statement_timeout = {limit}; set local jit = off; set local enable_seqscan = off"
        ))
        .await?;
    let began = Instant::now();
    let rows = transaction.query_typed(LOOK, &[]).await?;
    let took = began.elapsed().as_secs_f64();
    transaction.execute_typed(TOOK, &[(&took, Type::FLOAT8)]).await?;
    transaction.commit().await?;
    let payload: Value = rows.first().map_or(Ok(Value::Null), |row| row.try_get(0))?;
    Ok(Observation { took, ..serde_json::from_value(payload)? })
}
