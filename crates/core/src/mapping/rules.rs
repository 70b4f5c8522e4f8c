//! What must hold between the parts of one mapping.

use std::collections::HashSet;

use super::model::{IndexMethod, Join, Mapping};
use super::reader::Reader;

pub(super) fn check(mapping: &Mapping, reader: &mut Reader<'_>) {
    columns(mapping, reader);
    key(mapping, reader);
    tracked(mapping, reader);
    joins(mapping, reader);
    aggregates(mapping, reader);
    touches(mapping, reader);
    indexes(mapping, reader);
}

fn columns(mapping: &Mapping, reader: &mut Reader<'_>) {
    if mapping.columns.is_empty() {
        reader.refuse(mapping.target.line, "a mapping needs at least one [[column]]");
    }
    let mut seen = HashSet::new();
    for column in mapping.columns.iter().filter(|c| !c.name.is_empty()) {
        if !seen.insert(&column.name) {
            reader.refuse(column.line, format!("the column {:?} stands here twice", column.name));
        }
    }
}

/// Whose row it is means one thing in tables that carry the sequence columns, another in tracked ones.
fn tracked(mapping: &Mapping, reader: &mut Reader<'_>) {
    let joins = mapping.joins.iter().map(|join| (join.line, join.schema.is_some()));
    let touches = mapping.touches.iter().map(|touch| (touch.line, touch.is_tracked()));
    for (line, tracked) in joins.chain(touches) {
        if tracked != mapping.source.is_tracked() {
            reader.refuse(
                line,
                "a tracked table (with a schema) and one that carries the sequence columns do not go together",
            );
        }
    }
}

fn key(mapping: &Mapping, reader: &mut Reader<'_>) {
    let mut seen = HashSet::new();
    for name in &mapping.target.key {
        if !seen.insert(name) {
            reader.refuse(mapping.target.line, format!("key names {name:?} twice"));
        }
        let Some(column) = mapping.column(name) else {
            reader.refuse(
                mapping.target.line,
                format!("key names {name:?}, which is no [[column]] of this mapping"),
            );
            continue;
        };
        if !column.expr.text().is_empty() && column.expr.cast_source_column().is_none() {
            reader.refuse(
                column.expr_line,
                format!(
                    "{name:?} is part of the key, so expr must be a plain column of the source, or a cast of one: s.\"column\""
                ),
            );
        }
    }
}

/// Of rows that are only computed from, columns know what is computed.
fn aggregates(mapping: &Mapping, reader: &mut Reader<'_>) {
    for column in &mapping.columns {
        for reference in column.expr.references() {
            let Some(join) = mapping.aggregating(&reference.alias) else { continue };
            if join.aggregates.iter().any(|one| one.name == reference.column) {
                continue;
            }
            let known: Vec<&str> = join.aggregates.iter().map(|one| one.name.as_str()).collect();
            reader.refuse(
                column.expr_line,
                format!(
                    "{}.{} is not among what the join computes ({}): add it to its aggregate",
                    reference.alias,
                    reference.column,
                    known.join(", ")
                ),
            );
        }
    }
}

fn joins(mapping: &Mapping, reader: &mut Reader<'_>) {
    let mut seen = HashSet::new();
    for join in &mapping.joins {
        if !join.alias.is_empty() && !seen.insert(&join.alias) {
            reader.refuse(join.line, format!("the alias {:?} stands here twice", join.alias));
        }
        let touched = mapping.touches.iter().any(|touch| {
            // Fewer pairs touch more rows, which is right, too.
            touch.table == join.table
                && touch.tenant == join.tenant
                && touch.on.iter().all(|pair| join.on.contains(pair))
        });
        if !touched && !is_source_row(mapping, join) && !join.on.is_empty() && !join.table.is_empty() {
            reader.refuse(
                join.line,
                format!(
                    "a change of {:?} would be missed: add a [[touch]] with table = {:?} and the same on",
                    join.table, join.table
                ),
            );
        }
    }
}

/// Whether the join finds the source row itself, so that its change is the source row's.
fn is_source_row(mapping: &Mapping, join: &Join) -> bool {
    let by_key = mapping.source_key().iter().all(|key| join.on.iter().any(|(j, s)| j == key && s == key));
    join.table == mapping.source.table && join.tenant == mapping.source.tenant && by_key
}

fn touches(mapping: &Mapping, reader: &mut Reader<'_>) {
    let mut seen = HashSet::new();
    for touch in &mapping.touches {
        if !touch.table.is_empty() && !seen.insert((&touch.table, &touch.on)) {
            reader.refuse(touch.line, format!("the same [[touch]] of {:?} stands here twice", touch.table));
        }
    }
}

fn indexes(mapping: &Mapping, reader: &mut Reader<'_>) {
    let mut seen = HashSet::new();
    for index in mapping.indexes.iter().filter(|index| !index.columns.is_empty()) {
        if !seen.insert(&index.columns) {
            reader.refuse(
                index.line,
                format!("the same [[index]] on {} stands here twice", index.columns.join(", ")),
            );
        }
        if index.method == IndexMethod::Hash && index.columns.len() > 1 {
            reader.refuse(index.line, "an index with method = \"hash\" has one column");
        }
        let mut names = HashSet::new();
        for name in &index.columns {
            if mapping.column(name).is_none() {
                reader.refuse(
                    index.line,
                    format!("the index names {name:?}, which is no [[column]] of this mapping"),
                );
            }
            if !names.insert(name) {
                reader.refuse(index.line, format!("the index names {name:?} twice"));
            }
        }
    }
}
