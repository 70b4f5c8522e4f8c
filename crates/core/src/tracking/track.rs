//! Tracking a table while the application uses it.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::index;
use super::near::missing;
use super::session::Session;
use super::{Limits, Observer, TrackingError};
use crate::db::Internal;
use crate::mapping::names::quote_literal;

/// What to track.
#[derive(Debug, Clone)]
pub struct Request {
    /// `SCHEMA.TABLE`, as SQL or raw.
    pub table: String,
    /// The column that says whose a row is.
    pub tenant_column: String,
    /// Columns that count as a change; `None` = all.
    pub columns: Option<Vec<String>>,
}

/// A table that is tracked, and ready for first copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Its feed's name.
    pub name: String,
    /// The key by which its rows are known.
    pub key_columns: Vec<String>,
    /// Its triggers do not fire under `session_replication_role = replica`: only the owner may enable them always.
    pub fires_in_replicas: bool,
    /// The index that was made, now or before.
    pub own_index: Option<String>,
}

/// Tracks a table, and sees to the index that first copies need. Again with the same request: completes what is
/// missing. Cancelled: the next attempt goes on.
///
/// # Errors
/// [`TrackingError`]; each says what to do.
pub async fn track(
    internal: &Internal,
    request: &Request,
    limits: Limits,
    observer: &mut dyn Observer,
) -> Result<Tracked, TrackingError> {
    let mut session = Session::open(internal, limits, observer).await?;
    let table = find(&session.client, &request.table).await?;
    session.lock(table.relation, &table.name).await?;
    let columns = request.columns.as_ref().map_or_else(|| "null".to_owned(), |columns| text_array(columns));
    let statement = format!(
        "select track_table({}::oid::regclass, {}, {columns})",
        table.relation,
        quote_literal(&request.tenant_column)
    );
    session.with_locks(&table.name, &statement).await?;
    index::ensure(&mut session, table.relation).await?;
    let sql = r#"select "name", "keyColumns", "firing" = 'always', "ownIndex" from "TrackedTable" where "relation" = $1"#;
    let rows = session.client.query_typed(sql, &[(&table.relation, Type::OID)]).await?;
    let row = rows.first().ok_or(TrackingError::NotTracked(table.name))?;
    Ok(Tracked {
        name: row.get(0),
        key_columns: row.get(1),
        fires_in_replicas: row.get(2),
        own_index: row.get(3),
    })
}

fn text_array(columns: &[String]) -> String {
    let each: Vec<String> = columns.iter().map(|column| quote_literal(column)).collect();
    format!("array[{}]::text[]", each.join(", "))
}

/// A table of the database.
pub(crate) struct Found {
    pub(crate) relation: u32,
    pub(crate) name: String,
}

/// The table that `typed` means: its name as it is, or as SQL would read it.
pub(crate) async fn find(client: &Client, typed: &str) -> Result<Found, TrackingError> {
    if typed.split_once('.').is_none_or(|(schema, table)| schema.is_empty() || table.is_empty()) {
        return Err(TrackingError::Name(typed.to_owned()));
    }
    // As it stands first, by the catalog, which needs no privilege on the schema: who lacks it is told the grant later.
    let sql = "select c.oid, n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace";
    let as_it_stands = format!("{sql} where n.nspname || '.' || c.relname = $1");
    let mut rows = client.query_typed(&as_it_stands, &[(&typed, Type::TEXT)]).await?;
    if rows.is_empty() {
        // What is not SQL names no table.
        let parsed = client.query_typed("select to_regclass($1)::oid", &[(&typed, Type::TEXT)]).await;
        let oid: Option<u32> = parsed.ok().and_then(|parsed| parsed.first().and_then(|row| row.get(0)));
        rows = client.query_typed(&format!("{sql} where c.oid = $1"), &[(&oid, Type::OID)]).await?;
    }
    match rows.first() {
        Some(row) => Ok(Found { relation: row.get(0), name: row.get(1) }),
        None => Err(missing(client, typed, "", &[]).await),
    }
}
