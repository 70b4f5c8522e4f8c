//! Reading a status: a few statements with bounds, and what RabbitMQ said last.

use std::collections::BTreeMap;

use tenant_sync_core::outbox::{self, Fill};
use tenant_sync_core::registry::targets::{self, Target};
use tenant_sync_core::registry::{browse, tenancies};
use tenant_sync_core::status::{self, TargetStatus, road};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{
    Count, Fleet, MappingProgress, Overview, PollerStatus, RelationStatus, SequencerStatus, TenancyStatus,
    WorkerStatus,
};
use crate::api::fusebox;
use crate::http::{At, Problem};
use crate::state::Console;
use crate::targets::{Cause, TargetLine};

/// Targets whose rows behind are counted for the whole.
const WAITING_TARGETS: i64 = 50;
/// And rows of each of them.
const WAITING_ROWS: i64 = 1_000;
/// Targets among which the highest watermark is looked for.
const VISITED_TARGETS: i64 = 100;
/// Targets of one tenancy that its status shows.
const TENANCY_TARGETS: usize = 100;

/// How everything is.
pub(crate) async fn overview(console: &Console) -> Result<Overview, Problem> {
    let (queues, rest) = tokio::join!(console.queues.status(), rest(console));
    let Rest { switches, sequencing, fill, workers, sync_engine, targets } = rest?;
    Ok(Overview {
        at: At(OffsetDateTime::now_utc()),
        switches,
        sequencer: sequencer(sequencing),
        poller: poller(&fill),
        queues,
        workers: workers.iter().map(worker).collect(),
        sync_engine,
        targets,
    })
}

struct Rest {
    switches: fusebox::Switches,
    sequencing: road::Sequencing,
    fill: Fill,
    workers: Vec<road::WorkerLine>,
    sync_engine: Vec<MappingProgress>,
    targets: Fleet,
}

async fn rest(console: &Console) -> Result<Rest, Problem> {
    let switches = fusebox::read(console).await?;
    let client = console.internal.get().await?;
    let sequencing = road::sequencing(&client, None).await?;
    let fill = outbox::fill(&client, None).await?;
    let workers = road::workers(&client).await?;
    let highest = road::highest_watermarks(&client, VISITED_TARGETS).await?;
    let (total, counted) = browse::targets_about(&client).await?;
    let troubles = browse::troubles(&client).await?;
    let waiting = outbox::waiting(&client, WAITING_TARGETS + 1).await?;
    let mut behind = Vec::new();
    for key in waiting.iter().take(usize::try_from(WAITING_TARGETS).unwrap_or(usize::MAX)) {
        behind.extend(targets::find(&client, key).await?);
    }
    drop(client);
    let more = i64::try_from(waiting.len()).is_ok_and(|n| n > WAITING_TARGETS);
    let sync_engine = sync_engine(console, highest, behind, more).await?;
    let states = [fill.pending, fill.later, fill.claimed, fill.running, fill.stale];
    let targets = Fleet {
        total: Count { count: total, at_least: !counted },
        waiting: Count {
            count: states.iter().sum::<i64>().min(outbox::COUNT_MAX),
            at_least: states.iter().sum::<i64>() > outbox::COUNT_MAX,
        },
        causes: troubles.into_iter().map(Cause::from).collect(),
    };
    Ok(Rest { switches, sequencing, fill, workers, sync_engine, targets })
}

