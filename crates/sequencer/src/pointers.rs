//! Pointers of the feed go as soon as every target of their tenant is past them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::worker::{Fusebox, Rounds, Switch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(60),
    at_once: false,
    stop_within: Duration::from_secs(2),
    failing: "the feed of tracked tables cannot be purged, trying again",
};
/// Tenants looked at in one statement, and pointers deleted by it. Under a held snapshot each statement walks what the
/// ones before it have deleted.
const TENANTS: i64 = 50;
const POINTERS: i64 = 20_000;

pub(crate) async fn run(
    config: Arc<Config>,
    internal: Internal,
    fusebox: Arc<Fusebox>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut rounds = ROUNDS.begin(&stopping);
    while rounds.next().await {
        if !fusebox.is_on(Switch::Sequencer).await {
            continue;
        }
        rounds
            .step(async {
                purge_all(&internal, config.sync.tombstone_retention).await?;
                Ok::<_, DbError>(())
            })
            .await;
    }
    Ok(())
}

/// Deletes every pointer that is not needed any more; returns how many.
///
/// # Errors
/// Postgres does.
pub async fn purge_all(internal: &Internal, retention: Duration) -> Result<i64, DbError> {
    let (mut all, mut from) = (0, Uuid::nil());
    loop {
        let (rows, next) = purge(internal, retention, from).await?;
        all += rows;
        match next {
            _ if rows > 0 => {}
            Some(next) => from = next,
            None => return Ok(all),
        }
    }
}

/// One batch of tenants after `from`: pointers that each target is past, or that are older than `retention`; then a
/// target that is still behind is filled again. Returns how many went, and the batch's last tenant if it was full.
async fn purge(internal: &Internal, retention: Duration, from: Uuid) -> Result<(i64, Option<Uuid>), DbError> {
    let client = internal.get().await?;
    let statement = client
        .prepare_cached(
            r#"with recursive tenants (id) as (
                 (select c."tenancyId" from "ChangedRow" c where c."tenancyId" > $1 and c."sequenceId" is not null
                  order by c."tenancyId" limit 1)
                 union all
                 select (select c."tenancyId" from "ChangedRow" c where c."tenancyId" > t.id
                         and c."sequenceId" is not null order by c."tenancyId" limit 1)
                 from tenants t where t.id is not null),
               visited as materialized (select t.id from tenants t where t.id is not null limit $3),
               old as materialized (
                 select c.* from visited v cross join lateral (
                   select r.ctid as at, r."tenancyId", r."sequenceId" from "ChangedRow" r
                   where r."tenancyId" = v.id and r."sequenceId" is not null and not r."shouldUpdateSequenceId"
                     and ((r."changedAt" < now() - interval '1 minute'
                           and r."sequenceId" <= (select coalesce(min(s."lastSyncedSequenceId"), 9223372036854775807)
                                                  from "SyncState" s where s."tenancyId" = v.id))
                          or r."changedAt" < now() - $2::float8 * interval '1 second')
                   limit $4) c
                 limit $4),
               gone as (
                 delete from "ChangedRow" c using old where c.ctid = old.at
                 returning c."tenancyId", c."sequenceId"),
               raised as (
                 insert into "TombstonePurge" as p ("tenancyId", "changesPurgedThrough")
                 select g."tenancyId", max(g."sequenceId") from gone g group by 1 order by 1
                 on conflict ("tenancyId") do update
                   set "changesPurgedThrough" = greatest(p."changesPurgedThrough", excluded."changesPurgedThrough"))
               select (select count(*) from gone),
                      (select v.id from visited v order by v.id desc limit 1),
                      (select count(*) from visited)"#,
        )
        .await?;
    let row = client.query_one(&statement, &[&from, &retention.as_secs_f64(), &TENANTS, &POINTERS]).await?;
    let (rows, last, seen): (i64, Option<Uuid>, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok((rows, last.filter(|_| seen == TENANTS)))
}
