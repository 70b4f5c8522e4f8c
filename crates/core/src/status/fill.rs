//! How far a fill is: a first copy, a resync, a repair.
//!
//! A fill walks the key, and "SyncState" says how far it has come. Rows are counted up to [`BACKLOG_MAX`]; beyond that
//! the planner's estimate is taken, which reads no row: a bar for people needs no more.

use deadpool_postgres::Transaction;
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::{Error, IsolationLevel};

use super::{BACKLOG_MAX, sql};
use crate::db::{DbError, Internal};
use crate::mapping::Mapping;
use crate::mapping::names::quote_literal;
use crate::outbox::TargetKey;

/// A fill of one mapping in one target.
#[derive(Debug, Clone, PartialEq)]
pub struct FillStatus {
    /// The mapping.
    pub mapping: String,
    /// When it was asked for, or began.
    pub started_at: Option<OffsetDateTime>,
    /// How far it has come; `None` = no worker has begun it.
    pub walked: Option<Walked>,
}

/// How much of a fill is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// Rows of the tenant.
    pub rows: i64,
    /// Those that it has not reached.
    pub left: i64,
    /// `left` is an estimate.
    pub estimated: bool,
}

impl Walked {
    /// From 0 to 1. Never 1 while the fill goes on, whatever was estimated.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn share(self) -> f64 {
        let rows = self.rows.max(self.left).max(1) as f64;
        (1.0 - self.left as f64 / rows).clamp(0.0, 0.99)
    }
}

/// The fills of a target that are under way or asked for.
///
/// # Errors
/// The internal database cannot be asked.
pub async fn fills(
    internal: &Internal,
    mappings: &[Mapping],
    target: &TargetKey,
) -> Result<Vec<FillStatus>, DbError> {
    let mut client = internal.get().await?;
    let snapshot = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    snapshot
        .batch_execute("set local enable_seqscan = off; set local jit = off; set local row_security = off")
        .await?;
    let rows = snapshot
        .query(
            r#"select "mappingName", "fillStartedAt", "filling" and not "fillRequested", "fillPosition"::text
               from "SyncState" where "tenancyId" = $1 and "databaseId" = $2 and ("filling" or "fillRequested")
               order by 1"#,
            &[&target.tenancy_id, &target.database_id],
        )
        .await?;
    let mut fills = Vec::with_capacity(rows.len());
    for row in rows {
        let (name, begun): (String, bool) = (row.try_get(0)?, row.try_get(2)?);
        let position: Option<String> = row.try_get(3)?;
        let mapping = mappings.iter().find(|mapping| mapping.name == name).filter(|_| begun);
        let walked = match mapping {
            Some(mapping) => walked(&snapshot, mapping, target, position.as_deref()).await?,
            None => None,
        };
        fills.push(FillStatus { mapping: name, started_at: row.try_get(1)?, walked });
    }
    snapshot.commit().await?;
    Ok(fills)
}

/// `None` = what the mapping reads is not there.
async fn walked(
    snapshot: &Transaction<'_>,
    mapping: &Mapping,
    target: &TargetKey,
    position: Option<&str>,
) -> Result<Option<Walked>, Error> {
    let Some(types) = sql::types(snapshot, mapping).await? else { return Ok(None) };
    let literal = |text: &str| quote_literal(text);
    let place = position.map_or_else(|| "null".to_owned(), literal);
    let here = format!("(select '{}'::uuid as tenancy, {place}::text as position) t", target.tenancy_id);
    let all = sql::of_mapping(mapping, &types, &here);
    let rows = rows(snapshot, &all).await?;
    let left = match position {
        None => rows,
        Some(_) => {
            self::rows(snapshot, &format!("{all} and {}", sql::behind_position(mapping, &types))).await?
        }
    };
    Ok(Some(Walked { rows: rows.0, left: left.0, estimated: left.1 }))
}

/// How many rows a query of nothing but rows has, and whether that is an estimate.
async fn rows(snapshot: &Transaction<'_>, query: &str) -> Result<(i64, bool), Error> {
    let limit = BACKLOG_MAX + 1;
    let counted: i64 = snapshot
        .query_one(&format!("select count(*) from ({query} limit {limit}) q"), &[])
        .await?
        .try_get(0)?;
    if counted < limit {
        return Ok((counted, false));
    }
    let plan: Value = snapshot.query_one(&format!("explain (format json) {query}"), &[]).await?.try_get(0)?;
    let estimated = plan.pointer("/0/Plan/Plan Rows").and_then(Value::as_f64).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "rows of a table")]
    Ok(((estimated as i64).max(counted), true))
}

#[cfg(test)]
mod tests {
    use super::Walked;

    #[test]
    fn a_fill_that_goes_on_is_never_whole() {
        let share = |rows, left| Walked { rows, left, estimated: true }.share();
        assert!((share(400, 100) - 0.75).abs() < 1e-9);
        // Estimates can be anything.
        assert!((share(0, 0) - 0.99).abs() < 1e-9);
        assert!(share(100, 5_000).abs() < 1e-9);
        assert!(share(400, 0) < 1.0);
    }
}
