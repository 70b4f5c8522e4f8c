//! A turn: everything that happens to one target between its lock and its commit.
//!
//! Lock the target's row, *then* read what changed, write it, move the watermarks, commit. One transaction holds
//! a bounded amount; what is left comes in the next turn.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tenant_sync_core::config::Sync as SyncConfig;
use tenant_sync_core::registry::quarantine::RefusedOf;
use tenant_sync_core::target::class::{ErrorClass, TargetFault};
use tenant_sync_core::trace::{Span, SpanKind};
use tenant_sync_core::worker::failpoint;
use time::OffsetDateTime;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::error::TurnError;
use crate::plan::Plan;
use crate::source::{Compare, Cursor, Phase, Reader, Slice, Snapshot};
use crate::standing::{self, Verdict};
use crate::target::quarantine;
use crate::target::settle::{self, Picture, Standing};
use crate::target::setup::{self, Table};
use crate::target::state::{self, Limits, Opened, Owner, State};
use crate::target::{Means, Refusal, Statements, Writer, upgrade};
use crate::told::Told;

/// A turn of a healthy target ends after this long even if there is more: others wait for its place.
const TURN_TIME: Duration = Duration::from_secs(10);
/// Columns, then indexes, then rows: each is committed before the next.
const STEPS_MAX: usize = 3;
/// Refused rows that are tried again in one turn, for each mapping.
const RETRIES_MAX: i64 = 1000;

/// What a turn works on.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) client: &'a Client,
    pub(crate) means: Means,
    pub(crate) schema: &'a str,
    pub(crate) owner: &'a Owner,
    pub(crate) plans: &'a [&'a Plan],
    /// Roles that may read.
    pub(crate) readers: &'a [String],
    /// The session is new, so that the target's settings may be, too.
    pub(crate) fresh: bool,
    pub(crate) reader: Reader<'a>,
    pub(crate) config: &'a SyncConfig,
    /// Mappings that an operator wants filled again.
    pub(crate) fill_requested: &'a HashSet<String>,
    /// Of the copies that there are of what the target refuses.
    pub(crate) refused_digests: &'a HashMap<String, String>,
    /// Cancelled when the worker stops: the turn commits what it has.
    pub(crate) stopping: &'a CancellationToken,
    /// Of the job, if it is traced.
    pub(crate) span: &'a Span,
    pub(crate) told: &'a Told,
}

/// What a turn did.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) cursors: Vec<Cursor>,
    /// Nothing is left to do.
    pub(crate) finished: bool,
    pub(crate) rows: u64,
    pub(crate) complete_as_of: Option<OffsetDateTime>,
    /// Rows that the target refuses, for each mapping in the plans' order.
    pub(crate) refused: Vec<i64>,
    /// What the target refuses, of those mappings whose copy says something else.
    pub(crate) quarantine: Vec<RefusedOf>,
    /// The mappings that began to be filled, and why.
    pub(crate) fills: Vec<(usize, &'static str)>,
    /// The mapping of which a range was compared on the side, and where its next range begins.
    pub(crate) compared: Option<Compare>,
    /// Id of the oldest change that was brought.
    pub(crate) oldest_change: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Slices are written whole.
    Whole,
    /// Something was refused: which rows is found out.
    Careful,
}

