//! The second try of a slice that a target refused: which rows is it?
//!
//! Each part is written under a savepoint, with deferred constraints checked at once, and halved until single
//! rows are left. Those are recorded in the target, in the transaction that moves the watermark, and tried
//! again later; the rows after them go on.

use tenant_sync_core::target::class::TargetFault;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::write::{Batch, Writer};
use crate::error::TurnError;
use crate::source::SliceOf;

/// How the reason of [`Refusal::too_large`] begins.
pub(crate) const TOO_LARGE: &str = "the row is larger than sync.max_row_bytes";

/// A row that the target does not take.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// Its key, as text.
    pub(crate) key: Vec<String>,
    pub(crate) sqlstate: String,
    /// Our sentence; never the server's text, which carries values.
    pub(crate) reason: String,
}

/// What came of a careful try.
#[derive(Debug, Default)]
pub(crate) struct Careful {
    pub(crate) written: u64,
    pub(crate) refused: Vec<Refusal>,
}

struct Refused<'a> {
    row: Batch<'a>,
    fault: TargetFault,
    conflict: bool,
}

impl Writer<'_> {
    /// Deletes the keys of a slice's tombstones, one by one where it must be.
    ///
    /// # Errors
    /// What is no row's fault; more than `refused_max` refused rows.
    pub(crate) async fn delete_carefully(
        &self,
        slice: &SliceOf,
        refused_max: usize,
    ) -> Result<Careful, TurnError> {
        self.carefully(Batch { rows: Vec::new(), gone: slice.gone.iter().collect() }, refused_max).await
    }

    /// Applies the rows of a slice, one by one where it must be.
    ///
    /// # Errors
    /// What is no row's fault; more than `refused_max` refused rows.
    pub(crate) async fn apply_carefully(
        &self,
        slice: &SliceOf,
        refused_max: usize,
    ) -> Result<Careful, TurnError> {
        let mut others = Careful::default();
        if let Some(range) = &slice.range {
            match self.attempt(self.delete_others(slice, range)).await? {
                Ok(written) => others.written += written,
                Err(_) => {
                    let keys = self.others(slice, range).await?;
                    others = self.delete_keys_carefully(&keys, refused_max).await?;
                }
            }
        }
        let rows = Batch { rows: slice.rows.iter().collect(), gone: Vec::new() };
        let mut careful = self.carefully(rows, refused_max).await?;
        careful.written += others.written;
        careful.refused.append(&mut others.refused);
        Ok(careful)
    }

    /// Deletes rows by key, one by one where it must be.
    ///
    /// # Errors
    /// What is no row's fault; more than `refused_max` refused rows.
    pub(crate) async fn delete_keys_carefully(
        &self,
        keys: &[Vec<String>],
        refused_max: usize,
    ) -> Result<Careful, TurnError> {
        let mut careful = Careful::default();
        let mut parts: Vec<&[Vec<String>]> = Vec::from_iter((!keys.is_empty()).then_some(keys));
        while let Some(part) = parts.pop() {
            match (part, self.attempt(self.delete_keys(part)).await?) {
                (_, Ok(written)) => careful.written += written,
                ([one], Err((fault, _))) => careful.refused.push(Refusal::of(one.clone(), &fault)),
                (_, Err(_)) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
            if careful.refused.len() > refused_max {
                return Err(TurnError::TooManyRefused);
            }
        }
        Ok(careful)
    }

    async fn carefully(&self, batch: Batch<'_>, refused_max: usize) -> Result<Careful, TurnError> {
        let mut careful = Careful::default();
        let mut refused = self.halve(batch, &mut careful.written, refused_max).await?;
        if refused.len() > 1 && refused.iter().any(|one| one.conflict) {
            refused = self.second_chance(refused, &mut careful.written).await?;
        }
        for one in refused {
            careful.refused.push(Refusal::of(self.key_of(&one.row)?, &one.fault));
        }
        Ok(careful)
    }

    async fn halve<'a>(
        &self,
        whole: Batch<'a>,
        written: &mut u64,
        refused_max: usize,
    ) -> Result<Vec<Refused<'a>>, TurnError> {
        let mut refused = Vec::new();
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            if part.len() == 0 {
                continue;
            }
            let (fault, conflict) = match self.attempt(self.write(&part)).await? {
                Ok(rows) => {
                    *written += rows;
                    continue;
                }
                Err(refusal) => refusal,
            };
            if conflict
                && part.len() > 1
                && let Ok(rows) = self.attempt(self.replace(&part)).await?
            {
                *written += rows;
                continue;
            }
            if part.len() == 1 {
                refused.push(Refused { row: part, fault, conflict });
                if refused.len() > refused_max {
                    return Err(TurnError::TooManyRefused);
                }
                continue;
            }
            let (first, second) = part.halves();
            parts.push(second);
            parts.push(first);
        }
        Ok(refused)
    }

    /// Rows that were refused only because of one another, or of rows that have moved on since.
    async fn second_chance<'a>(
        &self,
        refused: Vec<Refused<'a>>,
        written: &mut u64,
    ) -> Result<Vec<Refused<'a>>, TurnError> {
        let together = Batch {
            rows: refused.iter().flat_map(|one| one.row.rows.iter().copied()).collect(),
            gone: refused.iter().flat_map(|one| one.row.gone.iter().copied()).collect(),
        };
        if let Ok(rows) = self.attempt(self.replace(&together)).await? {
            *written += rows;
            return Ok(Vec::new());
        }
        let mut left = Vec::new();
        for one in refused {
            match self.attempt(self.write(&one.row)).await? {
                Ok(rows) => *written += rows,
                Err((fault, conflict)) => left.push(Refused { fault, conflict, ..one }),
            }
        }
        Ok(left)
    }

    /// Runs `work` under a savepoint. The inner error is a row's; whether it is a unique index's is told.
    async fn attempt<T>(
        &self,
        work: impl Future<Output = Result<T, TurnError>>,
    ) -> Result<Result<T, (TargetFault, bool)>, TurnError> {
        self.client.batch_execute("savepoint careful").await?;
        let done = match work.await {
            Ok(done) => {
                let checked = self
                    .client
                    .batch_execute("set constraints all immediate; release savepoint careful")
                    .await;
                checked.map(|()| done).map_err(TurnError::from)
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => Ok(Ok(done)),
            Err(TurnError::Statement(error)) => {
                let fault = TargetFault::from_postgres(&error);
                if !fault.class.policy().quarantines {
                    return Err(TurnError::Statement(error));
                }
                self.client.batch_execute("rollback to savepoint careful; release savepoint careful").await?;
                let conflict = error.code().is_some_and(|code| {
                    [SqlState::UNIQUE_VIOLATION, SqlState::EXCLUSION_VIOLATION].contains(code)
                });
                Ok(Err((fault, conflict)))
            }
            Err(error) => Err(error),
        }
    }

    fn key_of(&self, batch: &Batch<'_>) -> Result<Vec<String>, TurnError> {
        let (row, first): (Option<&&Row>, usize) = match batch.rows.first() {
            Some(row) => (Some(row), 2 + self.plan.columns.len()),
            None => (batch.gone.first(), 2 + self.plan.key.len()),
        };
        let Some(row) = row else { return Ok(Vec::new()) };
        (0..self.plan.key.len()).map(|i| Ok(row.try_get::<_, String>(first + i)?)).collect()
    }
}

impl Refusal {
    fn of(key: Vec<String>, fault: &TargetFault) -> Self {
        Self {
            key,
            sqlstate: fault.sqlstate.as_deref().unwrap_or_default().to_owned(),
            reason: fault.to_string(),
        }
    }

    /// A row that we do not even try.
    pub(crate) fn too_large(key: Vec<String>, bytes_max: usize) -> Self {
        Self { key, sqlstate: "54000".into(), reason: format!("{TOO_LARGE} ({bytes_max} bytes)") }
    }
}
