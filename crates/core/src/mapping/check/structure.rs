//! Tables, keys, joins and touches against the catalog. Pure: the catalog has been read.

use super::{CheckedColumn, Findings, lookup, tracked};
use crate::mapping::catalog::{Catalog, Table};
use crate::mapping::fixed;
use crate::mapping::model::{Join, Mapping, Touch};
use crate::mapping::names::quote_ident;

/// The columns by which the sequencer knows a table that it looks after, with their types.
const SEQUENCED: [(&str, &str); 3] =
    [("sequenceId", "bigint"), ("shouldUpdateSequenceId", "boolean"), ("changedBy", "xid8")];

pub(super) fn check(mapping: &Mapping, catalog: &Catalog, findings: &mut Findings<'_>) {
    if mapping.source.is_tracked() {
        return tracked::check(mapping, catalog, findings);
    }
    let Some(source) = sequenced_table(catalog, &mapping.source.table, mapping.source.line, findings) else {
        return;
    };
    tenant_column(source, &mapping.source.table, &mapping.source.tenant, mapping.source.line, findings);
    references(mapping, catalog, findings);
    key(mapping, source, source.primary_key(), findings);
    for join in &mapping.joins {
        check_join(mapping, join, source, catalog, findings);
    }
    for touch in &mapping.touches {
        check_touch(mapping, touch, source, catalog, findings);
    }
}

fn table<'c>(catalog: &'c Catalog, name: &str, line: u32, findings: &mut Findings<'_>) -> Option<&'c Table> {
    let Some(table) = catalog.tables.get(name) else {
        findings.refuse(line, format!("there is no table {name:?} in the schema {:?}", catalog.schema));
        return None;
    };
    if !matches!(table.kind.as_str(), "r" | "p") {
        findings.refuse(line, format!("{name:?} is a view or a foreign table; a mapping reads tables"));
        return None;
    }
    Some(table)
}

fn sequenced_table<'c>(
    catalog: &'c Catalog,
    name: &str,
    line: u32,
    findings: &mut Findings<'_>,
) -> Option<&'c Table> {
    let table = table(catalog, name, line, findings)?;
    let sequenced = |(column, type_name): &(&str, &str)| {
        table.columns.get(*column).is_some_and(|found| found.type_name == *type_name)
    };
    if !SEQUENCED.iter().all(sequenced) {
        let columns = SEQUENCED.map(|(column, type_name)| format!("{column:?} {type_name}")).join(", ");
        findings.refuse(
            line,
            format!(
                "changes of {name:?} are not sequenced: it needs the columns {columns}; a table of your own is tracked (tenant-sync table track) and named with its schema: schema = {:?}",
                catalog.schema
            ),
        );
        return None;
    }
    Some(table)
}

fn tenant_column(table: &Table, name: &str, tenant: &str, line: u32, findings: &mut Findings<'_>) {
    match table.columns.get(tenant) {
        None => findings
            .refuse(line, format!("{name:?} has no column {tenant:?}, which should say whose row it is")),
        Some(column) if column.type_name != "uuid" || !column.not_null => findings.refuse(
            line,
            format!(
                "the tenant column {tenant:?} of {name:?} must be uuid and not null, and is {}",
                column.type_name
            ),
        ),
        Some(_) => {}
    }
}

/// Columns that expressions read and that are not there.
pub(super) fn references(mapping: &Mapping, catalog: &Catalog, findings: &mut Findings<'_>) {
    for (line, name, column) in mapping.expression_reads() {
        let Some(table) = catalog.tables.get(name) else { continue };
        column_exists(table, name, column, line, findings);
    }
}

fn column_exists(table: &Table, name: &str, column: &str, line: u32, findings: &mut Findings<'_>) -> bool {
    if table.columns.contains_key(column) {
        return true;
    }
    let close = table.columns.keys().find(|known| known.eq_ignore_ascii_case(column));
    let hint = close.map_or_else(String::new, |known| format!("; write {} in quotes", quote_ident(known)));
    findings.refuse(line, format!("{name:?} has no column {column:?}{hint}"));
    false
}

/// A cast must leave different values different: text does, and so does what a domain is made of.
pub(super) fn casts(
    mapping: &Mapping,
    source: &Table,
    columns: &[CheckedColumn],
    findings: &mut Findings<'_>,
) {
    for column in mapping.key_columns().filter(|column| column.expr.plain_source_column().is_none()) {
        let Some(found) = column.expr.cast_source_column().and_then(|name| source.columns.get(name)) else {
            continue;
        };
        let Some(checked) = columns.iter().find(|checked| checked.name == column.name) else { continue };
        if checked.type_name != "text" && found.base.unwrap_or(found.oid) != checked.type_oid {
            findings.refuse(
                column.expr_line,
                format!(
                    "{:?} is part of the key, and a cast of {} to {} may make two keys one: leave the cast out, or cast to text",
                    column.name, found.type_name, checked.type_name
                ),
            );
        }
    }
}

