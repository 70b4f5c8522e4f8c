//! A mapping as the rest of the engine sees it. One that exists has passed every check that needs no database.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::expression::{Expression, SOURCE_ALIAS};
use super::names::quote_ident;

/// What of a source table goes to a table in each target.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// Its name, unique among all mappings; targets choose mappings by it and keep a watermark for it.
    pub name: String,
    /// What a change of a row is called, such as `user`.
    pub event: String,
    /// Raised by the author when content changes in a way that every row must be sent again; from 1.
    pub version: i32,
    /// Where rows come from.
    pub source: Source,
    /// Where rows go.
    pub target: Target,
    /// The target's columns, in the file's order.
    pub columns: Vec<Column>,
    /// Other tables that expressions read, in the file's order.
    pub joins: Vec<Join>,
    /// Tables of which a change means a change of source rows.
    pub touches: Vec<Touch>,
    /// Indexes of the target's table, beside its primary key.
    pub indexes: Vec<Index>,
    /// The file it came from.
    #[serde(skip)]
    pub(super) file: String,
}

/// The source of a mapping.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The schema of a tracked table of the operator's own; `None` = a table in the internal schema that carries the
    /// sequence columns itself.
    pub schema: Option<String>,
    /// The table, as feeds, tombstones and the sequencer know it: with its schema in front (`public.invoices`) if
    /// it is a tracked one.
    pub table: String,
    /// Its column that says whose row it is.
    pub tenant: String,
    #[serde(skip)]
    pub(super) line: u32,
}

impl Source {
    /// Whether it is a tracked table: its changes are pointers in the feed, and it carries no columns of ours.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.schema.is_some()
    }

    /// The table in SQL, quoted. Without a schema of its own it is found by the session's search path.
    #[must_use]
    pub fn relation(&self) -> String {
        relation(self.schema.as_deref(), &self.table)
    }
}

impl Join {
    /// The table in SQL, as [`Source::relation`].
    #[must_use]
    pub fn relation(&self) -> String {
        relation(self.schema.as_deref(), &self.table)
    }

    /// The expressions over the joined table's rows, and where they stand.
    pub(super) fn expressions(&self) -> impl Iterator<Item = (u32, &Expression)> {
        let condition = self.condition.iter().map(|condition| (self.line, condition));
        condition.chain(self.aggregates.iter().map(|one| (one.line, &one.expr)))
    }
}

impl Touch {
    /// Whether it is a tracked table, as [`Source::is_tracked`].
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.schema.is_some()
    }
}

fn relation(schema: Option<&str>, table: &str) -> String {
    let Some(schema) = schema else { return quote_ident(table) };
    let name = table.strip_prefix(schema).and_then(|rest| rest.strip_prefix('.'));
    format!("{}.{}", quote_ident(schema), quote_ident(name.unwrap_or(table)))
}

/// What old and new values of a tracked table's touch columns are called in the feed, as `touch_feed` in the database.
#[must_use]
pub fn touch_feed(table: &str) -> String {
    format!("{table} (touches)")
}

/// What feeds and tombstones call a tracked table.
#[must_use]
pub fn feed_name(schema: &str, table: &str) -> String {
    format!("{schema}.{table}")
}

/// The target's table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its name, in the target's schema.
    pub table: String,
    /// Names of the columns that are its primary key.
    pub key: Vec<String>,
    /// What a reader should know about the table.
    pub comment: Option<String>,
    #[serde(skip)]
    pub(super) line: u32,
}

/// A column of the target's table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    /// Its name in the target.
    pub name: String,
    /// Its type, as written in DDL.
    #[serde(rename = "type")]
    pub type_text: String,
    /// Whether it may be null; a key column never may.
    pub nullable: bool,
    /// Its value, over `s` and the joins' aliases.
    pub expr: Expression,
    /// What a reader should know about it.
    pub comment: Option<String>,
    #[serde(skip)]
    pub(super) line: u32,
    /// Where the expression stands.
    #[serde(skip)]
    pub(super) expr_line: u32,
}

