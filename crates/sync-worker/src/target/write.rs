//! Here a slice is applied to a target.
//!
//! A slice is written whole, never a statement a row: a small one as one statement over arrays, a large one by
//! COPY into a temporary table (or straight into the table, where nothing can be in the way) and one upsert.
//! Rows that would not change are not written. The transaction and its lock are the turn's.

use bytes::Bytes;
use futures_util::SinkExt;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::encode::{self, ColumnArray};
use super::statements::Statements;
use crate::error::TurnError;
use crate::plan::Plan;
use crate::source::{KeyRange, SliceOf};

/// From this many rows on, staging pays: below it, its round trips cost more than the larger parameters.
const STAGE_FROM_ROWS: usize = 1000;
/// One frame of COPY.
const COPY_FRAME_BYTES: usize = 64 * 1024;

/// A mapping as it is written into one schema.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) plan: &'a Plan,
    pub(crate) statements: Statements,
    pub(crate) means: Means,
}

/// What a session allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Means {
    /// COPY, which names a statement for a moment: not behind a pooler.
    pub(crate) copy: bool,
    /// Temporary tables: the role may create them, and no pooler shares the session.
    pub(crate) stage: bool,
}

/// Rows to write and keys to delete: a whole slice, or a part of one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Batch<'a> {
    pub(crate) rows: Vec<&'a Row>,
    pub(crate) gone: Vec<&'a Row>,
}

impl<'a> Batch<'a> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.gone.len()
    }

    /// Two halves; deletes come first, as they do when a batch is written.
    pub(crate) fn halves(mut self) -> (Self, Self) {
        let half = self.len() / 2;
        let mut second = Self::default();
        if self.gone.len() > half {
            second.gone = self.gone.split_off(half);
            second.rows = std::mem::take(&mut self.rows);
        } else {
            second.rows = self.rows.split_off(half - self.gone.len());
        }
        (self, second)
    }
}

