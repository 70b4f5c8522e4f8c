//! The statements that write one mapping into one schema.

use tenant_sync_core::mapping::ddl::qualified;
use tenant_sync_core::mapping::names::{bytewise, quote_ident};
use tokio_postgres::types::Type;

use crate::plan::{Column, Plan};

/// Text of the statements; arrays of columns and keys are their parameters, in the mapping's order.
#[derive(Debug, Clone)]
pub(crate) struct Statements {
    /// The table, qualified.
    pub(crate) table: String,
    /// `$1`… arrays of all columns: rows that differ are inserted or updated.
    pub(crate) upsert: String,
    /// `$1`… arrays of key columns.
    pub(crate) delete: String,
    /// Temporary table for a large slice.
    pub(crate) stage: String,
    /// What an earlier slice of the same transaction left there.
    pub(crate) clear_stage: String,
    pub(crate) copy_to_stage: String,
    pub(crate) upsert_from_stage: String,
    /// Straight into the table, where nothing can be in the way; `None` if a column travels as text.
    pub(crate) copy: Option<String>,
    /// `$1`… arrays of key columns as text.
    pub(crate) delete_by_text: String,
    /// `$1`… arrays of all columns: plain insert.
    pub(crate) insert: String,
    key: Vec<Column>,
}

impl Statements {
    pub(crate) fn new(plan: &Plan, schema: &str) -> Self {
        let table = qualified(&plan.mapping, schema);
        let names = list(plan.columns.iter().map(|column| quote_ident(&column.name)));
        let arrays = list(
            plan.columns.iter().enumerate().map(|(i, column)| format!("${}::{}", i + 1, array(&column.wire))),
        );
        let from_arrays = format!("unnest({arrays}) as i ({names})");
        let stage = format!(
            "pg_temp.{}",
            quote_ident(&format!(
                "tenant_sync_{}_{}",
                short(&plan.mapping.target.table),
                &plan.fingerprint[..12]
            ))
        );
        let stage_columns = list(
            plan.columns.iter().map(|column| format!("{} {}", quote_ident(&column.name), column.wire.name())),
        );
        let keys_equal = |a: &str, b: &str| {
            let each = plan.key_columns.iter().map(|column| {
                let name = quote_ident(&column.name);
                format!("{a}.{name} = {}", cast(column, &format!("{b}.{name}")))
            });
            each.collect::<Vec<_>>().join(" and ")
        };
        let key_arrays = list(
            plan.key_columns
                .iter()
                .enumerate()
                .map(|(i, column)| format!("${}::{}", i + 1, array(&column.wire))),
        );
        let key_names = list(plan.key_columns.iter().map(|column| quote_ident(&column.name)));
        Self {
            upsert: upsert(plan, &table, &from_arrays, &keys_equal("u", "i")),
            insert: insert(plan, &table, &from_arrays),
            delete_by_text: delete_by_text(plan, &table),
            delete: format!(
                "delete from {table} t using unnest({key_arrays}) as i ({key_names}) where {}",
                keys_equal("t", "i")
            ),
            upsert_from_stage: upsert(plan, &table, &format!("{stage} i"), &keys_equal("u", "i")),
            clear_stage: format!("delete from {stage}"),
            copy_to_stage: format!("copy {stage} ({names}) from stdin (format binary)"),
            stage: format!(
                "create temporary table if not exists {} ({stage_columns}) on commit delete rows",
                stage
            ),
            copy: plan
                .columns
                .iter()
                .all(|column| column.plain())
                .then(|| format!("copy {table} ({names}) from stdin (format binary)")),
            key: plan.key_columns.clone(),
            table,
        }
    }

    /// Whether the table has rows with keys above the position given as text parameters `$1`….
    pub(crate) fn any_above(&self, from: bool) -> String {
        let condition = if from { self.above(1) } else { "true".into() };
        format!("select exists (select from {} t where {condition} limit 1)", self.table)
    }

    /// Deletes what is in a range of keys but not among the keys given: parameters are the key arrays, then the
    /// lower and the upper position as text, as far as they exist.
    pub(crate) fn delete_others(&self, from: bool, to: bool) -> String {
        format!("delete {}", self.others(from, to))
    }

    /// The keys, as text, of what [`Statements::delete_others`] would delete.
    pub(crate) fn select_others(&self, from: bool, to: bool) -> String {
        let key = list(self.key.iter().map(|column| format!("t.{}::text", quote_ident(&column.name))));
        format!("select {key} {}", self.others(from, to))
    }

