//! Each expression, prepared by the server that will run it: does it work, what type does it give, is it a value
//! of this row alone?

use std::collections::HashMap;

use tokio_postgres::Client;

use super::{CheckError, CheckedColumn, Findings};
use crate::db::DbError;
use crate::mapping::carry::{TypeFacts, carry};
use crate::mapping::catalog::{Catalog, Table, type_facts};
use crate::mapping::expression::{Expression, SOURCE_ALIAS};
use crate::mapping::model::{Column, Join, Mapping};
use crate::mapping::names::quote_ident;
use crate::mapping::sql::{computed, left_joins};

/// The type of a column, as declared and as Postgres understood it.
struct DeclaredType {
    facts: TypeFacts,
    modifier: i32,
}

/// The columns with what the server says of them; only complete if nothing was found.
pub(super) async fn check(
    mapping: &Mapping,
    catalog: &Catalog,
    client: &Client,
    findings: &mut Findings<'_>,
) -> Result<Vec<CheckedColumn>, CheckError> {
    let conditions_work = conditions(mapping, catalog, client, findings).await?;
    let mut types: HashMap<&str, DeclaredType> = HashMap::new();
    let mut columns = Vec::new();
    for column in &mapping.columns {
        functions(&column.expr, column.expr_line, catalog, findings);
        if !types.contains_key(column.type_text.as_str()) {
            let Some(declared) = declared_type(column, client, findings).await? else { continue };
            types.insert(&column.type_text, declared);
        }
        let Some(declared) = types.get(column.type_text.as_str()) else { continue };
        match carry(&declared.facts) {
            Ok(carry) => columns.push(CheckedColumn {
                name: column.name.clone(),
                type_text: column.type_text.clone(),
                type_oid: declared.facts.oid,
                type_name: declared.facts.display.clone(),
                is_array: declared.facts.element.is_some(),
                carry,
            }),
            Err(reason) => {
                let expr = column.expr.text();
                findings.refuse(
                    column.line,
                    format!("{reason}; write expr = ({expr})::text and type = \"text\""),
                );
                continue;
            }
        }
        if conditions_work && readable(&column.expr, mapping, catalog) {
            expression(mapping, column, declared, catalog, client, findings).await?;
        }
    }
    Ok(columns)
}

/// Prepares each join's condition and aggregates by themselves, so that a mistake is reported once and where it stands.
async fn conditions(
    mapping: &Mapping,
    catalog: &Catalog,
    client: &Client,
    findings: &mut Findings<'_>,
) -> Result<bool, CheckError> {
    let mut all_work = tables_exist(mapping, catalog);
    for join in &mapping.joins {
        for (line, expression) in join.expressions() {
            functions(expression, line, catalog, findings);
            let table = catalog.tables.get(&join.table);
            let reads = |table: &Table| {
                expression.references().iter().all(|read| table.columns.contains_key(&read.column))
            };
            if !table.is_some_and(reads) {
                all_work = false;
                continue;
            }
            if let Err(error) = client.prepare(&over_joined(catalog, join, expression)).await {
                findings.server_refused(line, error)?;
                all_work = false;
            }
        }
    }
    Ok(all_work)
}

/// A statement that the server refuses unless the expression is a condition on one row, or one value of many.
fn over_joined(catalog: &Catalog, join: &Join, expression: &Expression) -> String {
    let (table, alias, text) = (joined(catalog, join), quote_ident(&join.alias), expression.text());
    let from = format!("select 1 from {table} {alias}, {table} \"_sync_shadow_0\"");
    if join.condition.as_ref() == Some(expression) {
        format!("{from} where ({text})")
    } else {
        format!("{from} having (({text}) is null)")
    }
}

async fn declared_type(
    column: &Column,
    client: &Client,
    findings: &mut Findings<'_>,
) -> Result<Option<DeclaredType>, CheckError> {
    let prepared = match client.prepare(&format!("select null::{}", column.type_text)).await {
        Ok(prepared) => prepared,
        Err(error) => {
            findings.server_refused(column.line, error)?;
            return Ok(None);
        }
    };
    let modifier = prepared.columns().first().map_or(-1, tokio_postgres::Column::type_modifier);
    let facts = type_facts(client, &column.type_text, modifier).await.map_err(DbError::from)?;
    Ok(Some(DeclaredType { facts, modifier }))
}

