//! One read: a bounded slice of what changed for a tenant, over all mappings, from one snapshot.
//!
//! The snapshot never waits for a target: the slice is in memory and the session back in the pool before
//! anything is written.

use std::collections::HashSet;

use futures_util::{TryStreamExt, pin_mut};
use tenant_sync_core::db::{DbError, Internal, describe, discreet};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use super::cursor::{Arm, Cursor, Reach, reach};
use super::slice::{Slice, SliceOf, Snapshot, key_text};
use super::walk::Compare;
use crate::plan::Plan;
use crate::target::state::text_settings;

/// Why a read failed. Always a fault of ours, never the target's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("reading the source: {}", discreet(.0))]
    Row(#[from] tokio_postgres::Error),
    /// What this mapping reads is not there (any more), may not be read, or is no value: others can go on.
    #[error("the mapping {name} cannot be read: {}", said(.error))]
    Mapping { name: String, error: tokio_postgres::Error },
}

impl SourceError {
    /// Whether the schema is to blame, and with it every tenant concerned; else it is something in this tenant's rows.
    pub(crate) fn is_of_schema(&self) -> bool {
        matches!(self, Self::Mapping { error, .. } if class(error) == "42")
    }

    /// Names the mapping, where it and nobody else is at fault.
    pub(super) fn of(self, plan: &Plan) -> Self {
        match self {
            Self::Row(error) if matches!(class(&error), "42" | "22" | "54") => {
                Self::Mapping { name: plan.name().to_owned(), error }
            }
            other => other,
        }
    }
}

/// The server's words, unless they may hold a value of some row.
fn said(error: &tokio_postgres::Error) -> String {
    let state = error.code().map_or("", tokio_postgres::error::SqlState::code);
    if class(error) == "42" { describe(error) } else { format!("an expression fails for a row ({state})") }
}

fn class(error: &tokio_postgres::Error) -> &str {
    error.code().and_then(|code| code.code().get(..2)).unwrap_or_default()
}

/// Bounds of one read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
    pub(crate) largest_row: usize,
}

/// Reads one tenant's changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) internal: &'a Internal,
    pub(crate) tenancy: Uuid,
    pub(crate) plans: &'a [&'a Plan],
    pub(crate) bounds: Bounds,
    /// What of a mapping that follows is compared on the side.
    pub(crate) compare: Option<&'a Compare>,
}

