//! The table of a trigger, and what its events are made of.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::TriggerError;
use crate::mapping::{Mapping, left_joins, quote_ident};
use crate::tracking::{TrackingError, find, missing};

/// Where a table's events come from.
pub(super) struct Source {
    pub(super) relation: u32,
    pub(super) name: String,
    pub(super) event: String,
    pub(super) mapping: Option<String>,
    pub(super) data: Option<String>,
}

/// The table that `typed` means, and what its events are made of.
pub(super) async fn source(
    client: &Client,
    schema: &str,
    mappings: &[Mapping],
    typed: &str,
) -> Result<Source, TriggerError> {
    let named = mappings.iter().find(|mapping| mapping.name == typed);
    let sql_name = match named {
        Some(mapping) => Some(mapping.source.relation()),
        None if !typed.contains('.') => Some(quote_ident(typed)),
        None => None,
    };
    let relation: u32 = match sql_name {
        Some(name) => {
            let rows = client.query_typed("select to_regclass($1)::oid", &[(&name, Type::TEXT)]).await?;
            let found: Option<u32> = rows.first().and_then(|row| row.get(0));
            match found {
                Some(found) => found,
                None => return Err(unknown(client, mappings, typed).await.into()),
            }
        }
        None => find(client, typed).await?.relation,
    };
    source_of(client, schema, mappings, relation, named).await
}

/// A name without a schema: a mapping's, or a table's in our schema.
async fn unknown(client: &Client, mappings: &[Mapping], typed: &str) -> TrackingError {
    let schema = client.query_typed("select current_schema()::text", &[]).await.unwrap_or_default();
    let schema: Option<String> = schema.first().and_then(|row| row.get(0));
    let place = format!(
        " in the schema {}, and no mapping of that name (`table list` shows the tables that are tracked, \
         `table track SCHEMA.TABLE --tenant-column COLUMN` adds one)",
        schema.as_deref().unwrap_or("of tenant-sync")
    );
    let known: Vec<String> = mappings.iter().map(|mapping| mapping.name.clone()).collect();
    missing(client, typed, &place, &known).await
}

/// What the events of a table are made of.
pub(super) async fn source_of(
    client: &Client,
    schema: &str,
    mappings: &[Mapping],
    relation: u32,
    named: Option<&Mapping>,
) -> Result<Source, TriggerError> {
    let sql = r#"
select coalesce((select k."name" from "TrackedTable" k where k."relation" = c.oid),
                case when n.nspname = current_schema() then c.relname::text else n.nspname || '.' || c.relname end),
       c.relname::text
from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = $1"#;
    let rows = client.query_typed(sql, &[(&relation, Type::OID)]).await?;
    let row = rows.first().ok_or_else(|| TrackingError::Unknown(relation.to_string()))?;
    let (name, table): (String, String) = (row.get(0), row.get(1));
    let of_table = mappings.iter().filter(|mapping| mapping.source.table == name);
    let mapping = named.or_else(|| of_table.min_by_key(|mapping| mapping.name.as_str()));
    Ok(Source {
        relation,
        event: mapping.map_or(table, |mapping| mapping.event.clone()),
        mapping: mapping.map(|mapping| mapping.name.clone()),
        data: mapping.map(|mapping| data(mapping, schema)),
        name,
    })
}

/// The mapping's columns as a query over the row `{row}`.
fn data(mapping: &Mapping, schema: &str) -> String {
    let columns: Vec<String> = mapping
        .columns
        .iter()
        .map(|column| format!("({}) as {}", column.expr.text(), quote_ident(&column.name)))
        .collect();
    format!("select {} from (select {{row}}.*) s{}", columns.join(", "), left_joins(mapping, schema))
}