    fn others(&self, from: bool, to: bool) -> String {
        let n = self.key.len();
        let arrays = list(
            self.key.iter().enumerate().map(|(i, column)| format!("${}::{}", i + 1, array(&column.wire))),
        );
        let names = list(self.key.iter().map(|column| quote_ident(&column.name)));
        let equal: Vec<String> = self
            .key
            .iter()
            .map(|column| {
                let name = quote_ident(&column.name);
                format!("t.{name} = {}", cast(column, &format!("i.{name}")))
            })
            .collect();
        let mut conditions = vec![format!(
            "not exists (select from unnest({arrays}) as i ({names}) where {})",
            equal.join(" and ")
        )];
        if from {
            conditions.push(self.above(n + 1));
        }
        if to {
            conditions.push(format!("not {}", self.above(n + 1 + if from { n } else { 0 })));
        }
        format!("from {} t where {}", self.table, conditions.join(" and "))
    }

    /// `(key) > (position)`, the position's columns as text parameters from `$first` on.
    fn above(&self, first: usize) -> String {
        let columns = list(
            self.key
                .iter()
                .map(|column| format!("t.{}{}", quote_ident(&column.name), bytewise(&column.type_text))),
        );
        let position = list(self.key.iter().enumerate().map(|(i, column)| {
            format!("${}::text::{}{}", i + first, column.type_text, bytewise(&column.type_text))
        }));
        format!("(({columns}) > ({position}))")
    }
}

impl Column {
    /// Whether the wire's type is the column's own, so that no cast is needed.
    fn plain(&self) -> bool {
        let declared = self.type_text.trim().to_ascii_lowercase();
        let same = [
            ("boolean", "bool"),
            ("bool", "bool"),
            ("smallint", "int2"),
            ("integer", "int4"),
            ("int", "int4"),
            ("bigint", "int8"),
            ("timestamp with time zone", "timestamptz"),
            ("timestamptz", "timestamptz"),
            ("timestamp", "timestamp"),
            ("double precision", "float8"),
            ("real", "float4"),
        ];
        declared == self.wire.name() || same.contains(&(declared.as_str(), self.wire.name()))
    }
}

/// The value as the column's type.
fn cast(column: &Column, value: &str) -> String {
    if column.plain() { value.to_owned() } else { format!("{value}::{}", column.type_text) }
}

fn insert(plan: &Plan, table: &str, from: &str) -> String {
    let names = list(plan.columns.iter().map(|column| quote_ident(&column.name)));
    let values =
        list(plan.columns.iter().map(|column| cast(column, &format!("i.{}", quote_ident(&column.name)))));
    format!("insert into {table} ({names}) select {values} from {from}")
}

fn delete_by_text(plan: &Plan, table: &str) -> String {
    let arrays = list((1..=plan.key_columns.len()).map(|i| format!("${i}::text[]")));
    let names = list((1..=plan.key_columns.len()).map(|i| format!("k{i}")));
    let equal: Vec<String> = plan
        .key_columns
        .iter()
        .enumerate()
        .map(|(i, column)| format!("t.{} = i.k{}::{}", quote_ident(&column.name), i + 1, column.type_text))
        .collect();
    format!("delete from {table} t using unnest({arrays}) as i ({names}) where {}", equal.join(" and "))
}

/// The array of a wire type, by its name in the catalog: `bit[]` in SQL would mean `bit(1)[]`.
fn array(wire: &Type) -> String {
    format!("pg_catalog.\"{}\"[]", wire.name())
}

/// Rows that are there already, equal by their binary image, are joined away first: `ON CONFLICT … WHERE` would
/// lock them, and so write, even where nothing changes.
fn upsert(plan: &Plan, table: &str, from: &str, keys_equal: &str) -> String {
    let old = list(plan.columns.iter().map(|column| format!("u.{}", quote_ident(&column.name))));
    let new =
        list(plan.columns.iter().map(|column| cast(column, &format!("i.{}", quote_ident(&column.name)))));
    let key = list(plan.key_columns.iter().map(|column| quote_ident(&column.name)));
    let changes: Vec<String> = plan
        .columns
        .iter()
        .enumerate()
        .filter(|(i, _)| !plan.key.contains(i))
        .map(|(_, column)| format!("{0} = excluded.{0}", quote_ident(&column.name)))
        .collect();
    let on_conflict = if changes.is_empty() {
        "do nothing".to_owned()
    } else {
        format!("do update set {}", changes.join(", "))
    };
    format!(
        "{} where not exists (select from {table} u where {keys_equal}
           and row({old})::record operator(pg_catalog.*=) row({new})::record)
         on conflict ({key}) {on_conflict}",
        insert(plan, table, from)
    )
}

fn short(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).take(30).collect()
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