/// What is left of the bounds while a slice is read.
pub(super) struct Budget {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

impl Budget {
    pub(super) fn spent(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    fn take(&mut self, bytes: usize) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

pub(super) type Session<'a> = deadpool_postgres::Transaction<'a>;

impl Reader<'_> {
    /// Reads the next slice after `cursors`. `epoch` is what the target knows of the source's lives.
    pub(crate) async fn read(&self, cursors: &[Cursor], epoch: Option<Uuid>) -> Result<Slice, SourceError> {
        let mut session = self.internal.get().await?;
        let snapshot = begin(&mut session).await?;
        // Dropped, it ends without anybody waiting for that: there is nothing to commit.
        self.read_in(&snapshot, cursors, epoch).await
    }

    /// Only what a snapshot says besides rows.
    pub(crate) async fn look(&self, epoch: Option<Uuid>) -> Result<Snapshot, SourceError> {
        let mut session = self.internal.get().await?;
        let snapshot = begin(&mut session).await?;
        self.snapshot(&snapshot, epoch).await
    }

    async fn read_in(
        &self,
        session: &Session<'_>,
        from: &[Cursor],
        epoch: Option<Uuid>,
    ) -> Result<Slice, SourceError> {
        let snapshot = self.snapshot(session, epoch).await?;
        let mut budget = Budget { rows: self.bounds.rows, bytes: self.bounds.bytes };
        let mut slice = Slice {
            snapshot,
            parts: Vec::new(),
            cursors: from.to_vec(),
            complete: true,
            flagged: 0,
            rows: 0,
            overflowing: Vec::new(),
            compared: None,
        };
        for (at, plan) in self.plans.iter().enumerate() {
            if budget.spent() {
                slice.complete = false;
                break;
            }
            let changed = self
                .changed(session, plan, from[at].watermark, slice.snapshot.horizon, &mut budget)
                .await
                .map_err(|error| error.of(plan))?;
            let Some((part, reached)) = changed else {
                slice.complete = false;
                slice.overflowing.push(at);
                continue;
            };
            slice.cursors[at].watermark = match reached {
                Reach::Cut(last) => {
                    slice.complete = false;
                    last
                }
                Reach::Horizon(horizon) => horizon,
            };
            slice.parts.push((at, part));
        }
        if slice.complete {
            slice.complete = self.read_flagged(session, &mut slice).await?;
            // While somebody imports more than a slice holds, a fill goes on as long as nothing in front of it
            // could be missing: the rows of a first mapping refer to no other's.
            let alone = slice.cursors.first().is_some_and(Cursor::filling);
            if (slice.complete || alone) && !budget.spent() {
                self.read_fill(session, &mut slice, &mut budget).await?;
            }
            if slice.complete && !budget.spent() {
                self.read_compared(session, &mut slice, &mut budget).await?;
            }
            if !slice.complete {
                slice.flagged = 1; // At least: a fill has read rows whose last change has no id yet.
            }
        }
        slice.parts.retain(|(_, part)| {
            !(part.rows.is_empty() && part.gone.is_empty() && part.large.is_empty() && part.range.is_none())
        });
        slice.rows =
            slice.parts.iter().map(|(_, part)| part.rows.len() + part.gone.len() + part.large.len()).sum();
        Ok(slice)
    }

    async fn snapshot(&self, session: &Session<'_>, epoch: Option<Uuid>) -> Result<Snapshot, SourceError> {
        let statement = session
            .prepare_cached(
                r#"select now(),
                     coalesce((select "lastSequenceId" from "SequencerPass" order by "pass" desc limit 1), 0),
                     (select "id" from "SourceEpoch" order by "number" desc limit 1),
                     exists (select from "SourceEpoch" where "id" = $2),
                     (select n."firstSequenceId" from "SourceEpoch" k join "SourceEpoch" n on n."number" > k."number"
                      where k."id" = $2 order by n."number" limit 1),
                     coalesce((select "purgedThrough" from "TombstonePurge" where "tenancyId" = $1), 0),
                     coalesce((select "changesPurgedThrough" from "TombstonePurge" where "tenancyId" = $1), 0)"#,
            )
            .await?;
        let row = session.query_one(&statement, &[&self.tenancy, &epoch]).await?;
        Ok(Snapshot {
            as_of: row.try_get(0)?,
            horizon: row.try_get(1)?,
            epoch: row.try_get(2)?,
            epoch_known: row.try_get(3)?,
            next_epoch_from: row.try_get(4)?,
            purged_through: row.try_get(5)?,
            changes_purged_through: row.try_get(6)?,
        })
    }

    /// Rows and tombstones above the watermark, merged and cut; `None` = one change alone touches more rows than a
    /// slice may hold.
    async fn changed(
        &self,
        session: &Session<'_>,
        plan: &Plan,
        watermark: i64,
        horizon: i64,
        budget: &mut Budget,
    ) -> Result<Option<(SliceOf, Reach)>, SourceError> {
        let limit = limit(budget.rows);
        let largest = limit_bytes(self.bounds.largest_row);
        let of_rows: [&(dyn ToSql + Sync); 4] = [&self.tenancy, &watermark, &limit, &largest];
        // Asked together: each answer is a way to the server and back.
        let (rows, gone) = both(tokio::join!(
            self.stream(session, &plan.statements.changed, &of_rows, budget),
            self.all(session, &plan.statements.gone, &of_rows[..3]),
        ))?;
        let mut arms = vec![
            Arm { last: last_id(&rows.rows)?, cut: rows.stopped || to_i64(rows.rows.len()) >= limit },
            Arm { last: last_id(&gone)?, cut: to_i64(gone.len()) >= limit },
        ];
        let mut all = rows.rows;
        for statement in &plan.statements.touched {
            let touched = self.stream(session, statement, &of_rows, budget).await?;
            let cut = touched.stopped || to_i64(touched.rows.len()) >= limit;
            let Some(touched) = whole_changes(touched.rows, cut)? else { return Ok(None) };
            arms.push(Arm { last: last_id(&touched)?, cut });
            all.extend(touched);
        }
        let reached = reach(watermark, horizon, &arms);
        let mut part = SliceOf::default();
        let within = |row: &Row| -> Result<bool, SourceError> {
            Ok(match reached {
                Reach::Cut(last) => row.try_get::<_, i64>(0)? <= last,
                Reach::Horizon(_) => true,
            })
        };
        let mut once = Once::new(plan, arms.len() > 2);
        for row in all {
            if within(&row)? && once.is_new(&row)? {
                part.note_id(&row)?;
                part.push(row)?;
            }
        }
        for row in gone {
            // A tombstone whose key is alive again says nothing.
            if within(&row)? && !row.try_get::<_, bool>(1)? {
                part.note_id(&row)?;
                part.gone.push(row);
            }
        }
        Ok(Some((part, reached)))
    }

    /// The tail: flagged rows that have no id yet, so that the target equals this snapshot. `false` = it is too much
    /// for one slice, and none of it was taken: it comes in pieces, with its ids.
    async fn read_flagged(&self, session: &Session<'_>, slice: &mut Slice) -> Result<bool, SourceError> {
        let largest = limit_bytes(self.bounds.largest_row);
        let limit = limit(self.bounds.rows);
        let mut budget = Budget { rows: self.bounds.rows, bytes: self.bounds.bytes };
        let mut tail = Vec::new();
        for (at, plan) in self.plans.iter().enumerate() {
            let of_rows: [&(dyn ToSql + Sync); 3] = [&self.tenancy, &limit, &largest];
            let (rows, gone) = both(tokio::join!(
                self.stream(session, &plan.statements.flagged, &of_rows, &mut budget),
                self.all(session, &plan.statements.flagged_gone, &of_rows[..2]),
            ))
            .map_err(|error| error.of(plan))?;
            if rows.stopped || to_i64(rows.rows.len()) >= limit || to_i64(gone.len()) >= limit {
                return Ok(false);
            }
            let mut rows = rows.rows;
            for statement in &plan.statements.flagged_touched {
                let touched = self.stream(session, statement, &of_rows, &mut budget).await;
                let touched = touched.map_err(|error| error.of(plan))?;
                if touched.stopped || to_i64(touched.rows.len()) >= limit {
                    return Ok(false);
                }
                rows.extend(touched.rows);
            }
            tail.push((at, rows, gone));
        }
        for (at, rows, gone) in tail {
            slice.flagged += rows.len() + gone.len();
            let part = match slice.parts.iter_mut().find(|(of, _)| *of == at) {
                Some((_, part)) => part,
                None => {
                    slice.parts.push((at, SliceOf::default()));
                    let newest = slice.parts.len() - 1;
                    &mut slice.parts[newest].1
                }
            };
            part.add_flagged(self.plans[at], rows, gone)?;
        }
        Ok(true)
    }

    /// The rows with these keys, as far as they exist, for another try at what a target refused.
    pub(crate) async fn by_key(&self, plan: &Plan, keys: &[Vec<String>]) -> Result<SliceOf, SourceError> {
        let mut session = self.internal.get().await?;
        let snapshot = begin(&mut session).await?;
        let columns: Vec<Vec<&str>> = (0..plan.key.len())
            .map(|i| keys.iter().filter_map(|key| key.get(i).map(String::as_str)).collect())
            .collect();
        let largest = limit_bytes(self.bounds.largest_row);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&self.tenancy, &largest];
        parameters.extend(columns.iter().map(|column| column as &(dyn ToSql + Sync)));
        let mut budget = Budget { rows: self.bounds.rows, bytes: self.bounds.bytes };
        let read = self.stream(&snapshot, &plan.statements.by_key, &parameters, &mut budget).await;
        let read = read.map_err(|error| error.of(plan))?;
        snapshot.commit().await?;
        let mut part = SliceOf::default();
        for row in read.rows {
            part.push(row)?;
        }
        Ok(part)
    }