impl Turn<'_> {
    /// Runs the turn. On an error the caller drops the session, and with it the transaction.
    pub(crate) async fn run(&self) -> Result<Report, TurnError> {
        match self.attempt(Mode::Whole).await {
            Err(error) if error.refuses_row() => {
                self.bounded(async { Ok(self.client.batch_execute("rollback").await?) }).await?;
                self.attempt(Mode::Careful).await
            }
            other => other,
        }
    }

    async fn attempt(&self, mode: Mode) -> Result<Report, TurnError> {
        reach("sync.before_lock").await?;
        let step = self.span.child("lock", SpanKind::Client);
        let (state, mut report) = self.opened_and_prepared().await?;
        drop(step);
        let step = self.span.child("read", SpanKind::Client);
        let mut slice = self.first_slice(&state, &mut report).await?;
        drop(step);
        report.oldest_change = slice.oldest_change(&report.cursors);
        reach("sync.after_read").await?;
        let began = Instant::now();
        let mut rows = 0;
        let mut step = self.span.child("write", SpanKind::Client);
        loop {
            rows += slice.rows;
            report.finished = slice.complete && !slice.cursors.iter().any(Cursor::filling);
            let stuck = slice.rows == 0 && slice.cursors == report.cursors;
            let enough = rows >= self.config.atomic_rows
                && (rows >= self.config.turn_rows
                    || began.elapsed() >= TURN_TIME
                    || self.stopping.is_cancelled());
            let overflows = !slice.overflowing.is_empty();
            let last = report.finished || stuck || enough || overflows;
            // The next slice is read while this one is written.
            let next = async {
                if last {
                    Ok::<_, TurnError>(None)
                } else {
                    Ok(Some(self.reader.read(&slice.cursors, state.epoch).await?))
                }
            };
            let (written, next) = tokio::join!(self.write(&slice, mode, &state, &mut report.refused), next);
            report.rows += written?;
            report.cursors.clone_from(&slice.cursors);
            report.compared.clone_from(&slice.compared);
            match next? {
                Some(next) => slice = next,
                None => {
                    // What overflows is filled from the start of the next turn on.
                    report.finished |= stuck && !overflows;
                    break;
                }
            }
        }
        report.rows += self.retry_refused(&state, &mut report.refused).await?;
        step.set("tenant_sync.rows", || i64::try_from(report.rows).unwrap_or(i64::MAX));
        drop(step);
        let _step = self.span.child("commit", SpanKind::Client);
        self.close(&slice, &state, &mut report).await?;
        Ok(report)
    }

    /// Takes the lock and brings the tables up to the mappings. A table that had to be altered is committed first, and
    /// the lock taken anew: its readers wait for the change itself, never for the rows.
    async fn opened_and_prepared(&self) -> Result<(State, Report), TurnError> {
        for _ in 0..STEPS_MAX {
            let state = self.open().await?;
            reach("sync.after_lock").await?;
            match self.prepare(&state).await? {
                Some(report) => return Ok((state, report)),
                None => self.bounded(async { Ok(self.client.batch_execute("commit").await?) }).await?,
            }
        }
        Err(TurnError::Fault(TargetFault::new(ErrorClass::SchemaChanged)))
    }

    /// Takes the lock, after setting the schema up if it must be.
    async fn open(&self) -> Result<State, TurnError> {
        let limits = self.limits();
        for _ in 0..2 {
            match self.bounded(state::open(self.client, self.schema, limits)).await? {
                Opened::Locked(state) if state.owner == *self.owner => return Ok(*state),
                Opened::Locked(state) => return Err(TurnError::Fault(not_ours(&state.owner, self.owner))),
                Opened::NotSetUp => {
                    let plans = self.plans;
                    self.bounded(setup::schema(self.client, self.schema, self.owner, plans, limits)).await?;
                }
            }
        }
        Err(TurnError::Fault(TargetFault::new(ErrorClass::SchemaChanged)))
    }

    /// Brings the tables up to the mappings, and says where each mapping stands; `None` = a table was altered.
    async fn prepare(&self, state: &State) -> Result<Option<Report>, TurnError> {
        let (mut altered, mut built) = (false, false);
        let mut report = Report {
            cursors: Vec::new(),
            finished: false,
            rows: 0,
            complete_as_of: None,
            refused: Vec::new(),
            quarantine: Vec::new(),
            fills: Vec::new(),
            compared: None,
            oldest_change: None,
        };
        for (at, plan) in self.plans.iter().enumerate() {
            let known = state.mappings.get(plan.name());
            if known.and_then(|known| known.version).is_some_and(|version| version > plan.mapping.version) {
                return Err(TurnError::NewerMapping(plan.name().to_owned()));
            }
            let table =
                self.bounded(setup::table(self.client, self.schema, plan, known, self.readers)).await?;
            match table {
                Table::WantsFill(why) => report.fills.push((at, why)),
                Table::Altered => altered = true,
                // Not while this transaction keeps readers of another table waiting.
                Table::LacksIndexes(_) if altered => {}
                Table::LacksIndexes(missing) => {
                    let build = upgrade::build(self.client, &missing, self.limits());
                    self.within(upgrade::INDEXES_WITHIN + Duration::from_secs(5), build).await?;
                    built = true;
                }
                Table::Unchanged if self.fill_requested.contains(plan.name()) => {
                    report.fills.push((at, "a resync was asked for"));
                }
                Table::Unchanged => {}
            }
            report.cursors.push(standing::cursor(known));
            report.refused.push(state.refused.get(plan.name()).map_or(0, |refused| refused.all));
        }
        if self.fresh {
            self.bounded(setup::privileges(self.client, self.schema, self.plans, self.readers)).await?;
        }
        Ok((!altered && !built).then_some(report))
    }

    /// Reads the first slice; what its snapshot says may mean that mappings are to be filled.
    async fn first_slice(&self, state: &State, report: &mut Report) -> Result<Slice, TurnError> {
        if !report.fills.is_empty() {
            let snapshot = self.reader.look(state.epoch).await?;
            self.begin_fills(&snapshot, report);
        }
        let slice = self.reader.read(&report.cursors, state.epoch).await?;
        let mut wanted = Vec::new();
        for (at, plan) in self.plans.iter().enumerate() {
            if report.fills.iter().any(|(of, _)| *of == at) {
                continue; // It begins from nothing; there is nothing to compare.
            }
            let (known, tracked) = (state.mappings.get(plan.name()), plan.mapping.source.is_tracked());
            match standing::verdict(known, tracked, state.epoch, &slice.snapshot) {
                Verdict::Follows => {}
                Verdict::Ahead(watermark) => return Err(TurnError::Ahead(watermark)),
                Verdict::WantsFill(why) => wanted.push((at, why)),
            }
        }
        wanted.extend(
            slice.overflowing.iter().map(|at| (*at, "one change touches more rows than a slice holds")),
        );
        if slice.rows == 0 && wanted.is_empty() {
            wanted = self.emptied(report).await?;
        }
        if wanted.is_empty() {
            return Ok(slice);
        }
        report.fills = wanted;
        self.begin_fills(&slice.snapshot, report);
        Ok(self.reader.read(&report.cursors, state.epoch).await?)
    }

    /// A fill begins: follow from the horizon on, and walk the keys from the first.
    fn begin_fills(&self, snapshot: &Snapshot, report: &mut Report) {
        for (at, why) in &report.fills {
            let cursor = &mut report.cursors[*at];
            let (tenancy, target) = (self.owner.tenancy, self.owner.target.as_str());
            let mapping = self.plans[*at].name();
            if let Some(not_told) = self.told.fills.tell(&(tenancy, target, mapping, why)) {
                tracing::info!(%tenancy, target, mapping, reason = why, not_told, "filling a table");
            }
            *cursor = Cursor { watermark: snapshot.horizon, phase: Phase::Filling(None) };
        }
    }

    /// Mappings whose table has no row although the source has more than it refuses: the customer emptied it.
    async fn emptied(&self, report: &Report) -> Result<Vec<(usize, &'static str)>, TurnError> {
        let mut emptied = Vec::new();
        for (at, plan) in self.plans.iter().enumerate() {
            let whole = crate::source::KeyRange { from: None, to: None };
            if !report.cursors[at].filling()
                && self.bounded(self.writer(plan).is_empty_from(&whole)).await?
                && self.reader.has_more_than(plan, report.refused[at]).await?
            {
                emptied.push((at, "the table was emptied"));
            }
        }
        Ok(emptied)
    }

    /// Writes a slice: deletes first, in the reverse order of the mappings, so that references of the
    /// customer's between the tables hold.
    async fn write(
        &self,
        slice: &Slice,
        mode: Mode,
        state: &State,
        refused: &mut [i64],
    ) -> Result<u64, TurnError> {
        let mut written = 0;
        let mut refused_deletes = Vec::new();
        for (at, part) in slice.parts.iter().rev().filter(|(_, part)| !part.gone.is_empty()) {
            let writer = self.writer(self.plans[*at]);
            if mode == Mode::Careful {
                let outcome =
                    self.bounded(writer.delete_carefully(part, self.config.quarantine_rows)).await?;
                written += outcome.written;
                refused_deletes.push((*at, outcome.refused));
            } else {
                let gone: Vec<_> = part.gone.iter().collect();
                written += self.bounded(writer.delete(&gone)).await?;
            }
        }
        for (at, part) in &slice.parts {
            let writer = self.writer(self.plans[*at]);
            let mut refusals = part.too_large(self.plans[*at], self.config.max_row_bytes)?;
            if mode == Mode::Careful {
                let outcome = self.bounded(writer.apply_carefully(part, self.config.quarantine_rows)).await?;
                written += outcome.written;
                refusals.extend(outcome.refused);
            } else {
                let changed = self.bounded(writer.apply(part)).await?;
                written += changed;
                if changed > 0 && part.range.is_some() && slice.compared.is_some() {
                    self.tell_of_differences(self.plans[*at], changed);
                }
            }
            let known = state.refused.get(self.plans[*at].name()).map_or(0, |refused| refused.all);
            if known > 0 {
                let keys = part.keys(self.plans[*at])?;
                let plan = self.plans[*at];
                refused[*at] -= self.bounded(settle::forget(self.client, self.schema, plan, &keys)).await?;
            }
            refused[*at] += self.refuse(self.plans[*at], &refusals).await?;
        }
        for (at, refusals) in refused_deletes {
            // What referred to these rows may have moved on with the rows.
            let (plan, max) = (self.plans[at], self.config.quarantine_rows);
            let keys: Vec<Vec<String>> = refusals.into_iter().map(|refusal| refusal.key).collect();
            let outcome = self.bounded(self.writer(plan).delete_keys_carefully(&keys, max)).await?;
            written += outcome.written;
            refused[at] += self.refuse(plan, &outcome.refused).await?;
        }
        let refused_max = i64::try_from(self.config.quarantine_rows).unwrap_or(i64::MAX);
        if refused.iter().any(|refused| *refused > refused_max) {
            return Err(TurnError::TooManyRefused);
        }
        reach("sync.after_write").await?;
        Ok(written)
    }

    /// What a comparison on the side has mended.
    fn tell_of_differences(&self, plan: &Plan, rows: u64) {
        metrics::counter!("tenant_sync_differing_rows_total").increment(rows);
        let (tenancy, target, mapping) = (self.owner.tenancy, self.owner.target.as_str(), plan.name());
        let Some(not_told) = self.told.differences.tell(&(tenancy, target, mapping)) else { return };
        tracing::warn!(
            %tenancy, target, mapping, rows, not_told,
            "rows differed from their source and are mended: changes that no trigger saw, or somebody changed the target"
        );
    }

    async fn refuse(&self, plan: &Plan, refusals: &[Refusal]) -> Result<i64, TurnError> {
        if refusals.is_empty() {
            return Ok(0);
        }
        self.told.refusals(self.owner, plan.name(), refusals);
        self.bounded(settle::refusals(self.client, self.schema, plan, refusals)).await?;
        Ok(i64::try_from(refusals.len()).unwrap_or(i64::MAX))
    }

    /// Tries again what was refused earlier and is due.
    async fn retry_refused(&self, state: &State, refused: &mut [i64]) -> Result<u64, TurnError> {
        let mut written = 0;
        for (at, plan) in self.plans.iter().enumerate() {
            if state.refused.get(plan.name()).is_none_or(|refused| refused.due == 0) {
                continue;
            }
            let keys =
                self.bounded(settle::due_refusals(self.client, self.schema, plan, RETRIES_MAX)).await?;
            let part = self.reader.by_key(plan, &keys).await?;
            let alive: HashSet<Vec<String>> = part.keys(plan)?.into_iter().collect();
            let dead: Vec<Vec<String>> = keys.iter().filter(|key| !alive.contains(*key)).cloned().collect();
            let writer = self.writer(plan);
            let deleted =
                self.bounded(writer.delete_keys_carefully(&dead, self.config.quarantine_rows)).await?;
            let outcome = self.bounded(writer.apply_carefully(&part, self.config.quarantine_rows)).await?;
            written += deleted.written + outcome.written;
            let mut refusals = outcome.refused;
            refusals.extend(deleted.refused);
            refusals.extend(part.too_large(plan, self.config.max_row_bytes)?);
            let still: HashSet<&Vec<String>> = refusals.iter().map(|refusal| &refusal.key).collect();
            let done: Vec<Vec<String>> = keys.iter().filter(|key| !still.contains(key)).cloned().collect();
            self.bounded(settle::forget(self.client, self.schema, plan, &done)).await?;
            self.bounded(settle::refusals(self.client, self.schema, plan, &refusals)).await?;
            refused[at] -= i64::try_from(done.len()).unwrap_or(0);
        }
        Ok(written)
    }

    /// Moves the watermarks and commits.
    async fn close(&self, slice: &Slice, state: &State, report: &mut Report) -> Result<(), TurnError> {
        report.complete_as_of = slice.complete.then_some(slice.snapshot.as_of);
        let moved = report.rows > 0 || !report.fills.is_empty() || self.moved(state, report);
        if !moved && self.config.heartbeat.is_zero() {
            // Nothing to write, and nobody wants to be told that.
            report.complete_as_of = None;
            return self.bounded(async { Ok(self.client.batch_execute("rollback").await?) }).await;
        }
        let pairs = self.plans.iter().zip(&report.cursors);
        let standings: Vec<_> = pairs.map(|(plan, cursor)| Standing::of(plan, cursor, state)).collect();
        let picture = Picture {
            complete_as_of: report.complete_as_of,
            flagged_rows: i32::try_from(slice.flagged).unwrap_or(i32::MAX),
            epoch: slice.snapshot.epoch.or(state.epoch),
        };
        self.bounded(settle::watermarks(self.client, self.schema, &standings, picture)).await?;
        report.quarantine = self.quarantine(state, &report.refused).await?;
        reach("sync.before_commit").await?;
        // No time-out of the server's bounds a COMMIT that waits for a lost standby.
        match tokio::time::timeout(self.config.statement_timeout, self.client.batch_execute("commit")).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(TurnError::Fault(
                TargetFault::new(ErrorClass::StatementTimeout)
                    .with_detail("COMMIT did not return; a synchronous standby may be missing."),
            )),
        }
    }

    /// What the target refuses, of those mappings whose copy says something else.
    async fn quarantine(&self, state: &State, refused: &[i64]) -> Result<Vec<RefusedOf>, TurnError> {
        let mut changed = Vec::new();
        for (plan, now) in self.plans.iter().zip(refused) {
            let copied = self.refused_digests.get(plan.name());
            let any = *now > 0 || copied.is_some() || state.refused.contains_key(plan.name());
            if any {
                let max = self.config.quarantine_rows;
                changed.extend(
                    self.bounded(quarantine::unlike(self.client, self.schema, plan, copied, max)).await?,
                );
            }
        }
        Ok(changed)
    }

    /// Whether a watermark or a fill is further than the target knows.
    fn moved(&self, state: &State, report: &Report) -> bool {
        let known = |plan: &Plan| standing::cursor(state.mappings.get(plan.name()));
        self.plans.iter().zip(&report.cursors).any(|(plan, cursor)| known(plan) != *cursor)
    }

    fn writer<'p>(&'p self, plan: &'p Plan) -> Writer<'p> {
        Writer {
            client: self.client,
            plan,
            statements: Statements::new(plan, self.schema),
            means: self.means,
        }
    }

    fn limits(&self) -> Limits {
        Limits { statement: self.config.statement_timeout }
    }

    /// The server ends each statement in time; this is for a server that does not answer at all. What is
    /// bounded here has a handful of statements.
    fn bounded<T>(
        &self,
        work: impl Future<Output = Result<T, TurnError>>,
    ) -> impl Future<Output = Result<T, TurnError>> {
        self.within(self.config.statement_timeout * 4 + Duration::from_secs(5), work)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, TurnError>>,
    ) -> Result<T, TurnError> {
        match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(TurnError::Fault(
                TargetFault::new(ErrorClass::Unreachable).with_detail("It stopped answering."),
            )),
        }
    }
}

async fn reach(name: &'static str) -> Result<(), TurnError> {
    failpoint::reach(name).await.map_err(|_| TurnError::GivenUp)
}

fn not_ours(found: &Owner, expected: &Owner) -> TargetFault {
    let detail = if found.deployment == expected.deployment {
        "Another tenancy or target of this deployment writes there; give each target a schema of its own."
    } else {
        "Another deployment of tenant-sync writes there; give this target a schema of its own."
    };
    TargetFault::new(ErrorClass::OwnedByAnother).with_detail(detail)
}
