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
    /// What the registry says of it, if it is tracked.
    pub(super) tracked: Option<Tracked>,
    /// Whether this role may read it, and use its schema.
    pub(super) access: Access,
}

/// A table of the operator's own, as it was tracked.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracked {
    pub(super) tenant: String,
    pub(super) key: Vec<String>,
    /// `None` = every column counts as a change.
    pub(super) columns: Option<Vec<String>>,
}

/// What the role that asks may do with a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    pub(super) role: String,
    pub(super) schema: bool,
    pub(super) select: bool,
    /// Row-level security hides rows from it.
    pub(super) hidden_rows: bool,
}

/// A table that mappings name: what they call it, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TableName {
    /// As the rest of the mapping knows it.
    pub(super) key: String,
    /// `None` = the first schema of the search path.
    pub(super) schema: Option<String>,
}

impl TableName {
    fn bare(&self) -> &str {
        let Some(schema) = &self.schema else { return &self.key };
        self.key.strip_prefix(schema.as_str()).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&self.key)
    }
}

/// The names in the shape in which queries take them.
struct Wanted<'n> {
    keys: Vec<&'n str>,
    schemas: Vec<Option<&'n str>>,
    names: Vec<&'n str>,
}

impl<'n> Wanted<'n> {
    fn new(tables: &'n [TableName]) -> Self {
        Self {
            keys: tables.iter().map(|table| table.key.as_str()).collect(),
            schemas: tables.iter().map(|table| table.schema.as_deref()).collect(),
            names: tables.iter().map(TableName::bare).collect(),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct TableColumn {
    pub(super) oid: u32,
    /// As `format_type` writes it, with its modifier.
    pub(super) type_name: String,
    pub(super) not_null: bool,
    /// Below its domain, if it has one.
    pub(super) base: Option<u32>,
    pub(super) is_enum: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct TableIndex {
    /// Key columns in order; empty if one of them is an expression.
    pub(super) columns: Vec<String>,
    pub(super) unique: bool,
    pub(super) primary: bool,
    pub(super) btree: bool,
    /// The first column, if it is compared as its table compares it.
    pub(super) leading: Option<String>,
    /// The columns after it that are sorted bytewise, up to the first that is not: what a first copy walks along.
    pub(super) walk: Vec<String>,
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
    /// The columns that a tombstone holds.
    pub(super) fn known_key(&self) -> &[String] {
        self.tracked.as_ref().map_or(self.primary_key(), |tracked| &tracked.key)
    }

    pub(super) fn primary_key(&self) -> &[String] {
        self.indexes.iter().find(|index| index.primary).map_or(&[], |index| &index.columns)
    }
}

impl Catalog {
    pub(super) async fn read(
        client: &Client,
        tables: &[TableName],
        calls: &[FunctionCall],
    ) -> Result<Self, Error> {
        let schema: Option<String> = client.query_one("select current_schema()::text", &[]).await?.get(0);
        let schema = schema.unwrap_or_default();
        let wanted = Wanted::new(tables);
        let mut catalog =
            Self { tables: columns(client, &schema, &wanted).await?, schema, functions: Vec::new() };
        for (table, index) in indexes(client, &catalog.schema, &wanted).await? {
            if let Some(table) = catalog.tables.get_mut(&table) {
                table.indexes.push(index);
            }
        }
        for (table, facts) in tracked(client, &catalog.schema, &wanted).await? {
            if let Some(table) = catalog.tables.get_mut(&table) {
                table.tracked = Some(facts);
            }
        }
        catalog.functions = functions(client, calls).await?;
        Ok(catalog)
    }
}

/// The tables that are wanted: `$1` what they are called here, `$2` their schemas, `$3` their names, `$4` ours.
const WANTED: &str = "unnest($1::text[], $2::text[], $3::text[]) w (key, schema, name) \
                      join pg_namespace n on n.nspname = coalesce(w.schema, $4::text) \
                      join pg_class c on c.relnamespace = n.oid and c.relname = w.name";

async fn columns(
    client: &Client,
    schema: &str,
    wanted: &Wanted<'_>,
) -> Result<BTreeMap<String, Table>, Error> {
    let sql = format!(
        "select w.key, c.relkind::text, a.attname::text, a.atttypid, a.attnotnull, \
                format_type(a.atttypid, a.atttypmod), current_user::text, \
                has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), \
                row_security_active(c.oid), \
                (select b.oid from pg_type b where b.oid = tracking_base_type(a.atttypid) and b.oid <> a.atttypid), \
                t.typtype = 'e' \
           from {WANTED} \
           join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped \
           join pg_type t on t.oid = a.atttypid \
          where c.relkind in ('r', 'p', 'v', 'm', 'f')"
    );
    let mut found: BTreeMap<String, Table> = BTreeMap::new();
    for row in client.query(&sql, &[&wanted.keys, &wanted.schemas, &wanted.names, &schema]).await? {
        let table = found.entry(row.get(0)).or_default();
        table.kind = row.get(1);
        let column = TableColumn {
            oid: row.get(3),
            not_null: row.get(4),
            type_name: row.get(5),
            base: row.get(10),
            is_enum: row.get(11),
        };
        table.columns.insert(row.get(2), column);
        table.access =
            Access { role: row.get(6), schema: row.get(7), select: row.get(8), hidden_rows: row.get(9) };
    }
    Ok(found)
}

/// What the registry of tracked tables says. A table that was dropped and made again under its name is not the one
/// that is tracked.
async fn tracked(
    client: &Client,
    schema: &str,
    wanted: &Wanted<'_>,
) -> Result<Vec<(String, Tracked)>, Error> {
    if wanted.schemas.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "select w.key, t.\"tenantColumn\", t.\"keyColumns\", t.\"columns\" \
           from {WANTED} join \"TrackedTable\" t on t.\"relation\"::oid = c.oid and t.\"name\" = w.key"
    );
    let rows = client.query(&sql, &[&wanted.keys, &wanted.schemas, &wanted.names, &schema]).await?;
    let facts =
        |row: &tokio_postgres::Row| Tracked { tenant: row.get(1), key: row.get(2), columns: row.get(3) };
    Ok(rows.iter().map(|row| (row.get(0), facts(row))).collect())
}

/// An index whose collation is not its column's has another idea of equality, so its columns are not listed.
async fn indexes(
    client: &Client,
    schema: &str,
    wanted: &Wanted<'_>,
) -> Result<Vec<(String, TableIndex)>, Error> {
    let sql = format!(
        "select w.key, i.indisunique, i.indisprimary, m.amname = 'btree', \
                              pg_get_expr(i.indpred, i.indrelid), \
                              array(select case when a.attcollation = i.indcollation[k.at - 1] \
                                                then a.attname::text end \
                                      from unnest(i.indkey::int2[]) with ordinality k(attnum, at) \
                                      left join pg_attribute a \
                                        on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum > 0 \
                                     where k.at <= i.indnkeyatts order by k.at), \
                              array(select case when (i.indcollation[k.at - 1] = 0 or l.collcollate in ('C', 'POSIX')) \
                                                     and i.indoption[k.at - 1] = 0 then a.attname::text end \
                                      from unnest(i.indkey::int2[]) with ordinality k(attnum, at) \
                                      left join pg_attribute a \
                                        on a.attrelid = i.indrelid and a.attnum = k.attnum and k.attnum > 0 \
                                      left join pg_collation l on l.oid = i.indcollation[k.at - 1] \
                                     where k.at <= i.indnkeyatts order by k.at) \
                         from {WANTED} \
                         join pg_index i on i.indrelid = c.oid \
                         join pg_class x on x.oid = i.indexrelid \
                         join pg_am m on m.oid = x.relam \
                        where i.indisvalid and i.indisready and i.indislive \
                        order by i.indisprimary desc, x.relname"
    );
    let rows = client.query(&sql, &[&wanted.keys, &wanted.schemas, &wanted.names, &schema]).await?;
    let index = |row: &tokio_postgres::Row| {
        let (columns, walk): (Vec<Option<String>>, Vec<Option<String>>) = (row.get(5), row.get(6));
        TableIndex {
            leading: columns.first().cloned().flatten(),
            walk: walk.into_iter().skip(1).map_while(|name| name).collect(),
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
