//! The text of what a mapping has in a target: its table, its indexes, and a comment on each of them.
//!
//! Pure functions of the mapping and the schema's name; each statement is a string of its own.

use sha2::{Digest, Sha256};

use super::model::{Column, Index, IndexMethod, Mapping};
use super::names::{NAME_BYTES_MAX, quote_ident, quote_literal};

/// Ends the comment of everything of ours in a target, so that a visitor knows whose it is.
pub const MARKER: &str = "Kept by tenant-sync: changes made here are overwritten.";

/// `CREATE TABLE` with its primary key, and the comments on the table, its key and its columns.
///
/// `NOT NULL` stands on key columns and on those with `nullable = false`. The statement fails if a table of
/// this name exists: it may be a stranger's.
#[must_use]
pub fn create_table(mapping: &Mapping, schema: &str) -> Vec<String> {
    let table = qualified(mapping, schema);
    let mut lines: Vec<String> = mapping
        .columns
        .iter()
        .map(|column| {
            let not_null = if column.nullable { "" } else { " NOT NULL" };
            format!("{} {}{not_null}", quote_ident(&column.name), column.type_text)
        })
        .collect();
    let key = quote_list(&mapping.target.key);
    let key_name = key_name(mapping);
    lines.push(format!("CONSTRAINT {} PRIMARY KEY ({key})", quote_ident(&key_name)));
    let mut statements = vec![format!("CREATE TABLE {table} (\n  {}\n)", lines.join(",\n  "))];
    statements.push(format!("COMMENT ON TABLE {table} IS {}", table_comment(mapping)));
    statements.push(format!(
        "COMMENT ON CONSTRAINT {} ON {table} IS {}",
        quote_ident(&key_name),
        marked("One row for each key.")
    ));
    statements.push(format!(
        "COMMENT ON INDEX {}.{} IS {}",
        quote_ident(schema),
        quote_ident(&key_name),
        marked("One row for each key.")
    ));
    statements.extend(mapping.columns.iter().map(|column| column_comment(&table, column)));
    statements
}

/// The indexes for readers, each with its comment. Safe to repeat as long as the name is ours.
#[must_use]
pub fn create_indexes(mapping: &Mapping, schema: &str) -> Vec<String> {
    mapping.indexes.iter().flat_map(|index| create_index(mapping, schema, index)).collect()
}

/// One index for readers, with its comment.
#[must_use]
pub fn create_index(mapping: &Mapping, schema: &str, index: &Index) -> [String; 2] {
    let table = qualified(mapping, schema);
    let name = quote_ident(&index_name(mapping, &index.columns));
    let columns = quote_list(&index.columns);
    let method = match index.method {
        IndexMethod::Btree => "",
        IndexMethod::Hash => "USING hash ",
    };
    [
        format!("CREATE INDEX IF NOT EXISTS {name} ON {table} {method}({columns})"),
        format!("COMMENT ON INDEX {}.{name} IS {}", quote_ident(schema), marked("For readers.")),
    ]
}

/// Adds a column that the mapping gained, with its comment.
///
/// It may be null whatever the mapping says: the rows that are there have no value until they are filled.
#[must_use]
pub fn add_column(mapping: &Mapping, schema: &str, column: &Column) -> Vec<String> {
    let table = qualified(mapping, schema);
    vec![
        format!("ALTER TABLE {table} ADD COLUMN {} {}", quote_ident(&column.name), column.type_text),
        column_comment(&table, column),
    ]
}

/// The target's table, with its schema, quoted.
#[must_use]
pub fn qualified(mapping: &Mapping, schema: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(&mapping.target.table))
}

/// Name of the primary key's constraint and index.
#[must_use]
pub fn key_name(mapping: &Mapping) -> String {
    bounded(&format!("{}_pkey", mapping.target.table))
}

/// Name of the index on `columns`.
#[must_use]
pub fn index_name(mapping: &Mapping, columns: &[String]) -> String {
    bounded(&format!("{}_{}_idx", mapping.target.table, columns.join("_")))
}

/// A name that Postgres would cut off gets a tail that depends on all of it instead.
fn bounded(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let hash: String = Sha256::digest(name).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let mut end = NAME_BYTES_MAX - hash.len() - 1;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}_{hash}", &name[..end])
}

fn table_comment(mapping: &Mapping) -> String {
    let own = mapping.target.comment.clone();
    marked(&own.unwrap_or_else(|| format!("Rows of the mapping {}.", mapping.name)))
}

fn column_comment(table: &str, column: &Column) -> String {
    let comment = column.comment.as_deref().map_or_else(|| quote_literal(MARKER), marked);
    format!("COMMENT ON COLUMN {table}.{} IS {comment}", quote_ident(&column.name))
}

fn marked(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    quote_literal(&format!("{text}{end} {MARKER}"))
}

fn quote_list(names: &[String]) -> String {
    names.iter().map(|name| quote_ident(name)).collect::<Vec<_>>().join(", ")
}
