//! What the feed of tracked tables needs besides passes: what no trigger could say is compared once more, and
//! pointers go as soon as every target of their tenant is past them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::mapping::Mapping;
use tenant_sync_core::worker::{Fusebox, Rounds, Switch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(1),
    at_once: false,
    stop_within: Duration::from_secs(2),
    failing: "the feed of tracked tables cannot be looked after, trying again",
};
const PURGE_INTERVAL: Duration = Duration::from_secs(60);
/// Partitions are looked at this often: new ones get triggers, for which a lock is needed.
const PARTITIONS_INTERVAL: Duration = Duration::from_secs(10);
/// Nobody's writes queue behind us for longer, when a lock is not to be had at once.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '200ms'";
/// Tenants looked at in one statement, and pointers deleted by it. Under a held snapshot each statement walks what the
/// ones before it have deleted.
const TENANTS: i64 = 50;
const POINTERS: i64 = 20_000;

pub(crate) async fn run(
    config: Arc<Config>,
    internal: Internal,
    fusebox: Arc<Fusebox>,
    reads: Reads,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    // Without a mapping of a tracked table nobody waits for what is found.
    let every = if reads.mappings.is_empty() { PURGE_INTERVAL } else { ROUNDS.every };
    let (mut purged, mut looked) = (Instant::now(), Instant::now());
    let mut rounds = Rounds { every, ..ROUNDS }.begin(&stopping);
    while rounds.next().await {
        if !fusebox.is_on(Switch::Sequencer).await {
            continue;
        }
        let round = async {
            if !reads.mappings.is_empty() {
                heal(&internal, &reads).await?;
            }
            if looked.elapsed() >= PARTITIONS_INTERVAL {
                looked = Instant::now();
                follow_partitions(&internal, &reads).await?;
            }
            if purged.elapsed() >= PURGE_INTERVAL {
                purged = Instant::now();
                purge_all(&internal, config.sync.tombstone_retention).await?;
            }
            Ok::<_, DbError>(())
        };
        rounds.step(round).await;
    }
    Ok(())
}

/// Which mapping reads which tracked tables: names of mappings, and for each the feed of a table that it reads.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    mappings: Vec<String>,
    feeds: Vec<String>,
}

impl Reads {
    /// What these mappings read.
    #[must_use]
    pub fn of(mappings: &[Mapping]) -> Self {
        let mut reads = Self::default();
        for mapping in mappings.iter().filter(|mapping| mapping.source.is_tracked()) {
            let touching = mapping.touches.iter().map(|touch| &touch.table);
            for feed in std::iter::once(&mapping.source.table).chain(touching) {
                reads.mappings.push(mapping.name.clone());
                reads.feeds.push(feed.clone());
            }
        }
        reads
    }

    fn mappings_of(&self, feed: &str) -> Vec<&str> {
        let pairs = self.mappings.iter().zip(&self.feeds);
        pairs.filter(|(_, of)| *of == feed).map(|(mapping, _)| mapping.as_str()).collect()
    }
}

/// Asks for another comparison where changes may have gone by unseen.
///
/// # Errors
/// Postgres does.
pub async fn heal(internal: &Internal, reads: &Reads) -> Result<(), DbError> {
    let client = internal.get().await?;
    let both = "select settle_tenancies($1), heal_tracking_faults($1, $2)";
    let both = client.prepare_cached(both).await?;
    let row = client.query_one(&both, &[&reads.mappings, &reads.feeds]).await?;
    let (targets, after_faults): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    if targets > 0 {
        tracing::info!(
            targets,
            "rows may have been written before their tenant was known, comparing once more"
        );
    }
    if after_faults > 0 {
        tracing::warn!(
            targets = after_faults,
            "writes of tracked tables could not be recorded, comparing; see tenant-sync table list and \"TrackingFault\""
        );
    }
    Ok(())
}

/// Partitions that came or went took rows along that no trigger saw: new ones are watched, and all is compared.
///
/// # Errors
/// Postgres does, also when a lock is not to be had at once; then it is tried again later.
pub async fn follow_partitions(internal: &Internal, reads: &Reads) -> Result<(), DbError> {
    let mut client = internal.get().await?;
    for row in client.query("select tracked_partitions_changed()", &[]).await? {
        let feed: String = row.try_get(0)?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(LOCK_TIMEOUT).await?;
        let noted: bool =
            transaction.query_one("select note_tracked_partitions($1)", &[&feed]).await?.try_get(0)?;
        if noted {
            transaction.execute("select request_fills($1)", &[&reads.mappings_of(&feed)]).await?;
        }
        transaction.commit().await?;
        tracing::info!(table = feed, "its partitions have changed, comparing");
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
