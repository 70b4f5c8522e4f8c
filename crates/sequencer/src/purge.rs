//! Tombstones go once every target of their tenant is past them, and at the latest after 30 days: a target that is
//! still behind by then is filled again instead.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::worker::{Fusebox, Rounds, Switch};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

/// Each of them ends when there is nothing more to do.
const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(60),
    at_once: false,
    stop_within: Duration::from_secs(2),
    failing: "tombstones cannot be purged, trying again",
};
/// Tombstones looked at in one statement.
const BATCH: i64 = 5_000;
/// A target that is behind keeps tombstones for this long.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// What one batch did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// Tombstones that are gone.
    pub rows: i64,
    /// Where the next batch goes on; `None` = the end was reached.
    #[serde(skip)]
    pub next: Option<SystemTime>,
}

pub(crate) async fn run(
    config: Arc<Config>,
    internal: Internal,
    fusebox: Arc<Fusebox>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut from = SystemTime::UNIX_EPOCH;
    let mut rounds = ROUNDS.begin(&stopping);
    while rounds.next().await {
        let round = async {
            while fusebox.is_on(Switch::Sequencer).await && !stopping.is_cancelled() {
                let purged = purge(&internal, config.sync.tombstone_retention, from).await?;
                from = purged.next.unwrap_or(SystemTime::UNIX_EPOCH);
                if purged.next.is_none() {
                    break;
                }
            }
            if config.database.user_tables {
                while trim_user_feed(&internal).await? == BATCH && !stopping.is_cancelled() {}
            }
            Ok::<_, DbError>(())
        };
        rounds.step(round).await;
    }
    Ok(())
}

/// Removes a batch of what consoles have folded, or need not fold any more because none is up; returns how many rows.
/// Whoever folds just now removes them as well: then there is nothing to do.
///
/// # Errors
/// Postgres does.
pub async fn trim_user_feed(internal: &Internal) -> Result<i64, DbError> {
    let client = internal.get().await?;
    match client.query_one("select trim_user_feed($1::bigint::integer)", &[&BATCH]).await {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(0),
        trimmed => Ok(trimmed?.try_get(0)?),
    }
}

/// Looks at one batch of tombstones older than `retention`, from `from` on, and deletes those that no target needs.
///
/// # Errors
/// Postgres does.
pub async fn purge(internal: &Internal, retention: Duration, from: SystemTime) -> Result<Purged, DbError> {
    let client = internal.get().await?;
    let statement = client
        .prepare_cached(
            r#"with old as materialized (
                 select d."id", d."tenancyId", d."sequenceId", d."deletedAt" from "DeletedRow" d
                 where d."deletedAt" >= $1 and d."deletedAt" < now() - $2::float8 * interval '1 second'
                 order by d."deletedAt" limit $4),
               gone as (
                 delete from "DeletedRow" d using old
                 where d."id" = old."id" and not d."shouldUpdateSequenceId"
                   and (d."deletedAt" < now() - $3::float8 * interval '1 second'
                        or not exists (select from "SyncState" s where s."tenancyId" = d."tenancyId"
                                       and s."lastSyncedSequenceId" < d."sequenceId"))
                 returning d."tenancyId", d."sequenceId"),
               raised as (
                 insert into "TombstonePurge" as p ("tenancyId", "purgedThrough")
                 select g."tenancyId", max(g."sequenceId") from gone g group by 1 order by 1
                 on conflict ("tenancyId") do update
                   set "purgedThrough" = greatest(p."purgedThrough", excluded."purgedThrough"))
               select (select count(*) from gone), (select count(*) from old), (select max("deletedAt") from old)"#,
        )
        .await?;
    let longest = LONGEST.max(retention);
    let row = client
        .query_one(&statement, &[&from, &retention.as_secs_f64(), &longest.as_secs_f64(), &BATCH])
        .await?;
    let (rows, seen, last): (i64, i64, Option<SystemTime>) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    // A whole batch of one instant: step over it, or it would be looked at for ever.
    let next = last.map(|last| if last == from { last + Duration::from_micros(1) } else { last });
    Ok(Purged { rows, next: next.filter(|_| seen == BATCH) })
}
