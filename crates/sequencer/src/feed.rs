//! What the feed of tracked tables needs besides passes: what no trigger could say is compared once more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::mapping::Mapping;
use tenant_sync_core::worker::{Fusebox, Rounds, Switch};
use tokio_util::sync::CancellationToken;

use crate::touches::Touches;

const ROUNDS: Rounds = Rounds {
    every: Duration::from_secs(1),
    at_once: false,
    stop_within: Duration::from_secs(2),
    failing: "the feed of tracked tables cannot be looked after, trying again",
};
/// Without a mapping of a tracked table only triggers for HTTP events wait for what is found.
const IDLE_INTERVAL: Duration = Duration::from_secs(5);
/// Partitions are looked at this often: new ones get triggers, for which a lock is needed.
const PARTITIONS_INTERVAL: Duration = Duration::from_secs(10);
/// Nobody's writes queue behind us for longer, when a lock is not to be had at once.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '200ms'";

pub(crate) async fn run(
    internal: Internal,
    fusebox: Arc<Fusebox>,
    reads: Reads,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let every = if reads.mappings.is_empty() { IDLE_INTERVAL } else { ROUNDS.every };
    let mut looked = Instant::now();
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
    touches: Touches,
}

impl Reads {
    /// What these mappings read.
    #[must_use]
    pub fn of(mappings: &[Mapping]) -> Self {
        let mut reads = Self { touches: Touches::of(mappings), ..Self::default() };
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
    reads.touches.record(&client).await?;
    let all = "select settle_tenancies($1), heal_tracking_faults($1, $2), settle_touches($1, $2)";
    let all = client.prepare_cached(all).await?;
    let row = client.query_one(&all, &[&reads.mappings, &reads.feeds]).await?;
    let (targets, after_faults, touched): (i64, i64, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if touched > 0 {
        tracing::info!(
            targets = touched,
            "changes may not have said yet which rows they touch, comparing once more"
        );
    }
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
