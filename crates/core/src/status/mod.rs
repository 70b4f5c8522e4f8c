//! How far each target is: what its tenant changed and it does not have yet, and how old the oldest of that is.
//!
//! All of it comes from the internal database; no target is asked. The cost of a target is bounded: index
//! ranges above its watermark are counted up to [`BACKLOG_MAX`].
//!
//! **Backlog** of a mapping: rows of its source with an id above the watermark, tombstones above it, rows and
//! tombstones that are flagged and have no newer id yet, and, while it is filled, the rows behind the fill's
//! position. A row of another table whose change means a change of a row here (a touch) counts until it is
//! sequenced.
//!
//! **Lag** is the age of the oldest committed change that is not there yet, 0 when there is none:
//! - For what has an id: the time of the pass that gave the lowest id above the watermark.
//! - For what is flagged only: no change is older than the newest pass that began before the change's
//!   transaction, because that pass did not see it. On an idle system that pass may be long ago, so here the lag
//!   can be too large for the 50 ms until the sequencer comes by, never too small.
//! - Never more than the age of `completeAsOf`, before which nothing is missing. This also serves for ids that
//!   are older than the ledger of passes.
//! - While a mapping is filled: the time since the fill began (was asked for; since the target was added).

mod fill;
mod lag;
pub mod road;
mod sql;

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Transaction;
use futures_util::future::try_join_all;
use time::OffsetDateTime;
use tokio_postgres::{Error, IsolationLevel};

use crate::db::{DbError, Internal, kept, kept_one};
use crate::mapping::Mapping;
use crate::outbox::TargetKey;
use crate::registry::targets::{self, Filter, Target};
pub use fill::{FillStatus, Walked, fills};
use lag::{Facts, Ledger};
use sql::Counts;

/// Backlogs are counted up to here.
pub const BACKLOG_MAX: i64 = 10_000;
/// Targets that are looked at under one snapshot.
const PAGE: usize = 500;

/// How far a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// The target, with its state and settings.
    pub target: Target,
    /// The instant that all of it is about, by the database's clock.
    pub as_of: OffsetDateTime,
    /// Rows written since it was added.
    pub rows_written: i64,
    /// Its mappings, in the order of their names.
    pub mappings: Vec<MappingStatus>,
}

/// How far a mapping is in a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingStatus {
    /// The mapping.
    pub name: String,
    /// Its watermark.
    pub last_synced_sequence_id: i64,
    /// Rows and deletes that are not there yet, at most [`BACKLOG_MAX`].
    pub backlog_rows: i64,
    /// There may be more than `backlog_rows`.
    pub backlog_is_at_least: bool,
    /// Age of the oldest committed change that is not there yet.
    pub lag: Duration,
    /// Every change committed before this instant is there.
    pub complete_as_of: Option<OffsetDateTime>,
    /// It is being filled, or an operator asked for it.
    pub filling: bool,
    /// Rows that the target refuses.
    pub refused_rows: i32,
}

/// What "SyncState" says of a mapping in a target.
#[derive(Debug, Clone, Default)]
struct Progress {
    watermark: i64,
    complete_as_of: Option<OffsetDateTime>,
    filling: bool,
    /// JSON array of the key's columns as text.
    fill_position: Option<String>,
    fill_started_at: Option<OffsetDateTime>,
    refused_rows: i32,
    rows_written: i64,
    /// A turn has set it up.
    set_up: bool,
}

type ProgressOf = HashMap<(TargetKey, String), Progress>;

/// The status of the targets that are meant, by tenancy and id.
///
/// # Errors
/// The internal database cannot be asked, or a mapping's source is not there.
pub async fn read(
    internal: &Internal,
    mappings: &[Mapping],
    filter: &Filter,
) -> Result<Vec<TargetStatus>, DbError> {
    let found = targets::list(&internal.get().await?, filter).await?;
    read_of(internal, mappings, found, BACKLOG_MAX).await
}

/// The status of these targets, in their order. Backlogs are counted up to `backlog_max` (at most [`BACKLOG_MAX`]),
/// which bounds what a target costs.
///
/// # Errors
/// As [`read`].
pub async fn read_of(
    internal: &Internal,
    mappings: &[Mapping],
    found: Vec<Target>,
    backlog_max: i64,
) -> Result<Vec<TargetStatus>, DbError> {
    let mut client = internal.get().await?;
    let backlog_max = backlog_max.clamp(1, BACKLOG_MAX);
    // All at once: each of these waits for the server, not for the others.
    let types = try_join_all(mappings.iter().map(|mapping| sql::types(&client, mapping))).await?;
    let mut statements: Vec<_> = mappings
        .iter()
        .zip(types)
        .map(|(mapping, types)| (mapping, types.map(|types| sql::statement(mapping, &types, backlog_max))))
        .collect();
    statements.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let mut all = Vec::with_capacity(found.len());
    for page in found.chunks(PAGE) {
        let snapshot = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let ((), read) = tokio::try_join!(
            snapshot.batch_execute(
                "set local enable_seqscan = off; set local jit = off; set local row_security = off",
            ),
            read_page(&snapshot, &statements, page, backlog_max),
        )?;
        all.extend(read);
        snapshot.commit().await?;
    }
    Ok(all)
}