async fn expression(
    mapping: &Mapping,
    column: &Column,
    declared: &DeclaredType,
    catalog: &Catalog,
    client: &Client,
    findings: &mut Findings<'_>,
) -> Result<(), CheckError> {
    let prepared = match client.prepare(&statement(mapping, &column.expr, catalog)).await {
        Ok(prepared) => prepared,
        Err(error) => return findings.server_refused(column.expr_line, error),
    };
    let Some(result) = prepared.columns().first() else { return Ok(()) };
    let (name, declared_name) = (&column.name, &declared.facts.display);
    if result.type_().oid() != declared.facts.oid {
        let given = type_display(client, result).await?;
        findings.refuse(
            column.expr_line,
            format!(
                "{name:?} is declared as {declared_name}, but expr gives {given}; change the type or write ({})::{}",
                column.expr.text(),
                column.type_text
            ),
        );
    } else if declared.modifier != -1 && result.type_modifier() != declared.modifier {
        // A target would round or refuse the value by itself, and the row would never agree with its source.
        let given = type_display(client, result).await?;
        findings.refuse(
            column.expr_line,
            format!(
                "{name:?} is declared as {declared_name}, but expr gives {given}: values may not fit; leave the part in parentheses out of type, or write ({})::{}",
                column.expr.text(),
                column.type_text
            ),
        );
    }
    Ok(())
}

/// A statement that the server refuses unless `expr` is a value of one row:
/// - in `WHERE`, aggregates, window functions and functions that return sets are errors;
/// - each table stands there twice, so that a column without its alias is ambiguous.
fn statement(mapping: &Mapping, expr: &Expression, catalog: &Catalog) -> String {
    let source = match &mapping.source.schema {
        Some(_) => mapping.source.relation(),
        None => qualified(catalog, &mapping.source.table),
    };
    let joined = mapping.joins.iter().map(|join| {
        if join.aggregates.is_empty() {
            joined(catalog, join)
        } else {
            format!("lateral ({})", computed(mapping, join, &catalog.schema))
        }
    });
    let tables = std::iter::once(source.clone()).chain(joined);
    let shadows: Vec<String> =
        tables.enumerate().map(|(number, table)| format!(", {table} \"_sync_shadow_{number}\"")).collect();
    format!(
        "select ({expr}) from {source} {SOURCE_ALIAS}{joins}{shadows} where ({expr}) is null",
        expr = expr.text(),
        joins = left_joins(mapping, &catalog.schema),
        shadows = shadows.concat(),
    )
}

async fn type_display(client: &Client, column: &tokio_postgres::Column) -> Result<String, CheckError> {
    let (oid, modifier) = (column.type_().oid(), column.type_modifier());
    let row =
        client.query_one("select format_type($1, $2)", &[&oid, &modifier]).await.map_err(DbError::from)?;
    Ok(row.get(0))
}

/// Refuses calls of functions that may give another value next time, or that may read other rows.
fn functions(expr: &Expression, line: u32, catalog: &Catalog, findings: &mut Findings<'_>) {
    for call in expr.calls() {
        let candidates = catalog.functions.iter().filter(|function| {
            function.name == call.name
                && call.schema.as_ref().map_or(function.visible, |schema| *schema == function.schema)
        });
        for function in candidates {
            if function.volatility == "v" {
                findings.refuse(
                    line,
                    format!("{}() is volatile: its value does not follow from the row alone", call.name),
                );
                break;
            }
            if function.schema != "pg_catalog" && function.volatility != "i" {
                findings.refuse(line, format!("{}() is not IMMUTABLE: it may read other rows", call.name));
                break;
            }
        }
    }
}

fn readable(expr: &Expression, mapping: &Mapping, catalog: &Catalog) -> bool {
    expr.references().iter().all(|reference| {
        if mapping.aggregating(&reference.alias).is_some() {
            return true;
        }
        let table = mapping.table_of(&reference.alias).and_then(|name| catalog.tables.get(name));
        table.is_some_and(|table| table.columns.contains_key(&reference.column))
    })
}

/// Whether what [`left_joins`] names is all there.
fn tables_exist(mapping: &Mapping, catalog: &Catalog) -> bool {
    let Some(source) = catalog.tables.get(&mapping.source.table) else { return false };
    source.columns.contains_key(&mapping.source.tenant)
        && mapping.joins.iter().all(|join| {
            catalog.tables.get(&join.table).is_some_and(|joined| {
                joined.columns.contains_key(&join.tenant)
                    && join.on.iter().all(|(theirs, ours)| {
                        joined.columns.contains_key(theirs) && source.columns.contains_key(ours)
                    })
            })
        })
}

fn joined(catalog: &Catalog, join: &Join) -> String {
    if join.schema.is_some() { join.relation() } else { qualified(catalog, &join.table) }
}

fn qualified(catalog: &Catalog, table: &str) -> String {
    format!("{}.{}", quote_ident(&catalog.schema), quote_ident(table))
}
