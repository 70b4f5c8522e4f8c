//! Mappings of the operator's own tables against the catalog: is the table tracked, may we read it, does an index
//! lead the first copy? Pure: the catalog has been read.

use super::{Findings, structure};
use crate::mapping::catalog::{Access, Catalog, Table, Tracked};
use crate::mapping::model::Mapping;
use crate::mapping::names::{bytewise, quote_ident};

pub(super) fn check(mapping: &Mapping, catalog: &Catalog, findings: &mut Findings<'_>) {
    let (name, line) = (&mapping.source.table, mapping.source.line);
    let Some(table) = catalog.tables.get(name) else {
        return findings.refuse(line, format!("there is no table {name:?}, or this role does not see it"));
    };
    let Some(tracked) = &table.tracked else {
        return findings.refuse(
            line,
            format!(
                "changes of {name:?} are not tracked: run tenant-sync table track {name} --tenant-column {}",
                mapping.source.tenant
            ),
        );
    };
    access(mapping, &table.access, findings);
    if tracked.tenant != mapping.source.tenant {
        findings.refuse(
            line,
            format!(
                "{name:?} is tracked with the tenant column {:?}, and tenant says {:?}",
                tracked.tenant, mapping.source.tenant
            ),
        );
    }
    structure::references(mapping, catalog, findings);
    watched(mapping, tracked, findings);
    structure::key(mapping, table, &tracked.key, findings);
    walk(mapping, table, findings);
}

/// Each missing privilege with what gives it.
fn access(mapping: &Mapping, access: &Access, findings: &mut Findings<'_>) {
    let (name, line) = (&mapping.source.table, mapping.source.line);
    let role = quote_ident(&access.role);
    if !access.schema {
        let schema = quote_ident(mapping.source.schema.as_deref().unwrap_or_default());
        findings.refuse(
            line,
            format!("this role may not use the schema of {name:?}: GRANT USAGE ON SCHEMA {schema} TO {role}"),
        );
    }
    if !access.select {
        let table = mapping.source.relation();
        findings.refuse(line, format!("this role may not read {name:?}: GRANT SELECT ON {table} TO {role}"));
    }
    if access.hidden_rows {
        findings.refuse(
            line,
            format!("row-level security hides rows of {name:?} from this role: ALTER ROLE {role} BYPASSRLS"),
        );
    }
}

/// A column whose changes are not watched would arrive late or never.
fn watched(mapping: &Mapping, tracked: &Tracked, findings: &mut Findings<'_>) {
    let Some(columns) = &tracked.columns else { return };
    for column in &mapping.columns {
        for reference in column.expr.references() {
            let name = &reference.column;
            let known = columns.contains(name) || tracked.key.contains(name) || tracked.tenant == *name;
            if !known {
                findings.refuse(
                    column.expr_line,
                    format!(
                        "changes of the column {name:?} are not watched: track {:?} again, with it among --columns",
                        mapping.source.table
                    ),
                );
            }
        }
    }
}

/// The first copy goes along the key within a tenant; without an index it would sort the whole table again and again.
fn walk(mapping: &Mapping, table: &Table, findings: &mut Findings<'_>) {
    let tenant = &mapping.source.tenant;
    let key: Vec<&str> = mapping.source_key().into_iter().filter(|name| *name != tenant.as_str()).collect();
    let leads = table.indexes.iter().any(|index| {
        index.btree
            && index.predicate.is_none()
            && index.leading.as_ref() == Some(tenant)
            && index.walk.len() >= key.len()
            && index.walk.iter().zip(&key).all(|(walked, name)| walked == name)
    });
    if leads || key.iter().any(|name| !table.columns.contains_key(*name)) {
        return;
    }
    let sorted = key.iter().map(|name| {
        let kind = table.columns.get(*name).map_or("", |column| column.type_name.as_str());
        format!("{}{}", quote_ident(name), bytewise(kind))
    });
    let columns: Vec<String> = std::iter::once(quote_ident(tenant)).chain(sorted).collect();
    findings.refuse(
        mapping.target.line,
        format!(
            "no index leads a first copy along the key: CREATE INDEX CONCURRENTLY ON {} ({})",
            mapping.source.relation(),
            columns.join(", ")
        ),
    );
}