    /// Whether the tenant has more than so many rows in the mapping's source.
    pub(crate) async fn has_more_than(&self, plan: &Plan, rows: i64) -> Result<bool, SourceError> {
        let session = self.internal.get().await?;
        let look = async {
            let statement = session.prepare_cached(&plan.statements.more_than).await?;
            Ok(session.query_one(&statement, &[&self.tenancy, &rows]).await?.try_get(0)?)
        };
        look.await.map_err(|error: SourceError| error.of(plan))
    }

    pub(super) async fn stream(
        &self,
        session: &Session<'_>,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
        budget: &mut Budget,
    ) -> Result<Streamed, SourceError> {
        let statement = session.prepare_cached(sql).await?;
        let rows = session.query_raw(&statement, parameters.iter().copied()).await?;
        pin_mut!(rows);
        let mut streamed = Streamed { rows: Vec::new(), stopped: false };
        while let Some(row) = rows.try_next().await? {
            budget.take(row.raw_size_bytes());
            streamed.rows.push(row);
            if budget.bytes == 0 {
                streamed.stopped = true;
                break;
            }
        }
        Ok(streamed)
    }

    async fn all(
        &self,
        session: &Session<'_>,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SourceError> {
        let statement = session.prepare_cached(sql).await?;
        Ok(session.query(&statement, parameters).await?)
    }
}

/// Both answers, or the reason why there is none: not that the other statement has ended the transaction.
fn both<A, B>(answers: (Result<A, SourceError>, Result<B, SourceError>)) -> Result<(A, B), SourceError> {
    let is_echo = |error: &SourceError| {
        let SourceError::Row(error) = error else { return false };
        error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
    };
    match answers {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(error), Err(other)) if is_echo(&error) => Err(other),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Takes the rows of the last change away if there may be more of them; `None` = that leaves nothing.
fn whole_changes(mut rows: Vec<Row>, cut: bool) -> Result<Option<Vec<Row>>, SourceError> {
    if !cut {
        return Ok(Some(rows));
    }
    let last = last_id(&rows)?;
    while last_id(&rows)? == last && !rows.is_empty() {
        rows.pop();
    }
    Ok((!rows.is_empty()).then_some(rows))
}

/// Lets each row through once, where several changes may mean the same row.
struct Once<'p> {
    plan: &'p Plan,
    seen: Option<HashSet<Vec<String>>>,
}

impl<'p> Once<'p> {
    fn new(plan: &'p Plan, needed: bool) -> Self {
        Self { plan, seen: needed.then(HashSet::new) }
    }

