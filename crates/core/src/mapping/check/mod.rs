//! Compares mappings with the live internal schema.
//!
//! What the files promise must be true of the tables: columns and types exist, keys are keys, a join finds one
//! row at most, each change that matters is seen. Everything that is wrong is reported at once.

mod expressions;
mod lookup;
mod structure;
mod tracked;

use std::collections::BTreeSet;

use serde::Serialize;
use tokio_postgres::Client;

use super::carry::Carry;
use super::catalog::{Catalog, Table, TableName};
use super::error::{MappingError, MappingErrors};
use super::model::{Join, Mapping, Touch};
use crate::db::{DbError, describe};

/// Why a set of mappings could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The mappings do not fit the schema.
    #[error(transparent)]
    Mappings(#[from] MappingErrors),
    /// The internal Postgres could not be asked; the mappings may be good.
    #[error("mappings could not be checked: {0}")]
    Database(#[from] DbError),
}

/// A mapping that fits the live schema, with what only the schema could tell.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedMapping {
    /// The mapping.
    pub mapping: Mapping,
    /// One for each of the mapping's columns, in the same order.
    pub columns: Vec<CheckedColumn>,
    /// The source columns that the target's key is made of, in the target key's order.
    pub source_key: Vec<SourceColumn>,
    /// The source's primary key (of a tracked table, the key it is tracked by), in its order: what a tombstone of the
    /// source holds.
    pub source_primary_key: Vec<SourceColumn>,
    /// For each touch, the source's columns of its pairs, with their types.
    pub source_touched: Vec<Vec<SourceColumn>>,
    /// For each touch, where its changes are recorded.
    pub touched_by: Vec<TouchedBy>,
    /// For each join, the key of its table: the order in which rows are computed from.
    pub join_keys: Vec<Vec<String>>,
    /// Type of the source's tenant column.
    pub source_tenant: SourceColumn,
}

/// Where it is recorded which rows a change of a touching table touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TouchedBy {
    /// The touch's columns are in the table's key, which pointers and tombstones hold.
    Key,
    /// The feed of old and new values ([`touch_feed`](super::touch_feed)).
    Values,
}

/// What the schema says of a column of the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedColumn {
    /// Its name in the target.
    pub name: String,
    /// Its type as the mapping's author wrote it, good for DDL and casts.
    pub type_text: String,
    /// The type's OID, the same in every Postgres.
    pub type_oid: u32,
    /// The type as Postgres writes it, with its modifier: `numeric(10,2)`.
    pub type_name: String,
    /// Whether it is an array.
    pub is_array: bool,
    /// How its values travel.
    pub carry: Carry,
}

/// A column of a source table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// Its type's OID in the internal database.
    pub type_oid: u32,
    /// Its type as Postgres writes it, to cast a tombstone's text to.
    pub type_name: String,
}

/// Checks mappings against the schema that `client` finds first in its search path.
///
/// Reads catalogs and prepares statements; runs none of the mappings' expressions and changes nothing.
///
/// # Errors
/// Everything that does not fit, or that the database could not be asked.
pub async fn check(mappings: &[Mapping], client: &Client) -> Result<Vec<CheckedMapping>, CheckError> {
    let catalog = read_catalog(mappings, client).await?;
    let mut found = super::set::clashes(mappings);
    let mut checked = Vec::new();
    for mapping in mappings {
        let mut findings = Findings { file: mapping.file(), found: Vec::new() };
        structure::check(mapping, &catalog, &mut findings);
        let columns = expressions::check(mapping, &catalog, client, &mut findings).await?;
        if let Some(source) = catalog.tables.get(&mapping.source.table) {
            structure::casts(mapping, source, &columns, &mut findings);
        }
        if findings.found.is_empty()
            && let Some(source) = catalog.tables.get(&mapping.source.table)
        {
            checked.push(assemble(mapping, source, &catalog, columns));
        }
        found.append(&mut findings.found);
    }
    if found.is_empty() { Ok(checked) } else { Err(MappingErrors::new(found).into()) }
}