async fn read_page(
    snapshot: &Transaction<'_>,
    statements: &[(&Mapping, Option<String>)],
    page: &[Target],
    backlog_max: i64,
) -> Result<Vec<TargetStatus>, Error> {
    let (now, progress) =
        tokio::try_join!(kept_one(snapshot, "select now()", &[]), read_progress(snapshot, page))?;
    let now: OffsetDateTime = now.try_get(0)?;
    let rows_written = |target: &Target| -> i64 {
        progress.iter().filter(|((key, _), _)| *key == target.key).map(|(_, p)| p.rows_written).sum()
    };
    let mut all: Vec<TargetStatus> = page
        .iter()
        .map(|target| TargetStatus {
            target: target.clone(),
            as_of: now,
            rows_written: rows_written(target),
            mappings: Vec::new(),
        })
        .collect();
    let standing = |key: &TargetKey, mapping: &Mapping| {
        progress.get(&(key.clone(), mapping.name.clone())).cloned().unwrap_or_default()
    };
    let asked: Vec<Asked<'_>> = statements
        .iter()
        .map(|(mapping, statement)| {
            let at: Vec<usize> = (0..page.len()).filter(|at| goes_to(mapping, &page[*at])).collect();
            let standings = at.iter().map(|at| standing(&page[*at].key, mapping)).collect();
            Asked { mapping, statement: statement.as_deref(), at, standings }
        })
        .collect();
    let counts = try_join_all(asked.iter().map(|asked| asked.counts(snapshot, page, backlog_max))).await?;
    let needs_ledger = counts.iter().flatten().any(Counts::needs_ledger);
    let ledger = if needs_ledger { Some(Ledger::read(snapshot).await?) } else { None };
    for (asked, counts) in asked.iter().zip(&counts) {
        for ((at, standing), counts) in asked.at.iter().zip(&asked.standings).zip(counts) {
            let facts = Facts { now, created_at: page[*at].created_at, standing, counts };
            all[*at].mappings.push(mapping_status(asked.mapping, facts, ledger.as_ref(), backlog_max));
        }
    }
    Ok(all)
}

/// A mapping, and the targets of a page that it goes to.
struct Asked<'a> {
    mapping: &'a Mapping,
    /// `None` = what it reads is not there.
    statement: Option<&'a str>,
    at: Vec<usize>,
    standings: Vec<Progress>,
}

impl Asked<'_> {
    async fn counts(
        &self,
        snapshot: &Transaction<'_>,
        page: &[Target],
        backlog_max: i64,
    ) -> Result<Vec<Counts>, Error> {
        let Some(statement) = self.statement else {
            return Ok(vec![Counts { unknown: true, cut: true, ..Counts::default() }; self.at.len()]);
        };
        let tenancies = self.at.iter().map(|at| page[*at].key.tenancy_id);
        let asked: Vec<_> = tenancies.zip(&self.standings).collect();
        sql::count(snapshot, statement, &asked, backlog_max).await
    }
}

fn goes_to(mapping: &Mapping, target: &Target) -> bool {
    target.settings.mappings.as_ref().is_none_or(|names| names.contains(&mapping.name))
}

fn mapping_status(
    mapping: &Mapping,
    facts: Facts<'_>,
    ledger: Option<&Ledger>,
    backlog_max: i64,
) -> MappingStatus {
    let standing = facts.standing;
    let total = facts.counts.total();
    MappingStatus {
        name: mapping.name.clone(),
        last_synced_sequence_id: standing.watermark,
        backlog_rows: total.min(backlog_max),
        backlog_is_at_least: total > backlog_max || facts.counts.cut,
        lag: lag::lag(facts, ledger),
        complete_as_of: standing.complete_as_of,
        filling: standing.filling || !standing.set_up,
        refused_rows: standing.refused_rows,
    }
}

async fn read_progress(snapshot: &Transaction<'_>, page: &[Target]) -> Result<ProgressOf, Error> {
    let (tenancies, ids): (Vec<_>, Vec<_>) =
        page.iter().map(|t| (t.key.tenancy_id, t.key.database_id.as_str())).unzip();
    let sql = r#"select s."tenancyId", s."databaseId", s."mappingName", s."lastSyncedSequenceId", s."completeAsOf",
                      s."filling" or s."fillRequested",
                      case when s."filling" and not s."fillRequested" then s."fillPosition"::text end,
                      s."fillStartedAt", s."refusedRows", s."rowsWritten", s."mappingVersion" is not null
               from unnest($1::uuid[], $2::text[]) as t (tenancy, id)
               join "SyncState" s on s."tenancyId" = t.tenancy and s."databaseId" = t.id"#;
    let rows = kept(snapshot, sql, &[&tenancies, &ids]).await?;
    rows.iter()
        .map(|row| {
            let key = TargetKey { tenancy_id: row.try_get(0)?, database_id: row.try_get(1)? };
            let progress = Progress {
                watermark: row.try_get(3)?,
                complete_as_of: row.try_get(4)?,
                filling: row.try_get(5)?,
                fill_position: row.try_get(6)?,
                fill_started_at: row.try_get(7)?,
                refused_rows: row.try_get(8)?,
                rows_written: row.try_get(9)?,
                set_up: row.try_get(10)?,
            };
            Ok(((key, row.try_get(2)?), progress))
        })
        .collect()
}
