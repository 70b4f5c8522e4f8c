//! SQL that follows from a mapping and that the live check and the fetch share.

use super::expression::SOURCE_ALIAS;
use super::model::{Join, Mapping};
use super::names::{bytewise, quote_ident};

/// The mapping's `LEFT JOIN`s, to stand after `FROM source s`. Each is bound to the source row's tenant, whatever
/// the mapping's author wrote; the author's condition stands in parentheses of its own.
#[must_use]
pub fn left_joins(mapping: &Mapping, schema: &str) -> String {
    let mut sql = String::new();
    for join in &mapping.joins {
        let alias = quote_ident(&join.alias);
        if !join.aggregates.is_empty() {
            sql.push_str(&format!(
                " LEFT JOIN LATERAL ({}) {alias} ON true",
                computed(mapping, join, schema)
            ));
            continue;
        }
        let (table, conditions) = joined_where(mapping, join, schema);
        sql.push_str(&format!(" LEFT JOIN {table} {alias} ON {conditions}"));
    }
    sql
}

/// The query for the one row that is computed from all rows that match.
pub(super) fn computed(mapping: &Mapping, join: &Join, schema: &str) -> String {
    let (table, conditions) = joined_where(mapping, join, schema);
    format!(
        "SELECT {} FROM {table} {} WHERE {conditions} HAVING true",
        aggregates(join),
        quote_ident(&join.alias)
    )
}

/// What a join computes, to stand after `SELECT`. With `HAVING true` at its end the query has exactly one row.
#[must_use]
pub fn aggregates(join: &Join) -> String {
    let each =
        join.aggregates.iter().map(|one| format!("({}) as {}", one.expr.text(), quote_ident(&one.name)));
    each.collect::<Vec<_>>().join(", ")
}

fn joined_where(mapping: &Mapping, join: &Join, schema: &str) -> (String, String) {
    let alias = quote_ident(&join.alias);
    let table = match &join.schema {
        Some(_) => join.relation(),
        None => format!("{}.{}", quote_ident(schema), quote_ident(&join.table)),
    };
    let tenants = (join.tenant.clone(), mapping.source.tenant.clone());
    let pairs = std::iter::once(tenants).chain(join.on.iter().cloned());
    let equal = pairs.map(|(joined, source)| {
        format!("{alias}.{} = {SOURCE_ALIAS}.{}", quote_ident(&joined), quote_ident(&source))
    });
    let condition = join.condition.iter().map(|condition| format!("({})", condition.text()));
    (table, equal.chain(condition).collect::<Vec<_>>().join(" AND "))
}

/// A column of the source's key, by what a first copy walks along: itself, or what stands for it in targets, where its
/// own type may not exist. Both ends have to sort alike.
#[derive(Debug, Clone, Copy)]
pub struct KeyColumn<'m> {
    /// Its name in the source.
    pub name: &'m str,
    /// The type that it is cast to.
    cast: Option<&'m str>,
}

impl KeyColumn<'_> {
    /// What rows `s` are sorted by. `kind`: the column's own type.
    #[must_use]
    pub fn of_row(&self, kind: &str) -> String {
        let column = format!("{SOURCE_ALIAS}.{}", quote_ident(self.name));
        match self.cast {
            Some(cast) => format!("({column})::{cast}{}", bytewise(cast)),
            None => format!("{column}{}", bytewise(kind)),
        }
    }

    /// The same of a value, given as text.
    #[must_use]
    pub fn of_text(&self, value: &str, kind: &str) -> String {
        let kind = self.cast.unwrap_or(kind);
        format!("({value})::{kind}{}", bytewise(kind))
    }

    /// A value of the column's own type as it travels.
    #[must_use]
    pub fn cast(&self, value: &str) -> String {
        self.cast.map_or_else(|| value.to_owned(), |cast| format!("({value})::{cast}"))
    }

    /// Whether a target has its text. Then values are the same if they read alike, whatever their type thinks.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.cast == Some("text")
    }
}

/// The columns of the source's key, in the order of the target's.
#[must_use]
pub fn key_columns(mapping: &Mapping) -> Vec<KeyColumn<'_>> {
    let columns = mapping.key_columns().filter_map(|column| {
        let plain = column.expr.plain_source_column().is_some();
        Some(KeyColumn {
            name: column.expr.cast_source_column()?,
            cast: (!plain).then_some(column.type_text.as_str()),
        })
    });
    columns.collect()
}

/// Types of which two values that are equal always read alike.
const READ_ALIKE: [&str; 4] = ["smallint", "integer", "bigint", "uuid"];

/// The condition that a row `s` of a tracked table is a tenancy's. Its tenant is a value of the application's own, kept
/// as text, and rows belong together if they *read* alike, as they do where changes are recorded: in types such as
/// `numeric` or `citext` values of two tenants may be equal. The value is what an index finds.
#[must_use]
pub fn of_tenant(column: &str, type_name: &str, tenancy: &str) -> String {
    let column = quote_ident(column);
    let value = format!(
        r#"{SOURCE_ALIAS}.{column} = (select tenant_value(k."tenantKey", null::{type_name}) from "Tenancy" k where k."id" = {tenancy})"#
    );
    if READ_ALIKE.contains(&type_name) {
        return value;
    }
    format!(
        r#"{value} and {SOURCE_ALIAS}.{column}::text collate "C" = (select k."tenantKey" from "Tenancy" k where k."id" = {tenancy})"#
    )
}