    fn is_new(&mut self, row: &Row) -> Result<bool, SourceError> {
        let Some(seen) = &mut self.seen else { return Ok(true) };
        // What is not live has no key.
        Ok(row.try_get::<_, Option<bool>>(1)?.is_some() && seen.insert(key_text(self.plan, row)?))
    }
}

pub(super) struct Streamed {
    pub(super) rows: Vec<Row>,
    /// Ended because the slice is full, not because there was no more.
    pub(super) stopped: bool,
}

/// A snapshot, with the settings pinned that decide how values look as text, in which a policy that would hide rows
/// is an error. Whoever locks a whole table keeps the turn, and with it the target's lock, for a short while only.
/// Dropped, it is rolled back before the session serves anybody else.
async fn begin(session: &mut deadpool_postgres::Object) -> Result<Session<'_>, SourceError> {
    let snapshot = session
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    snapshot
        .batch_execute(&format!(
            "set local lock_timeout = '5s'; set local enable_seqscan = off; set local jit = off;
             set local row_security = off; {}",
            text_settings()
        ))
        .await?;
    Ok(snapshot)
}

fn last_id(rows: &[Row]) -> Result<Option<i64>, SourceError> {
    Ok(rows.last().map(|row| row.try_get(0)).transpose()?)
}

pub(super) fn to_i64(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn limit(rows: usize) -> i64 {
    to_i64(rows.max(1))
}

pub(super) fn limit_bytes(bytes: usize) -> i64 {
    to_i64(bytes)
}
