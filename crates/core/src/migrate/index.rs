//! Indexes that `CREATE INDEX CONCURRENTLY` left behind. A failed one stays, is not used by any query,
//! costs every write, and satisfies `IF NOT EXISTS`.

use tokio_postgres::types::Type;

use super::live::Failed;
use super::session::{Session, quote};

/// What stands under the name of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Valid,
    Invalid,
}

/// Looks for the index `name` in our schema.
pub(super) async fn find(session: &Session, name: &str) -> Result<Found, tokio_postgres::Error> {
    let sql = "select indisvalid and indisready from pg_index join pg_class c on c.oid = indexrelid \
               join pg_namespace n on n.oid = relnamespace where nspname = $1 and relname = $2";
    let rows = session.client.query_typed(sql, &[(&session.schema, Type::TEXT), (&name, Type::TEXT)]).await?;
    Ok(match rows.first().map(|row| row.get(0)) {
        None => Found::Nothing,
        Some(true) => Found::Valid,
        Some(false) => Found::Invalid,
    })
}

/// Drops what is left of the index `name`, without making a writer wait.
pub(super) async fn drop_invalid(session: &Session, name: &str, line: usize) -> Result<(), Failed> {
    tracing::info!(index = name, "dropping an invalid index that an interrupted attempt left behind");
    let sql = format!("drop index concurrently if exists {}.{}", quote(&session.schema), quote(name));
    session.client.batch_execute("set lock_timeout = 0").await.map_err(Failed::at(line))?;
    session.client.batch_execute(&sql).await.map_err(Failed::at(line))
}
