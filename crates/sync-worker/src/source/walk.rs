//! Reading along the key: ranges that fill a target, and ranges that are compared although it follows.

use tokio_postgres::types::ToSql;

use super::cursor::{Cursor, Phase};
use super::read::{Budget, Reader, Session, SourceError, limit, limit_bytes, to_i64};
use super::slice::{KeyRange, Slice, SliceOf, key_text};
use crate::plan::Plan;

/// Rows that are compared on the side in one turn, at most: nobody shall notice it.
const COMPARED_ROWS: usize = 1_000;

/// What is compared next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compare {
    /// Position of the mapping among the plans.
    pub(crate) at: usize,
    /// The key after which it goes on; `None` = from the first.
    pub(crate) from: Option<Vec<String>>,
}

impl Reader<'_> {
    /// The next range of keys of the first mapping that fills.
    pub(super) async fn read_fill(
        &self,
        session: &Session<'_>,
        slice: &mut Slice,
        budget: &mut Budget,
    ) -> Result<(), SourceError> {
        let Some(at) = slice.cursors.iter().position(Cursor::filling) else { return Ok(()) };
        let Phase::Filling(from) = slice.cursors[at].phase.clone() else { return Ok(()) };
        let (part, to) = self.read_range(session, self.plans[at], from, budget.rows, budget).await?;
        slice.cursors[at].phase = to.map_or(Phase::Following, |position| Phase::Filling(Some(position)));
        slice.parts.push((at, part));
        Ok(())
    }

    /// A range of a mapping that follows, in the snapshot that the target is to equal: what is found to differ there
    /// went by unseen. Nothing of it says how far the target is.
    pub(super) async fn read_compared(
        &self,
        session: &Session<'_>,
        slice: &mut Slice,
        budget: &mut Budget,
    ) -> Result<(), SourceError> {
        let Some(Compare { at, from }) = self.compare else { return Ok(()) };
        if slice.cursors.iter().any(Cursor::filling) {
            return Ok(());
        }
        let rows = budget.rows.min(COMPARED_ROWS);
        let (part, to) = self.read_range(session, self.plans[*at], from.clone(), rows, budget).await?;
        slice.compared = Some(Compare { at: *at, from: to });
        slice.parts.push((*at, part));
        Ok(())
    }

    /// All there is in the range of at most `rows` keys after `from`, and where it ends; `None` = with the last key.
    async fn read_range(
        &self,
        session: &Session<'_>,
        plan: &Plan,
        from: Option<Vec<String>>,
        rows: usize,
        budget: &mut Budget,
    ) -> Result<(SliceOf, Option<Vec<String>>), SourceError> {
        let (limit, largest) = (limit(rows), limit_bytes(self.bounds.largest_row));
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&self.tenancy, &limit, &largest];
        let statement = match &from {
            None => &plan.statements.first_keys,
            Some(position) => {
                parameters.extend(position.iter().map(|p| p as &(dyn ToSql + Sync)));
                &plan.statements.next_keys
            }
        };
        let read = self.stream(session, statement, &parameters, budget).await;
        let read = read.map_err(|error| error.of(plan))?;
        let more = read.stopped || to_i64(read.rows.len()) >= limit;
        let to = match read.rows.last() {
            Some(row) if more => Some(key_text(plan, row)?),
            _ => None,
        };
        let mut part = SliceOf { range: Some(KeyRange { from, to: to.clone() }), ..SliceOf::default() };
        for row in read.rows {
            part.push(row)?;
        }
        Ok((part, to))
    }
}