/// Another table: at most one row of it for each source row, or what is computed from all that match, of the same
/// tenant. The engine adds the tenant's condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// As the source's.
    pub schema: Option<String>,
    /// A table in the internal schema, or a tracked one, called as the source is.
    pub table: String,
    /// What its row is called in expressions.
    pub alias: String,
    /// Its column that says whose row it is.
    pub tenant: String,
    /// Pairs of equal columns: the joined table's, the source's.
    pub on: Vec<(String, String)>,
    /// A further condition on the joined row.
    #[serde(rename = "where")]
    pub condition: Option<Expression>,
    /// What is computed from all rows that match, and all that is known of them then; empty: at most one matches.
    #[serde(rename = "aggregate", skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<Aggregate>,
    #[serde(skip)]
    pub(super) line: u32,
}

/// A value of all rows that match, such as their sum.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Aggregate {
    /// What it is called in expressions, after the join's alias.
    pub name: String,
    /// Aggregate functions over the columns of the joined table.
    pub expr: Expression,
    #[serde(skip)]
    pub(super) line: u32,
}

/// Another table whose changes are changes of source rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Touch {
    /// As the source's.
    pub schema: Option<String>,
    /// A table in the internal schema, which the sequencer looks after, or a tracked one.
    pub table: String,
    /// Its column that says whose row it is.
    pub tenant: String,
    /// Pairs of equal columns: the touching table's, the source's.
    pub on: Vec<(String, String)>,
    #[serde(skip)]
    pub(super) line: u32,
}

/// An index of the target's table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// What it can find.
    pub method: IndexMethod,
    #[serde(skip)]
    pub(super) line: u32,
}

/// What an index can find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IndexMethod {
    /// Equal values and ranges, in order; refuses a row whose value is longer than 2,700 bytes.
    #[default]
    Btree,
    /// Equal values of one column; takes values of any length.
    Hash,
}

/// A change of a row of `changed` is a change of the rows of `dependent` that agree in `columns`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The table that changes.
    pub changed: String,
    /// The table whose rows are sent again.
    pub dependent: String,
    /// Pairs of equal columns: the changed table's, the dependent's; the tenant columns among them; sorted.
    pub columns: Vec<(String, String)>,
}