async fn read_catalog(mappings: &[Mapping], client: &Client) -> Result<Catalog, CheckError> {
    let mut tables = BTreeSet::new();
    let mut calls = Vec::new();
    for mapping in mappings {
        tables.insert(TableName { key: mapping.source.table.clone(), schema: mapping.source.schema.clone() });
        let joins = mapping.joins.iter().map(|join| (&join.table, &join.schema));
        let others = joins.chain(mapping.touches.iter().map(|touch| (&touch.table, &touch.schema)));
        tables.extend(others.map(|(key, schema)| TableName { key: key.clone(), schema: schema.clone() }));
        let in_joins = mapping.joins.iter().flat_map(Join::expressions).map(|(_, expression)| expression);
        let expressions = mapping.columns.iter().map(|column| &column.expr).chain(in_joins);
        calls.extend(expressions.flat_map(|expression| expression.calls().iter().cloned()));
    }
    let tables: Vec<TableName> = tables.into_iter().collect();
    Ok(Catalog::read(client, &tables, &calls).await.map_err(DbError::from)?)
}

fn assemble(
    mapping: &Mapping,
    source: &Table,
    catalog: &Catalog,
    columns: Vec<CheckedColumn>,
) -> CheckedMapping {
    let known = |name: &str| {
        let column = source.columns.get(name)?;
        Some(SourceColumn {
            name: name.to_owned(),
            type_oid: column.oid,
            type_name: column.type_name.clone(),
        })
    };
    let tenant = &mapping.source.tenant;
    let touched = |touch: &Touch| touch.on.iter().filter_map(|(_, ours)| known(ours)).collect();
    let key_of = |table: &String| catalog.tables.get(table).map_or(&[][..], Table::known_key);
    let touched_by = |touch: &Touch| {
        let key = key_of(&touch.table);
        let in_key = touch.on.iter().all(|(theirs, _)| key.contains(theirs));
        if in_key || !touch.is_tracked() { TouchedBy::Key } else { TouchedBy::Values }
    };
    CheckedMapping {
        source_touched: mapping.touches.iter().map(touched).collect(),
        touched_by: mapping.touches.iter().map(touched_by).collect(),
        join_keys: mapping.joins.iter().map(|join| key_of(&join.table).to_vec()).collect(),
        columns,
        source_key: mapping.source_key().into_iter().filter_map(known).collect(),
        source_primary_key: source.known_key().iter().filter_map(|name| known(name)).collect(),
        source_tenant: known(tenant).unwrap_or_else(|| SourceColumn {
            name: tenant.clone(),
            type_oid: 0,
            type_name: String::new(),
        }),
        mapping: mapping.clone(),
    }
}

/// What is wrong with one mapping so far.
struct Findings<'m> {
    file: &'m str,
    found: Vec<MappingError>,
}

impl Findings<'_> {
    fn refuse(&mut self, line: u32, reason: impl Into<String>) {
        self.found.push(MappingError { file: self.file.to_owned(), line: Some(line), reason: reason.into() });
    }

    /// Notes what the server refused because of the mapping; anything else is the database's fault.
    fn server_refused(&mut self, line: u32, error: tokio_postgres::Error) -> Result<(), CheckError> {
        // Syntax and names, data, features, limits.
        const AUTHORS_CLASSES: [&str; 4] = ["42", "22", "0A", "54"];
        let code = error.code().map_or("", tokio_postgres::error::SqlState::code);
        if !AUTHORS_CLASSES.iter().any(|class| code.starts_with(class)) {
            return Err(DbError::from(error).into());
        }
        let mut reason = error.as_db_error().map_or_else(|| describe(&error), |e| e.message().to_owned());
        if code == "42702" {
            reason.push_str("; write it with its alias, such as s.\"column\"");
        }
        if let Some(hint) = error.as_db_error().and_then(|e| e.hint()).filter(|_| code == "42883") {
            reason = format!("{reason}. {hint}");
        }
        self.refuse(line, reason);
        Ok(())
    }
}
