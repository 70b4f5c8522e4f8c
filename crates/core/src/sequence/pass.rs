//! One pass: a call of `backfill_null_sequence_ids`, which does everything in one transaction of its own.

use deadpool_postgres::Object;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Statement};

use crate::db::{DbError, Internal};
use crate::trace::Span;

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    /// Whether it did anything.
    pub outcome: Outcome,
    /// Rows that got an id.
    pub rows_given: i64,
    /// Tenancies with something pending.
    pub tenancies: i64,
    /// Targets that a sync was asked for.
    pub targets_asked: i64,
    /// Rows that refused their id and were set aside for a while.
    pub parked: i64,
    /// The highest id ever given.
    pub last_sequence_id: Option<i64>,
    /// Whether more is pending than one pass takes.
    pub more: bool,
}

/// How a pass went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The operator's switch is off.
    Disabled,
    /// Another sequencer is at it.
    Standby,
    /// Nothing was pending.
    Empty,
    /// Ids were given, or the ledger moved on.
    Done,
}

impl Pass {
    /// Nothing was done, because the switch is off.
    #[must_use]
    pub fn disabled() -> Self {
        Self {
            outcome: Outcome::Disabled,
            rows_given: 0,
            tenancies: 0,
            targets_asked: 0,
            parked: 0,
            last_sequence_id: None,
            more: false,
        }
    }
}

/// Runs one pass over at most `batch_size` rows. If the future is dropped, the session goes on to the end of the
/// statement and the pass stands.
///
/// # Errors
/// The internal Postgres does not answer, or the pass as a whole failed (single rows and tenants do not make it).
pub async fn pass(internal: &Internal, batch_size: i32) -> Result<Pass, DbError> {
    let client = internal.get().await?;
    let span = Span::root("pass");
    let statement = client
        .prepare_cached(
            "select outcome, rows_given, tenancies, targets_asked, parked, last_sequence_id, more
             from backfill_null_sequence_ids($1)",
        )
        .await?;
    let row = match span.traceparent() {
        None => client.query_one(&statement, &[&batch_size]).await?,
        Some(traceparent) => traced(&client, &statement, batch_size, &traceparent).await?,
    };
    let outcome = match row.try_get::<_, &str>(0)? {
        "standby" => Outcome::Standby,
        "empty" => Outcome::Empty,
        _ => Outcome::Done,
    };
    let done = Pass {
        outcome,
        rows_given: row.try_get(1)?,
        tenancies: row.try_get(2)?,
        targets_asked: row.try_get(3)?,
        parked: row.try_get(4)?,
        last_sequence_id: row.try_get(5)?,
        more: row.try_get(6)?,
    };
    tell(span, &done);
    Ok(done)
}

/// The pass in a transaction that names its trace, so that the requests that it makes carry it on. All of it is sent at
/// once.
async fn traced(
    client: &Object,
    statement: &Statement,
    batch_size: i32,
    traceparent: &str,
) -> Result<Row, tokio_postgres::Error> {
    let name = "select set_config('tenant_sync.traceparent', $1, true)";
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&traceparent, Type::TEXT)];
    let limit: [&(dyn ToSql + Sync); 1] = [&batch_size];
    let (begun, named, row, committed) = tokio::join!(
        client.batch_execute("begin"),
        client.execute_typed(name, &parameters),
        client.query_one(statement, &limit),
        client.batch_execute("commit"),
    );
    begun?;
    named?;
    let row = row?;
    committed?;
    Ok(row)
}

/// A pass that asked for nothing begins no trace.
fn tell(mut span: Span, done: &Pass) {
    if done.targets_asked == 0 {
        span.forget();
        return;
    }
    span.set("tenant_sync.rows", || done.rows_given);
    span.set("tenant_sync.tenancies", || done.tenancies);
    span.set("tenant_sync.targets", || done.targets_asked);
    span.set("tenant_sync.last_sequence_id", || done.last_sequence_id.unwrap_or(0));
}