impl Mapping {
    /// The column called `name`.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The target's key columns, in the key's order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.target.key.iter().filter_map(|name| self.column(name))
    }

    /// The source columns that the target's key is made of, in the key's order: what a tombstone must hold.
    #[must_use]
    pub fn source_key(&self) -> Vec<&str> {
        self.key_columns().filter_map(|column| column.expr.cast_source_column()).collect()
    }

    /// The file it came from, as the operator knows it.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The table that `alias` stands for in expressions.
    #[must_use]
    pub fn table_of(&self, alias: &str) -> Option<&str> {
        if alias == SOURCE_ALIAS {
            return Some(&self.source.table);
        }
        self.joins.iter().find(|join| join.alias == alias).map(|join| join.table.as_str())
    }

    /// The join that `alias` stands for, if columns know nothing of its rows but what is computed from them.
    pub(super) fn aggregating(&self, alias: &str) -> Option<&Join> {
        self.joins.iter().find(|join| join.alias == alias && !join.aggregates.is_empty())
    }

    /// The columns of tables that expressions read: where that stands, the table, the column.
    pub(super) fn expression_reads(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        let columns = self.columns.iter().map(|column| (column.expr_line, &column.expr));
        let of_rows = columns
            .flat_map(|(line, expr)| expr.references().iter().map(move |reference| (line, reference)))
            .filter(|(_, reference)| self.aggregating(&reference.alias).is_none());
        let in_joins = self.joins.iter().flat_map(Join::expressions);
        let joined = in_joins
            .flat_map(|(line, expr)| expr.references().iter().map(move |reference| (line, reference)));
        of_rows.chain(joined).filter_map(|(line, reference)| {
            Some((line, self.table_of(&reference.alias)?, reference.column.as_str()))
        })
    }

    /// What the mapping's touches mean for the sequencer.
    #[must_use]
    pub fn touches(&self) -> Vec<Dependency> {
        dependencies(std::slice::from_ref(self))
    }

    /// SHA-256, in hex, of all that decides what the target holds: two mappings with the same fingerprint fill
    /// a target alike. Comments, indexes, version and the file's layout are not part of it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut parts =
            vec!["source", &self.source.table, &self.source.tenant, "target", &self.target.table, "key"];
        parts.extend(self.target.key.iter().map(String::as_str));
        for column in &self.columns {
            parts.extend(["column", &column.name, &column.type_text, column.expr.text()]);
        }
        for join in &self.joins {
            parts.extend(["join", &join.table, &join.alias, &join.tenant]);
            parts.extend(join.on.iter().flat_map(|(joined, source)| ["on", joined, source]));
            parts.extend(join.condition.iter().flat_map(|condition| ["where", condition.text()]));
            parts.extend(join.aggregates.iter().flat_map(|one| ["aggregate", &one.name, one.expr.text()]));
        }
        digest(&parts)
    }

    /// The same of the indexes, which decide nothing of what the target holds.
    #[must_use]
    pub fn index_fingerprint(&self) -> String {
        let mut parts = Vec::new();
        for index in &self.indexes {
            parts.push(match index.method {
                IndexMethod::Btree => "btree",
                IndexMethod::Hash => "hash",
            });
            parts.extend(index.columns.iter().map(String::as_str));
        }
        digest(&parts)
    }

    fn reads(&self) -> impl Iterator<Item = (&str, &str)> {
        let source = self.source.table.as_str();
        let referenced = self.expression_reads().map(|(_, table, column)| (table, column));
        let joined = self.joins.iter().flat_map(move |join| {
            let pairs = join
                .on
                .iter()
                .flat_map(move |(j, s)| [(join.table.as_str(), j.as_str()), (source, s.as_str())]);
            pairs.chain([(join.table.as_str(), join.tenant.as_str())])
        });
        let touched = self.touches.iter().flat_map(move |touch| {
            let pairs = touch
                .on
                .iter()
                .flat_map(move |(t, s)| [(touch.table.as_str(), t.as_str()), (source, s.as_str())]);
            pairs.chain([(touch.table.as_str(), touch.tenant.as_str())])
        });
        referenced.chain(joined).chain(touched).chain([(source, self.source.tenant.as_str())])
    }
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, so that no two lists of parts look alike.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The columns of each table that the mappings read: only a change of one of these is a change.
#[must_use]
pub fn reads(mappings: &[Mapping]) -> BTreeMap<String, BTreeSet<String>> {
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (table, column) in mappings.iter().flat_map(Mapping::reads) {
        tables.entry(table.to_owned()).or_default().insert(column.to_owned());
    }
    tables
}

/// What the mappings' touches mean for the sequencer, each once, sorted.
#[must_use]
pub fn dependencies(mappings: &[Mapping]) -> Vec<Dependency> {
    let mut found = BTreeSet::new();
    // What touches a row of a tracked table is worked out when its changes are read.
    for mapping in mappings.iter().filter(|mapping| !mapping.source.is_tracked()) {
        for touch in &mapping.touches {
            let tenant = (touch.tenant.clone(), mapping.source.tenant.clone());
            let columns: BTreeSet<_> = touch.on.iter().cloned().chain([tenant]).collect();
            found.insert(Dependency {
                changed: touch.table.clone(),
                dependent: mapping.source.table.clone(),
                columns: columns.into_iter().collect(),
            });
        }
    }
    found.into_iter().collect()
}
