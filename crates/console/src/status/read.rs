//! Reading a status: a few statements with bounds, and what RabbitMQ said last.

use std::collections::BTreeMap;

use tenant_sync_core::outbox::{self, Fill, RequestsFill};
use tenant_sync_core::registry::targets::{self, Target};
use tenant_sync_core::registry::{browse, tenancies};
use tenant_sync_core::status::{self, TargetStatus, road};
use tenant_sync_core::worker;
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{
    Count, Fleet, MappingProgress, Overview, PollerStatus, RelationStatus, RequestsStatus, SequencerStatus,
    TenancyStatus, WorkerStatus,
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
    let Rest { switches, sequencing, fill, requests, workers, sync_engine, targets } = rest?;
    Ok(Overview {
        at: At(OffsetDateTime::now_utc()),
        switches,
        sequencer: sequencer(sequencing),
        poller: poller(&fill),
        requests: self::requests(&requests),
        queues,
        workers: workers.iter().map(worker_line).collect(),
        sync_engine,
        targets,
    })
}

struct Rest {
    switches: fusebox::Switches,
    sequencing: road::Sequencing,
    fill: Fill,
    requests: RequestsFill,
    workers: Vec<road::WorkerLine>,
    sync_engine: Vec<MappingProgress>,
    targets: Fleet,
}

async fn rest(console: &Console) -> Result<Rest, Problem> {
    // Counting takes about as long as each of the others, so it has a session of its own.
    let (standing, fill, behind) = tokio::try_join!(standing(console), fill(console), behind(console))?;
    let Behind { statuses, more } = behind;
    let states = [fill.pending, fill.later, fill.claimed, fill.running, fill.stale].iter().sum::<i64>();
    let Standing { switches, sequencing, requests, workers, highest, total: (total, counted), causes } =
        standing;
    let targets = Fleet {
        total: Count { count: total, at_least: !counted },
        waiting: Count::up_to(outbox::COUNT_MAX, states),
        causes,
    };
    let sync_engine = sync_engine(console, &highest, &statuses, more);
    Ok(Rest { switches, sequencing, fill, requests, workers, sync_engine, targets })
}

/// What is known of the whole.
struct Standing {
    switches: fusebox::Switches,
    sequencing: road::Sequencing,
    requests: RequestsFill,
    workers: Vec<road::WorkerLine>,
    highest: Vec<(String, i64)>,
    total: (i64, bool),
    causes: Vec<Cause>,
}

/// All statements on one session at once: the server works them off in order, and nothing waits for answers in between.
async fn standing(console: &Console) -> Result<Standing, Problem> {
    let client = console.internal.get().await?;
    let (switches, sequencing, requests, workers, highest, total, troubles) = tokio::try_join!(
        worker::switches(&client),
        road::sequencing(&client, None),
        outbox::requests_fill(&client),
        road::workers(&client),
        road::highest_watermarks(&client, VISITED_TARGETS),
        browse::targets_about(&client),
        browse::troubles(&client),
    )?;
    Ok(Standing {
        switches: fusebox::shown(switches),
        sequencing,
        requests,
        workers,
        highest,
        total,
        causes: troubles.into_iter().map(Cause::from).collect(),
    })
}

async fn fill(console: &Console) -> Result<Fill, Problem> {
    let client = console.internal.get().await?;
    Ok(outbox::fill(&client, None).await?)
}

/// What is known of the targets that something is to be done for.
struct Behind {
    /// Of those that wait longest.
    statuses: Vec<TargetStatus>,
    /// There are others.
    more: bool,
}

async fn behind(console: &Console) -> Result<Behind, Problem> {
    let client = console.internal.get().await?;
    let mut waiting = outbox::waiting(&client, WAITING_TARGETS + 1).await?;
    let kept = usize::try_from(WAITING_TARGETS).unwrap_or(usize::MAX);
    let more = waiting.len() > kept;
    waiting.truncate(kept);
    let found = targets::find_all(&client, &waiting).await?;
    drop(client);
    let statuses = status::read_of(&console.internal, &console.desk.mappings, found, WAITING_ROWS).await?;
    Ok(Behind { statuses, more })
}

fn sync_engine(
    console: &Console,
    highest: &[(String, i64)],
    statuses: &[TargetStatus],
    more: bool,
) -> Vec<MappingProgress> {
    let mut rows: BTreeMap<&str, Count> = BTreeMap::new();
    for mapping in statuses.iter().flat_map(|target| &target.mappings) {
        let sum = rows.entry(&mapping.name).or_insert(Count { count: 0, at_least: more });
        sum.count += mapping.backlog_rows;
        sum.at_least |= mapping.backlog_is_at_least;
    }
    let progress = console.desk.mappings.iter().map(|mapping| MappingProgress {
        mapping: mapping.name.clone(),
        highest_sequence_id: highest.iter().find(|(name, _)| *name == mapping.name).map(|(_, id)| *id),
        rows_behind: rows.get(&*mapping.name).copied().unwrap_or(Count { count: 0, at_least: more }),
    });
    progress.collect()
}

/// How one tenancy is, with its targets.
pub(crate) async fn tenancy(console: &Console, tenancy_id: Uuid) -> Result<TenancyStatus, Problem> {
    let client = console.internal.get().await?;
    let known = tenancies::find(&client, &tenancies::TenancyRef::Id(tenancy_id)).await?;
    if known.is_none() {
        return Err(Problem::not_found("there is no such tenancy"));
    }
    let filter = targets::Filter { tenancy_id: Some(tenancy_id), ..targets::Filter::default() };
    let (sequencing, fill, mut found) = tokio::try_join!(
        road::sequencing(&client, Some(tenancy_id)),
        outbox::fill(&client, Some(tenancy_id)),
        targets::list(&client, &filter),
    )?;
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

fn requests(fill: &RequestsFill) -> RequestsStatus {
    let count = |n| Count::up_to(outbox::COUNT_MAX, n);
    RequestsStatus {
        waiting: count(fill.waiting),
        oldest_waiting_at: fill.oldest_waiting_at.map(At),
        dead: count(fill.dead),
        due_destinations: count(fill.due),
        oldest_due_at: fill.oldest_due_at.map(At),
        queued_destinations: count(fill.queued),
        queued_since: fill.queued_since.map(At),
        running_destinations: count(fill.running),
        broken_destinations: count(fill.broken_destinations),
        active_triggers: count(fill.active_triggers),
        paused_triggers: count(fill.paused_triggers),
        broken_triggers: count(fill.broken_triggers),
    }
}

fn worker_line(line: &road::WorkerLine) -> WorkerStatus {
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
