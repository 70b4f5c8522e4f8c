//! Whether an index finds what is looked up for each row or change. Pure: the catalog has been read.

use super::Findings;
use crate::mapping::catalog::Table;
use crate::mapping::model::{Join, Mapping, Touch};
use crate::mapping::names::quote_ident;

/// Rows of the source that a change of another table touches.
pub(super) fn of_touched(mapping: &Mapping, touch: &Touch, source: &Table, findings: &mut Findings<'_>) {
    let wanted = columns(&mapping.source.tenant, touch.on.iter().map(|(_, ours)| ours));
    if !finds(source, &wanted) {
        let what = "no index finds the rows that a change touches, so each change would read the whole table";
        findings.refuse(touch.line, advice(what, &mapping.source.relation(), &wanted));
    }
}

/// All rows of another table that match a row of the source.
pub(super) fn of_many(join: &Join, source: &Table, joined: &Table, findings: &mut Findings<'_>) {
    let theirs: Vec<&String> = join.on.iter().map(|(theirs, _)| theirs).collect();
    let ours: Vec<&String> = join.on.iter().map(|(_, ours)| ours).collect();
    // Of one source row in all tenants: whoever refers to it is few, whatever tenant they say they are of.
    let of_one_row = source.indexes.iter().any(|index| {
        index.unique
            && index.predicate.is_none()
            && !index.columns.is_empty()
            && index.columns.iter().all(|name| ours.contains(&name))
    });
    let wanted = columns(&join.tenant, theirs.iter().copied());
    if !(finds(joined, &wanted) || (of_one_row && finds(joined, &theirs))) {
        let what = "no index finds the rows that are computed from, so each row would read the whole table";
        findings.refuse(join.line, advice(what, &join.relation(), &wanted));
    }
}

fn columns<'m>(tenant: &'m String, others: impl Iterator<Item = &'m String>) -> Vec<&'m String> {
    let mut wanted = vec![tenant];
    wanted.extend(others.filter(|name| *name != tenant));
    wanted
}

/// Whether an index begins with all of these columns, in any order, or is a key of some of them.
fn finds(table: &Table, wanted: &[&String]) -> bool {
    table.indexes.iter().any(|index| {
        let leading = index.columns.iter().take_while(|name| wanted.contains(name)).count();
        let all = wanted.iter().all(|name| index.columns[..leading].contains(name));
        index.btree
            && index.predicate.is_none()
            && leading > 0
            && (all || (index.unique && leading == index.columns.len()))
    })
}

fn advice(what: &str, relation: &str, wanted: &[&String]) -> String {
    let columns: Vec<String> = wanted.iter().map(|name| quote_ident(name)).collect();
    format!("{what}: CREATE INDEX CONCURRENTLY ON {relation} ({})", columns.join(", "))
}
