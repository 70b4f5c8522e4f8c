//! Mappings of the operator's own tables against the catalog: is the table tracked, may we read it, does an index
//! lead the first copy? Pure: the catalog has been read.

use super::{Findings, structure};
use crate::mapping::catalog::{Access, Catalog, Table, Tracked};
use crate::mapping::model::Mapping;
use crate::mapping::names::{bytewise, quote_ident};
use crate::mapping::sql::{KeyColumn, key_columns};

/// Number of the type in every database.
const TEXT: u32 = 25;

pub(super) fn check(mapping: &Mapping, catalog: &Catalog, findings: &mut Findings<'_>) {
    let source = &mapping.source;
    let named = Named {
        table: &source.table,
        schema: source.schema.as_deref(),
        relation: source.relation(),
        tenant: &source.tenant,
        line: source.line,
    };
    let Some((table, tracked)) = tracked_table(catalog, &named, findings) else { return };
    structure::references(mapping, catalog, findings);
    watched(mapping, catalog, findings);
    structure::key(mapping, table, &tracked.key, findings);
    walk(mapping, table, findings);
    for join in &mapping.joins {
        let named = Named {
            table: &join.table,
            schema: join.schema.as_deref(),
            relation: join.relation(),
            tenant: &join.tenant,
            line: join.line,
        };
        let Some((joined, _)) = tracked_table(catalog, &named, findings) else { continue };
        same_tenants((&source.tenant, table), &named, joined, findings);
        structure::check_join(mapping, join, table, catalog, findings);
    }
    for touch in &mapping.touches {
        let is_joined = mapping.joins.iter().any(|join| join.table == touch.table);
        match catalog.tables.get(&touch.table).and_then(|touching| touching.tracked.as_ref()) {
            Some(_) => structure::check_touch(mapping, touch, table, catalog, findings),
            None if is_joined => {}
            None => findings.refuse(touch.line, not_tracked(&touch.table, &touch.tenant)),
        }
    }
}

/// A table as a mapping names it.
struct Named<'m> {
    table: &'m str,
    schema: Option<&'m str>,
    relation: String,
    tenant: &'m str,
    line: u32,
}

/// The table, if it is there and tracked; says what stands in the way of reading it.
fn tracked_table<'c>(
    catalog: &'c Catalog,
    named: &Named<'_>,
    findings: &mut Findings<'_>,
) -> Option<(&'c Table, &'c Tracked)> {
    let name = named.table;
    let Some(table) = catalog.tables.get(name) else {
        findings.refuse(named.line, format!("there is no table {name:?}"));
        return None;
    };
    let Some(tracked) = &table.tracked else {
        findings.refuse(named.line, not_tracked(name, named.tenant));
        return None;
    };
    access(named, &table.access, findings);
    if tracked.tenant != named.tenant {
        findings.refuse(
            named.line,
            format!(
                "{name:?} is tracked with the tenant column {:?}, and tenant says {:?}",
                tracked.tenant, named.tenant
            ),
        );
    }
    Some((table, tracked))
}

fn not_tracked(name: &str, tenant: &str) -> String {
    format!(
        "changes of {name:?} are not tracked: run tenant-sync table track {name} --tenant-column {tenant}"
    )
}

/// A joined row is one of the source row's tenant.
fn same_tenants(source: (&str, &Table), named: &Named<'_>, joined: &Table, findings: &mut Findings<'_>) {
    let (ours, theirs) = (source.1.columns.get(source.0), joined.columns.get(named.tenant));
    if let (Some(ours), Some(theirs)) = (ours, theirs)
        && ours.oid != theirs.oid
    {
        findings.refuse(
            named.line,
            format!(
                "the tenant column of {:?} is {} and the source's is {}; they must have the same type",
                named.table, theirs.type_name, ours.type_name
            ),
        );
    }
}

/// Each missing privilege with what gives it.
fn access(named: &Named<'_>, access: &Access, findings: &mut Findings<'_>) {
    let (name, line, role) = (named.table, named.line, quote_ident(&access.role));
    if !access.schema {
        let schema = quote_ident(named.schema.unwrap_or_default());
        findings.refuse(
            line,
            format!("this role may not use the schema of {name:?}: GRANT USAGE ON SCHEMA {schema} TO {role}"),
        );
    }
    if !access.select {
        let table = &named.relation;
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
fn watched(mapping: &Mapping, catalog: &Catalog, findings: &mut Findings<'_>) {
    for (line, table, name) in mapping.expression_reads() {
        let tracked = catalog.tables.get(table).and_then(|table| table.tracked.as_ref());
        let Some(tracked) = tracked else { continue };
        let Some(columns) = &tracked.columns else { continue };
        let is_watched = |known: &String| known == name;
        if !(columns.iter().chain(&tracked.key).any(is_watched) || tracked.tenant == name) {
            findings.refuse(
                line,
                format!(
                    "changes of the column {name:?} are not watched: track {table:?} again, with it among --columns"
                ),
            );
        }
    }
}

/// The first copy goes along the key within a tenant; without an index it would sort the whole table again and again.
fn walk(mapping: &Mapping, table: &Table, findings: &mut Findings<'_>) {
    let tenant = &mapping.source.tenant;
    let mut key: Vec<KeyColumn<'_>> = key_columns(mapping);
    key.retain(|column| column.name != tenant.as_str());
    // What is text in targets is sorted as text, which no index of it does: those before it lead, and few rows agree
    // in them. A tenant has few values of an enum anyway.
    let enums = key.iter().all(|column| table.columns.get(column.name).is_some_and(|found| found.is_enum));
    let is_text = |column: &KeyColumn<'_>| {
        let found = table.columns.get(column.name);
        column.is_text() && found.is_none_or(|found| found.base.unwrap_or(found.oid) != TEXT)
    };
    let led = key.iter().position(is_text).unwrap_or(key.len());
    if led == 0 && !enums && !key.is_empty() {
        return findings.refuse(
            mapping.target.line,
            format!(
                "the key begins with {:?}, which targets have as text and no index sorts so: let it begin with a column of a type of Postgres itself, or track the table by another unique key",
                key[0].name
            ),
        );
    }
    let key: Vec<&str> = key.into_iter().take(led).map(|column| column.name).collect();
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
