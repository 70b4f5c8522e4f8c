//! A mapping changed: its table in a target follows, step by step, as far as nobody who reads it is hurt.
//!
//! Columns and indexes are added, never taken away. What cannot be done without taking something away (another type,
//! another key, a name that the customer uses) is refused, and the table stays as it is.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tenant_sync_core::mapping::ddl::{MARKER, add_column, create_index, index_name, qualified};
use tenant_sync_core::mapping::names::{quote_ident, quote_literal};
use tenant_sync_core::target::class::{ErrorClass, TargetFault};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::setup;
use super::state::Limits;
use crate::error::TurnError;
use crate::plan::Plan;

/// A table of a hundred million rows has its index by then.
pub(crate) const INDEXES_WITHIN: Duration = Duration::from_secs(600);

/// What was done, or is to be done next. Each step is committed before the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Columns were added or may be null now.
    Altered,
    /// Statements that make indexes.
    Indexes(Vec<String>),
}

/// A table as it stands in the target.
#[derive(Debug, Default)]
struct Found {
    columns: HashMap<String, Column>,
    key: BTreeSet<String>,
    /// Names that its indexes would have and that are taken.
    taken: BTreeSet<String>,
}

#[derive(Debug)]
struct Column {
    not_null: bool,
    type_name: String,
    ours: bool,
}

/// Takes one step towards the mapping; `None` = nothing is missing.
pub(crate) async fn step(client: &Client, schema: &str, plan: &Plan) -> Result<Option<Step>, TurnError> {
    let found = look(client, schema, plan).await?;
    refuse(plan, &found)?;
    let mapping = &plan.mapping;
    let table = qualified(mapping, schema);
    let mut sql = Vec::new();
    for (name, _) in found.columns.iter().filter(|(_, column)| column.ours && column.not_null) {
        if mapping.column(name).is_none() {
            sql.push(format!("alter table {table} alter column {} drop not null", quote_ident(name)));
        }
    }
    for column in mapping.columns.iter().filter(|column| !found.columns.contains_key(&column.name)) {
        sql.extend(add_column(mapping, schema, column));
    }
    if !sql.is_empty() {
        let sql = sql.join("; ");
        let sql = format!("set local lock_timeout = '1s'; {sql}; set local lock_timeout = '5s'");
        client.batch_execute(&sql).await.map_err(|error| setup::unknown_type(plan, error))?;
        return Ok(Some(Step::Altered));
    }
    // What has the name of an index already is as good, or the customer's: it is left alone.
    let missing: Vec<String> = mapping
        .indexes
        .iter()
        .filter(|index| !found.taken.contains(&index_name(mapping, &index.columns)))
        .flat_map(|index| create_index(mapping, schema, index))
        .collect();
    Ok((!missing.is_empty()).then_some(Step::Indexes(missing)))
}

/// Builds indexes. Readers go on meanwhile; it may take longer than a statement that writes rows.
pub(crate) async fn build(client: &Client, statements: &[String], limits: Limits) -> Result<(), TurnError> {
    let sql = format!(
        "set local lock_timeout = '1s'; set local statement_timeout = {}; {};
         set local statement_timeout = {}; set local lock_timeout = '5s'",
        INDEXES_WITHIN.as_millis(),
        statements.join("; "),
        limits.statement.as_millis(),
    );
    match client.batch_execute(&sql).await {
        Err(error) if error.code() == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED) => {
            let detail = "A value is too long for an index that the mapping gained: give its [[index]] method = \"hash\".";
            Err(TurnError::Fault(TargetFault::new(ErrorClass::MappingConflict).with_detail(detail)))
        }
        other => Ok(other?),
    }
}

async fn look(client: &Client, schema: &str, plan: &Plan) -> Result<Found, TurnError> {
    let mapping = &plan.mapping;
    let names: Vec<String> = mapping
        .indexes
        .iter()
        .map(|index| quote_literal(&index_name(mapping, &index.columns)))
        .chain(["''".to_owned()])
        .collect();
    let from = format!(
        "pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = {}",
        quote_literal(schema)
    );
    let table = quote_literal(&mapping.target.table);
    let messages = client
        .simple_query(&format!(
            "select 'column' as part, a.attname as name, a.attnotnull as not_null,
               pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
               coalesce(pg_catalog.col_description(c.oid, a.attnum) like {}, false) as ours
             from {from} join pg_catalog.pg_attribute a on a.attrelid = c.oid
             where c.relname = {table} and a.attnum > 0 and not a.attisdropped;
             select 'key' as part, a.attname as name
             from {from} join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisprimary
               join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = any (i.indkey)
             where c.relname = {table};
             select 'taken' as part, c.relname as name from {from} where c.relname in ({})",
            quote_literal(&format!("%{MARKER}%")),
            names.join(", ")
        ))
        .await?;
    let mut found = Found::default();
    for message in &messages {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let name = row.get("name").unwrap_or_default().to_owned();
        match row.get("part") {
            Some("column") => {
                let column = Column {
                    not_null: row.get("not_null") == Some("t"),
                    type_name: row.get("type").unwrap_or_default().to_owned(),
                    ours: row.get("ours") == Some("t"),
                };
                found.columns.insert(name, column);
            }
            Some("key") => _ = found.key.insert(name),
            _ => _ = found.taken.insert(name),
        }
    }
    Ok(found)
}

/// Stops where the table cannot follow.
fn refuse(plan: &Plan, found: &Found) -> Result<(), TurnError> {
    let table = &plan.mapping.target.table;
    let conflict = |column: Option<&str>, detail: String| {
        let fault = TargetFault {
            table: Some(table.as_str().into()),
            column: column.map(Into::into),
            ..TargetFault::new(ErrorClass::MappingConflict)
        };
        Err(TurnError::Fault(fault.with_detail(detail)))
    };
    let key: BTreeSet<String> = plan.mapping.target.key.iter().cloned().collect();
    if !found.key.is_empty() && found.key != key {
        return conflict(
            None,
            "It has another key than the mapping says: give the mapping a new table.".into(),
        );
    }
    for wanted in &plan.columns {
        let Some(there) = found.columns.get(&wanted.name) else { continue };
        if !there.ours {
            let detail =
                "The column is there, but not of our making: rename it in the database, or in the mapping.";
            return conflict(Some(&wanted.name), detail.into());
        }
        if there.type_name != wanted.type_name {
            let detail = format!(
                "The mapping says {}, the column has another type: give the mapping a column of a new name, or change \
                 the type in the database (ALTER TABLE … ALTER COLUMN … TYPE …).",
                wanted.type_name
            );
            return conflict(Some(&wanted.name), detail);
        }
    }
    Ok(())
}