async fn sync_engine(
    console: &Console,
    highest: Vec<(String, i64)>,
    behind: Vec<Target>,
    more: bool,
) -> Result<Vec<MappingProgress>, Problem> {
    let mappings = &console.desk.mappings;
    let found = status::read_of(&console.internal, mappings, behind, WAITING_ROWS).await?;
    let mut rows: BTreeMap<&str, Count> = BTreeMap::new();
    for mapping in found.iter().flat_map(|target| &target.mappings) {
        let sum = rows.entry(&mapping.name).or_insert(Count { count: 0, at_least: more });
        sum.count += mapping.backlog_rows;
        sum.at_least |= mapping.backlog_is_at_least;
    }
    let progress = mappings.iter().map(|mapping| MappingProgress {
        mapping: mapping.name.clone(),
        highest_sequence_id: highest.iter().find(|(name, _)| *name == mapping.name).map(|(_, id)| *id),
        rows_behind: rows.get(&*mapping.name).copied().unwrap_or(Count { count: 0, at_least: more }),
    });
    Ok(progress.collect())
}

/// How one tenancy is, with its targets.
pub(crate) async fn tenancy(console: &Console, tenancy_id: Uuid) -> Result<TenancyStatus, Problem> {
    let client = console.internal.get().await?;
    let known = tenancies::find(&client, &tenancies::TenancyRef::Id(tenancy_id)).await?;
    if known.is_none() {
        return Err(Problem::not_found("there is no such tenancy"));
    }
    let sequencing = road::sequencing(&client, Some(tenancy_id)).await?;
    let fill = outbox::fill(&client, Some(tenancy_id)).await?;
    let filter = targets::Filter { tenancy_id: Some(tenancy_id), ..targets::Filter::default() };
    let mut found = targets::list(&client, &filter).await?;
    drop(client);
    found.truncate(TENANCY_TARGETS);
    Ok(TenancyStatus {
        at: At(OffsetDateTime::now_utc()),
        tenancy_id,
        sequencer: sequencer(sequencing),
        poller: poller(&fill),
        external_databases: lines(console, found, status::BACKLOG_MAX).await?,
    })
}

/// Targets with how far they are. Rows behind are counted up to `backlog_max`.
pub(super) async fn lines(
    console: &Console,
    found: Vec<Target>,
    backlog_max: i64,
) -> Result<Vec<TargetLine>, Problem> {
    let statuses = status::read_of(&console.internal, &console.desk.mappings, found, backlog_max).await?;
    Ok(statuses.iter().map(|status: &TargetStatus| TargetLine::new(console, status)).collect())
}

fn sequencer(sequencing: road::Sequencing) -> SequencerStatus {
    let relation = |relation: road::Relation| RelationStatus {
        relation: relation.name,
        pending: Count::up_to(road::PENDING_MAX, relation.pending),
        oldest_pending_at: relation.oldest_pending_at.map(At),
        highest_sequence_id: relation.highest_sequence_id,
    };
    SequencerStatus {
        last_sequence_id: sequencing.last_pass.as_ref().map(|pass| pass.last_sequence_id),
        last_pass_at: sequencing.last_pass.as_ref().map(|pass| At(pass.at)),
        relations: sequencing.relations.into_iter().map(relation).collect(),
        backlog_tenancies: sequencing.backlog_tenancies,
        parked_rows: sequencing.parked_rows,
    }
}

fn poller(fill: &Fill) -> PollerStatus {
    let count = |n| Count::up_to(outbox::COUNT_MAX, n);
    PollerStatus {
        pending: count(fill.pending),
        oldest_pending_at: fill.oldest_pending_at.map(At),
        later: count(fill.later),
        claimed: count(fill.claimed),
        running: count(fill.running),
        stale: count(fill.stale),
        asks: count(fill.asks),
    }
}

fn worker(line: &road::WorkerLine) -> WorkerStatus {
    WorkerStatus {
        id: line.id.clone(),
        kind: line.kind.clone(),
        version: line.version.clone(),
        started_at: At(line.started_at),
        last_seen_at: At(line.last_seen_at),
        alive: line.silent < road::WORKER_GONE_AFTER,
        last_iteration_at: line.details["lastIterationAt"].as_str().map(str::to_owned),
        processed: line.details["processed"].as_i64(),
        processed_per_second: line.details["processedPerSecond"].as_f64(),
    }
}