/// `primary`: what is known of a deleted row.
pub(super) fn key(mapping: &Mapping, source: &Table, primary: &[String], findings: &mut Findings<'_>) {
    let line = mapping.target.line;
    if primary.is_empty() {
        return findings.refuse(line, format!("{:?} has no primary key", mapping.source.table));
    }
    let key = mapping.source_key();
    for column in key.iter().filter(|column| source.columns.contains_key(**column)) {
        if !primary.iter().any(|name| name == column) {
            findings.refuse(
                line,
                format!(
                    "the key reads {column:?}, which is not in the primary key of {:?} ({}): a deleted row would not be known by it",
                    mapping.source.table,
                    primary.join(", ")
                ),
            );
        }
    }
    let not_null = |name: &String| source.columns.get(name).is_some_and(|column| column.not_null);
    let inside = |name: &String| *name == mapping.source.tenant || key.contains(&name.as_str());
    let proven = source.indexes.iter().any(|index| {
        index.unique
            && index.predicate.is_none()
            && !index.columns.is_empty()
            && index.columns.iter().all(|name| inside(name) && not_null(name))
    });
    if !proven {
        findings.refuse(
            line,
            format!(
                "a key that is no key: no unique, not partial index of {:?} over not-null columns lies inside {}, {}, so two rows of a tenant could have the same key",
                mapping.source.table,
                mapping.source.tenant,
                key.join(", ")
            ),
        );
    }
}

pub(super) fn check_join(
    mapping: &Mapping,
    join: &Join,
    source: &Table,
    catalog: &Catalog,
    findings: &mut Findings<'_>,
) {
    let Some(joined) = table(catalog, &join.table, join.line, findings) else { return };
    if join.schema.is_none() {
        tenant_column(joined, &join.table, &join.tenant, join.line, findings);
    }
    if !pairs(&join.on, (&join.table, joined), (&mapping.source.table, source), join.line, findings) {
        return;
    }
    if !join.aggregates.is_empty() {
        return lookup::of_many(join, source, joined, findings);
    }
    let condition = join.condition.as_ref().map(|condition| condition.tokens()).unwrap_or_default();
    let pinned = fixed::pinned(condition, &join.alias);
    let mut matched: Vec<&str> = join.on.iter().map(|(theirs, _)| theirs.as_str()).collect();
    matched.push(&join.tenant);
    let one_row = joined.indexes.iter().any(|index| {
        let inside = |name: &String| matched.contains(&name.as_str()) || pinned.contains_key(name);
        index.unique
            && !index.columns.is_empty()
            && index.columns.iter().all(inside)
            && index.predicate.as_ref().is_none_or(|p| fixed::predicate_follows(p, &pinned, &matched))
    });
    if !one_row {
        matched.extend(pinned.keys().map(String::as_str));
        findings.refuse(
            join.line,
            format!(
                "more than one row of {:?} could match a source row: no unique index lies inside {}; add columns to on, conditions such as {}.\"type\" = 'EMAIL' to where, or a unique index",
                join.table,
                matched.join(", "),
                join.alias
            ),
        );
    }
}

pub(super) fn check_touch(
    mapping: &Mapping,
    touch: &Touch,
    source: &Table,
    catalog: &Catalog,
    findings: &mut Findings<'_>,
) {
    let touching = if touch.is_tracked() {
        catalog.tables.get(&touch.table)
    } else {
        let table = sequenced_table(catalog, &touch.table, touch.line, findings);
        table.inspect(|table| tenant_column(table, &touch.table, &touch.tenant, touch.line, findings))
    };
    let Some(touching) = touching else { return };
    if !pairs(&touch.on, (&touch.table, touching), (&mapping.source.table, source), touch.line, findings) {
        return;
    }
    let primary = touching.known_key();
    // A tracked table records what else it is found by; see `TouchedBy`.
    let unknown = |(column, _): &&(String, String)| !touch.is_tracked() && !primary.contains(column);
    for (column, _) in touch.on.iter().filter(unknown) {
        findings.refuse(
            touch.line,
            format!(
                "{column:?} is not in the key of {:?} ({}): of a deleted row only the key is known, so its source row could not be found",
                touch.table,
                primary.join(", ")
            ),
        );
    }
    lookup::of_touched(mapping, touch, source, findings);
}

/// Whether all pairs name existing columns of one type; types that differ could make two values equal one.
fn pairs(
    on: &[(String, String)],
    theirs: (&str, &Table),
    ours: (&str, &Table),
    line: u32,
    findings: &mut Findings<'_>,
) -> bool {
    let mut good = true;
    for (their_name, our_name) in on {
        let exist = column_exists(theirs.1, theirs.0, their_name, line, findings)
            & column_exists(ours.1, ours.0, our_name, line, findings);
        good &= exist;
        let (Some(their), Some(our)) = (theirs.1.columns.get(their_name), ours.1.columns.get(our_name))
        else {
            continue;
        };
        if their.oid != our.oid {
            good = false;
            findings.refuse(
                line,
                format!(
                    "{their_name:?} of {:?} is {} and {our_name:?} of {:?} is {}; columns of an on must have the same type",
                    theirs.0, their.type_name, ours.0, our.type_name
                ),
            );
        }
    }
    good
}
