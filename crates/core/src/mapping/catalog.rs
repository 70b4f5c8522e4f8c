//! What the live internal schema says about tables, types and functions. The only file here that asks a server.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use tokio_postgres::error::Error;

use super::carry::TypeFacts;
use super::expression::FunctionCall;

/// The tables that a set of mappings names, as far as they exist.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) schema: String,
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) functions: Vec<Function>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    /// `pg_class.relkind`.
    pub(super) kind: String,
    pub(super) columns: BTreeMap<String, TableColumn>,
    /// Valid ones only.
    pub(super) indexes: Vec<TableIndex>,
}

#[derive(Debug, Clone)]
pub(super) struct TableColumn {
    pub(super) oid: u32,
    /// As `format_type` writes it, with its modifier.
    pub(super) type_name: String,
    pub(super) not_null: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct TableIndex {
    /// Key columns in order; empty if one of them is an expression.
    pub(super) columns: Vec<String>,
    pub(super) unique: bool,
    pub(super) primary: bool,
    pub(super) btree: bool,
    pub(super) predicate: Option<String>,
}

/// A function that shares its name with one that an expression calls.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) schema: String,
    pub(super) name: String,
    /// Whether it is found without its schema.
    pub(super) visible: bool,
    /// `pg_proc.provolatile`.
    pub(super) volatility: String,
}

impl Table {
    pub(super) fn primary_key(&self) -> &[String] {
        self.indexes.iter().find(|index| index.primary).map_or(&[], |index| &index.columns)
    }
}

impl Catalog {
    pub(super) async fn read(
        client: &Client,
        tables: &[String],
        calls: &[FunctionCall],
    ) -> Result<Self, Error> {
        let schema: Option<String> = client.query_one("select current_schema()::text", &[]).await?.get(0);
        let schema = schema.unwrap_or_default();
        let mut catalog =
            Self { tables: columns(client, &schema, tables).await?, schema, functions: Vec::new() };
        for (table, index) in indexes(client, &catalog.schema, tables).await? {
            if let Some(table) = catalog.tables.get_mut(&table) {
                table.indexes.push(index);
            }
        }
        catalog.functions = functions(client, calls).await?;
        Ok(catalog)
    }
}

async fn columns(client: &Client, schema: &str, tables: &[String]) -> Result<BTreeMap<String, Table>, Error> {
    const SQL: &str = "select c.relname::text, c.relkind::text, a.attname::text, a.atttypid, a.attnotnull, \
                              format_type(a.atttypid, a.atttypmod) \
                         from pg_class c \
                         join pg_namespace n on n.oid = c.relnamespace \
                         join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped \
                        where n.nspname = $1::text and c.relname::text = any($2) \
                          and c.relkind in ('r', 'p', 'v', 'm', 'f')";
    let mut found: BTreeMap<String, Table> = BTreeMap::new();
    for row in client.query(SQL, &[&schema, &tables]).await? {
        let table = found.entry(row.get(0)).or_default();
        table.kind = row.get(1);
        let column = TableColumn { oid: row.get(3), not_null: row.get(4), type_name: row.get(5) };
        table.columns.insert(row.get(2), column);
    }
    Ok(found)
}

/// An index whose collation is not its column's has another idea of equality, so its columns are not listed.
async fn indexes(
    client: &Client,
    schema: &str,
    tables: &[String],
) -> Result<Vec<(String, TableIndex)>, Error> {
    const SQL: &str = "select c.relname::text, i.indisunique, i.indisprimary, m.amname = 'btree', \
                              pg_get_expr(i.indpred, i.indrelid), \
                              array(select case when a.attcollation = i.indcollation[k.at - 1] \
                                                then a.attname::text end \
                                      from unnest(i.indkey::int2[]) with ordinality k(attnum, at) \
                                      left join pg_attribute a \
                                        on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum > 0 \
                                     where k.at <= i.indnkeyatts order by k.at) \
                         from pg_index i \
                         join pg_class c on c.oid = i.indrelid \
                         join pg_namespace n on n.oid = c.relnamespace \
                         join pg_class x on x.oid = i.indexrelid \
                         join pg_am m on m.oid = x.relam \
                        where n.nspname = $1::text and c.relname::text = any($2) \
                          and i.indisvalid and i.indisready and i.indislive \
                        order by i.indisprimary desc, x.relname";
    let rows = client.query(SQL, &[&schema, &tables]).await?;
    let index = |row: &tokio_postgres::Row| {
        let columns: Vec<Option<String>> = row.get(5);
        TableIndex {
            unique: row.get(1),
            primary: row.get(2),
            btree: row.get(3),
            predicate: row.get(4),
            columns: columns.into_iter().collect::<Option<_>>().unwrap_or_default(),
        }
    };
    Ok(rows.iter().map(|row| (row.get(0), index(row))).collect())
}

async fn functions(client: &Client, calls: &[FunctionCall]) -> Result<Vec<Function>, Error> {
    const SQL: &str = "select n.nspname::text, p.proname::text, pg_function_is_visible(p.oid), p.provolatile::text \
                         from pg_proc p join pg_namespace n on n.oid = p.pronamespace \
                        where p.proname::text = any($1)";
    let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
    let rows = client.query(SQL, &[&names]).await?;
    let function = |row: tokio_postgres::Row| Function {
        schema: row.get(0),
        name: row.get(1),
        visible: row.get(2),
        volatility: row.get(3),
    };
    Ok(rows.into_iter().map(function).collect())
}

/// What the server knows of a type that it has already accepted; `modifier` is what it made of the part in
/// parentheses.
pub(super) async fn type_facts(client: &Client, text: &str, modifier: i32) -> Result<TypeFacts, Error> {
    const SQL: &str = "select t.oid, format_type(t.oid, $2), t.typname::text, t.typtype::text, \
                              n.nspname = 'pg_catalog', e.typname::text, e.typtype::text \
                         from pg_type t \
                         join pg_namespace n on n.oid = t.typnamespace \
                         left join pg_type e on e.typarray = t.oid \
                        where t.oid = to_regtype($1)";
    let row = client.query_one(SQL, &[&text, &modifier]).await?;
    let element: Option<String> = row.get(5);
    let element_kind: Option<String> = row.get(6);
    Ok(TypeFacts {
        oid: row.get(0),
        display: row.get(1),
        name: row.get(2),
        kind: row.get(3),
        built_in: row.get(4),
        element: element.zip(element_kind),
    })
}