impl Writer<'_> {
    /// Applies the rows of one mapping's slice; its deletes come before, with [`Writer::delete`]. Returns the
    /// rows that were really written.
    ///
    /// An error leaves the transaction aborted: the caller rolls back.
    pub(crate) async fn apply(&self, slice: &SliceOf) -> Result<u64, TurnError> {
        let rows: Vec<&Row> = slice.rows.iter().collect();
        let mut written = 0;
        if let Some(range) = &slice.range {
            if self.is_empty_from(range).await? {
                return self.insert(&rows).await;
            }
            written += self.delete_others(slice, range).await?;
        }
        Ok(written + self.write(&Batch { rows, gone: Vec::new() }).await?)
    }

    /// Deletes, then inserts or updates what differs.
    pub(crate) async fn write(&self, batch: &Batch<'_>) -> Result<u64, TurnError> {
        let mut written = self.delete(&batch.gone).await?;
        if self.means.stage && batch.rows.len() >= STAGE_FROM_ROWS {
            self.stage(&batch.rows).await?;
            written += self.client.execute_typed(&self.statements.upsert_from_stage, &[]).await?;
        } else if !batch.rows.is_empty() {
            written += self.with_columns(&self.statements.upsert, &batch.rows).await?;
        }
        Ok(written)
    }

    /// For rows that stand in each other's way under a constraint of the customer's (two that swap a value):
    /// all of them out, then all of them in.
    pub(crate) async fn replace(&self, batch: &Batch<'_>) -> Result<u64, TurnError> {
        let mut written = self.delete(&batch.gone).await?;
        if !batch.rows.is_empty() {
            self.execute(&self.statements.delete, &self.row_keys(&batch.rows), &[]).await?;
            written += self.with_columns(&self.statements.insert, &batch.rows).await?;
        }
        Ok(written)
    }

    /// Deletes the rows with the keys of these tombstones.
    pub(crate) async fn delete(&self, gone: &[&Row]) -> Result<u64, TurnError> {
        if gone.is_empty() {
            return Ok(0);
        }
        let columns = self.plan.key_columns.iter().enumerate();
        let keys: Vec<ColumnArray<'_>> =
            columns.map(|(i, column)| ColumnArray::new(gone, i, column)).collect();
        self.execute(&self.statements.delete, &keys, &[]).await
    }

    /// Deletes the rows with these keys, given as text.
    pub(crate) async fn delete_keys(&self, keys: &[Vec<String>]) -> Result<u64, TurnError> {
        let columns: Vec<Vec<&str>> = (0..self.plan.key.len())
            .map(|i| keys.iter().filter_map(|key| key.get(i).map(String::as_str)).collect())
            .collect();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            columns.iter().map(|column| (column as &(dyn ToSql + Sync), Type::TEXT_ARRAY)).collect();
        Ok(self.client.execute_typed(&self.statements.delete_by_text, &parameters).await?)
    }

    /// Removes what the target has in the range and the source has not.
    pub(crate) async fn delete_others(&self, slice: &SliceOf, range: &KeyRange) -> Result<u64, TurnError> {
        let sql = self.statements.delete_others(range.from.is_some(), range.to.is_some());
        let positions: Vec<&String> = range.from.iter().chain(&range.to).flatten().collect();
        // A row too large to be carried is in the source, too: what the target has of it stays.
        let there: Vec<&Row> = slice.rows.iter().chain(&slice.large).collect();
        self.execute(&sql, &self.row_keys(&there), &positions).await
    }

    /// Keys of what the target has in the range and the source has not, as text.
    pub(crate) async fn others(
        &self,
        slice: &SliceOf,
        range: &KeyRange,
    ) -> Result<Vec<Vec<String>>, TurnError> {
        let sql = self.statements.select_others(range.from.is_some(), range.to.is_some());
        let there: Vec<&Row> = slice.rows.iter().chain(&slice.large).collect();
        let keys = self.row_keys(&there);
        let positions: Vec<&String> = range.from.iter().chain(&range.to).flatten().collect();
        let rows = self.client.query_typed(&sql, &self.key_parameters(&keys, &positions)).await?;
        let texts = |row: &Row| (0..self.plan.key.len()).map(|i| row.try_get(i)).collect::<Result<_, _>>();
        Ok(rows.iter().map(texts).collect::<Result<_, _>>()?)
    }

    pub(crate) async fn is_empty_from(&self, range: &KeyRange) -> Result<bool, TurnError> {
        let sql = self.statements.any_above(range.from.is_some());
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
            range.from.iter().flatten().map(|p| (p as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let rows = self.client.query_typed(&sql, &parameters).await?;
        Ok(!rows.first().map(|row| row.try_get::<_, bool>(0)).transpose()?.unwrap_or(true))
    }

    /// Fills a range in which the target has nothing.
    async fn insert(&self, rows: &[&Row]) -> Result<u64, TurnError> {
        match &self.statements.copy {
            Some(copy) if self.means.copy && rows.len() >= STAGE_FROM_ROWS => {
                let data = encode::copy(rows, self.plan.columns.len()).map_err(TurnError::Encode)?;
                self.copy(copy, data).await
            }
            _ if rows.is_empty() => Ok(0),
            _ => self.with_columns(&self.statements.insert, rows).await,
        }
    }

    async fn stage(&self, rows: &[&Row]) -> Result<(), TurnError> {
        let sql = format!("{}; {}", self.statements.stage, self.statements.clear_stage);
        self.client.batch_execute(&sql).await?;
        let data = encode::copy(rows, self.plan.columns.len()).map_err(TurnError::Encode)?;
        self.copy(&self.statements.copy_to_stage, data).await?;
        Ok(())
    }

    async fn copy(&self, statement: &str, mut data: Bytes) -> Result<u64, TurnError> {
        let sink = self.client.copy_in(statement).await?;
        futures_util::pin_mut!(sink);
        while !data.is_empty() {
            let frame = data.split_to(data.len().min(COPY_FRAME_BYTES));
            sink.feed(frame).await?;
        }
        Ok(sink.finish().await?)
    }

    fn row_keys<'s>(&self, rows: &'s [&'s Row]) -> Vec<ColumnArray<'s>> {
        let columns = self.plan.key.iter().zip(&self.plan.key_columns);
        columns.map(|(at, column)| ColumnArray::new(rows, *at, column)).collect()
    }

    async fn with_columns(&self, sql: &str, rows: &[&Row]) -> Result<u64, TurnError> {
        let columns: Vec<ColumnArray<'_>> = self
            .plan
            .columns
            .iter()
            .enumerate()
            .map(|(i, column)| ColumnArray::new(rows, i, column))
            .collect();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = columns
            .iter()
            .zip(&self.plan.columns)
            .map(|(array, column)| (array as &(dyn ToSql + Sync), column.array.clone()))
            .collect();
        Ok(self.client.execute_typed(sql, &parameters).await?)
    }

    async fn execute(
        &self,
        sql: &str,
        keys: &[ColumnArray<'_>],
        positions: &[&String],
    ) -> Result<u64, TurnError> {
        Ok(self.client.execute_typed(sql, &self.key_parameters(keys, positions)).await?)
    }

    fn key_parameters<'k>(
        &self,
        keys: &'k [ColumnArray<'_>],
        positions: &'k [&String],
    ) -> Vec<(&'k (dyn ToSql + Sync), Type)> {
        let arrays = keys.iter().zip(&self.plan.key_columns);
        let arrays = arrays.map(|(array, column)| (array as &(dyn ToSql + Sync), column.array.clone()));
        arrays.chain(positions.iter().map(|p| (*p as &(dyn ToSql + Sync), Type::TEXT))).collect()
    }
}
