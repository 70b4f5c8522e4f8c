//! What one read brings: a bounded piece of a tenant's changes, as one snapshot shows them.

use std::collections::HashSet;

use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::cursor::Cursor;
use super::read::SourceError;
use super::walk::Compare;
use crate::plan::Plan;
use crate::target::Refusal;

/// What a snapshot says besides rows.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Every change committed before this instant (the internal database's clock) is visible in it.
    pub(crate) as_of: OffsetDateTime,
    /// The highest id ever given.
    pub(crate) horizon: i64,
    /// The database's present life; `None` before the first pass of the sequencer.
    pub(crate) epoch: Option<Uuid>,
    /// Whether the life that the target knows is one of ours.
    pub(crate) epoch_known: bool,
    /// First id of the life that came after the one that the target knows.
    pub(crate) next_epoch_from: Option<i64>,
    /// Tombstones up to here are gone.
    pub(crate) purged_through: i64,
    /// Pointers to changed rows of tracked tables up to here are gone.
    pub(crate) changes_purged_through: i64,
}

/// Changes of one mapping. Rows are as the source's statements return them.
#[derive(Debug, Default)]
pub(crate) struct SliceOf {
    pub(crate) rows: Vec<Row>,
    /// Rows above `sync.max_row_bytes`, without their values.
    pub(crate) large: Vec<Row>,
    /// Keys of deleted rows.
    pub(crate) gone: Vec<Row>,
    /// The rows are all there is in this range of keys.
    pub(crate) range: Option<KeyRange>,
    /// The lowest id of a change in it.
    pub(crate) first_id: Option<i64>,
}

/// Keys above `from` up to `to`, as text; `None` = no bound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeyRange {
    pub(crate) from: Option<Vec<String>>,
    pub(crate) to: Option<Vec<String>>,
}

/// What one read brought.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) snapshot: Snapshot,
    /// Position of the mapping among the plans, and its changes.
    pub(crate) parts: Vec<(usize, SliceOf)>,
    /// Where each mapping stands once the slice is written.
    pub(crate) cursors: Vec<Cursor>,
    /// Nothing is left in this snapshot: written, the target equals it, but for mappings that still fill.
    pub(crate) complete: bool,
    /// Rows that had no id yet, as far as is known; they come again with it.
    pub(crate) flagged: usize,
    pub(crate) rows: usize,
    /// Mappings of which a single change touches more rows than a slice holds: to be compared as a whole.
    pub(crate) overflowing: Vec<usize>,
    /// The range that was compared on the side, its part being the last; where the next one begins, `None` = that was
    /// the end.
    pub(crate) compared: Option<Compare>,
}

impl Slice {
    /// The lowest id of a change that it brings to a mapping that follows; what a fill brings is no change.
    pub(crate) fn oldest_change(&self, from: &[Cursor]) -> Option<i64> {
        let following = self.parts.iter().filter(|(at, _)| !from[*at].filling());
        following.filter_map(|(_, part)| part.first_id).min()
    }
}

impl SliceOf {
    /// A change that has an id.
    pub(super) fn note_id(&mut self, row: &Row) -> Result<(), SourceError> {
        let id = row.try_get(0)?;
        self.first_id = Some(self.first_id.map_or(id, |first| first.min(id)));
        Ok(())
    }

    pub(super) fn push(&mut self, row: Row) -> Result<(), SourceError> {
        match row.try_get::<_, Option<bool>>(1)? {
            Some(true) => self.large.push(row),
            Some(false) => self.rows.push(row),
            // A pointer whose row is gone, or that a later one repeats.
            None => {}
        }
        Ok(())
    }

    pub(super) fn add_flagged(
        &mut self,
        plan: &Plan,
        rows: Vec<Row>,
        gone: Vec<Row>,
    ) -> Result<(), SourceError> {
        if !rows.is_empty() {
            // A row that changed again since it got its id is in both: the same version, from one snapshot.
            let mut known = HashSet::new();
            for row in self.rows.iter().chain(&self.large) {
                known.insert(key_text(plan, row)?);
            }
            for row in rows {
                if row.try_get::<_, Option<bool>>(1)?.is_some() && known.insert(key_text(plan, &row)?) {
                    self.push(row)?;
                }
            }
        }
        for row in gone {
            if !row.try_get::<_, bool>(1)? {
                self.gone.push(row);
            }
        }
        Ok(())
    }

    /// Keys of everything in it, as text.
    pub(crate) fn keys(&self, plan: &Plan) -> Result<Vec<Vec<String>>, SourceError> {
        let rows = self.rows.iter().map(|row| key_text(plan, row));
        let gone = self.gone.iter().map(|row| texts(row, 2 + plan.key.len(), plan.key.len()));
        rows.chain(gone).collect()
    }

    /// Refusals for the rows that are too large to be carried.
    pub(crate) fn too_large(&self, plan: &Plan, bytes_max: usize) -> Result<Vec<Refusal>, SourceError> {
        self.large.iter().map(|row| Ok(Refusal::too_large(key_text(plan, row)?, bytes_max))).collect()
    }
}

/// The key columns of a row, as text.
pub(super) fn key_text(plan: &Plan, row: &Row) -> Result<Vec<String>, SourceError> {
    texts(row, 2 + plan.columns.len(), plan.key.len())
}

fn texts(row: &Row, first: usize, count: usize) -> Result<Vec<String>, SourceError> {
    (first..first + count).map(|at| Ok(row.try_get::<_, String>(at)?)).collect()
}
