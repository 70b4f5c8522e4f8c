//! The text of the statements that read a mapping's source.
//!
//! Each arm has its own order and limit on an index; what an expression needs of other tables is looked up row
//! by row (LATERAL … LIMIT 1). A limit outside of a union, or a join that the planner may turn into a scan of
//! the joined table, made a backfill quadratic when measured (168 s against 1.2 s for 200,000 rows).

use tenant_sync_core::mapping::names::{quote_ident, quote_literal};
use tenant_sync_core::mapping::{CheckedMapping, Join, Mapping, aggregates, key_columns, of_tenant};
use tenant_sync_core::sequence::waits_for_id;
use tokio_postgres::types::Type;

use super::touched::Changes;
use crate::plan::Column;

/// Statements over one mapping's source. All take the tenancy as `$1`; rows come as `sequence id, too large? (null:
/// a pointer without its row), columns…, key columns as text…`, tombstones as `sequence id, alive?, key columns…,
/// key columns as text…`.
#[derive(Debug, Clone)]
pub(crate) struct Statements {
    /// `$2` watermark, `$3` rows, `$4` largest row.
    pub(crate) changed: String,
    /// `$2` rows, `$3` largest row: flagged rows, which have no id yet.
    pub(crate) flagged: String,
    /// As `changed`, by the ids of what touches the rows: one statement a touch of a tracked table.
    pub(crate) touched: Vec<String>,
    /// As `flagged`: rows that are touched by what has no id yet, one statement a touch.
    pub(crate) flagged_touched: Vec<String>,
    /// `$2` watermark, `$3` rows.
    pub(crate) gone: String,
    /// `$2` rows: tombstones that have no id yet.
    pub(crate) flagged_gone: String,
    /// `$2` rows, `$3` largest row: from the first key on.
    pub(crate) first_keys: String,
    /// `$2` rows, `$3` largest row, `$4`… the key as text: from there on.
    pub(crate) next_keys: String,
    /// `$2` largest row, `$3`… arrays of the keys' columns as text.
    pub(crate) by_key: String,
    /// Whether the tenant has more than `$2` rows.
    pub(crate) more_than: String,
}

/// What the statements of one mapping are made from.
pub(super) struct Parts<'a> {
    pub(super) mapping: &'a Mapping,
    columns: &'a [Column],
    pub(super) source: String,
    /// The condition that a row is the tenant's.
    pub(super) tenant: String,
    pub(super) joins: String,
    /// Source columns of the key with their types, in the key's order.
    pub(super) key: Vec<(String, String)>,
}

/// Which changes `c` are read, and in which order.
const ABOVE: &str = r#"and c."sequenceId" > $2"#;
const BY_ID: &str = r#"c."sequenceId""#;
const BY_TRANSACTION: &str = r#"c."changedBy""#;

/// As [`ABOVE`], for what has no id yet.
fn pending(alias: &str) -> String {
    format!(r#"and {} and {alias}."changedBy" >= tail_start($1)"#, waits_for_id(alias))
}

impl Statements {
    pub(crate) fn new(checked: &CheckedMapping, columns: &[Column]) -> Self {
        let mapping = &checked.mapping;
        let types = checked.source_key.iter().map(|column| column.type_name.clone());
        let parts = Parts {
            mapping,
            columns,
            source: mapping.source.relation(),
            tenant: tenant(checked),
            joins: joins(checked),
            key: mapping.source_key().into_iter().map(quote_ident).zip(types).collect(),
        };
        let order = parts.key_order();
        let tracked = mapping.source.is_tracked();
        let changes = |condition, order, limit, largest| {
            if tracked {
                parts.pointers(condition, order, limit, largest)
            } else {
                let of_row = |text: &str| text.replace("c.", "s.");
                parts.rows(&of_row(condition), &of_row(order), limit, largest)
            }
        };
        let touches = |condition, order, limit, largest| -> Vec<String> {
            let changes = Changes { condition, order, limit, largest };
            let columns = checked.source_touched.iter().zip(&checked.touched_by);
            let each = mapping.touches.iter().zip(columns);
            each.map(|(touch, (ours, by))| parts.touched(touch, ours, *by, changes)).collect()
        };
        Self {
            touched: if tracked { touches(ABOVE, BY_ID, "$3", "$4") } else { Vec::new() },
            flagged_touched: touches(&pending("c"), BY_TRANSACTION, "$2", "$3"),
            changed: changes(ABOVE, BY_ID, "$3", "$4"),
            flagged: changes(&pending("c"), BY_TRANSACTION, "$2", "$3"),
            gone: parts.tombstones(r#"and d."sequenceId" > $2"#, r#"d."sequenceId""#, "$3"),
            flagged_gone: parts.tombstones(&pending("d"), r#"d."changedBy""#, "$2"),
            first_keys: parts.rows("", &order, "$2", "$3"),
            next_keys: parts.rows(&format!("and {}", parts.key_after(4)), &order, "$2", "$3"),
            by_key: parts.by_key(),
            more_than: format!(
                "select count(*) > $2::bigint from (select from {} s where {} limit $2::bigint + 1) as looked",
                parts.source, parts.tenant
            ),
        }
    }
}

impl Statements {
    pub(crate) fn reading(self) -> Vec<(String, String)> {
        let mut all = vec![
            ("changed".to_owned(), self.changed),
            ("gone".to_owned(), self.gone),
            ("flagged".to_owned(), self.flagged),
            ("flagged_gone".to_owned(), self.flagged_gone),
        ];
        let number = |kind: &str, at: usize| format!("{kind}_{at}");
        all.extend(self.touched.into_iter().enumerate().map(|(at, sql)| (number("touched", at), sql)));
        let flagged = self.flagged_touched.into_iter().enumerate();
        all.extend(flagged.map(|(at, sql)| (number("flagged_touched", at), sql)));
        all
    }
}

impl Parts<'_> {
    fn rows(&self, condition: &str, order: &str, limit: &str, largest: &str) -> String {
        let inner = format!(
            r#"select {} as seq, {} from {} s {} where {} {condition} order by {order} limit {limit}"#,
            self.sequence_id(),
            self.expressions(),
            self.source,
            self.joins,
            self.tenant,
        );
        self.measured(&inner, largest, false)
    }

    /// The id of a row that is read by itself.
    fn sequence_id(&self) -> &'static str {
        if self.mapping.source.is_tracked() { "null::int8" } else { r#"s."sequenceId""# }
    }

    fn by_key(&self) -> String {
        let arrays: Vec<String> = (0..self.key.len()).map(|i| format!("${}::text[]", i + 3)).collect();
        let names: Vec<String> = (0..self.key.len()).map(|i| format!("k{i}")).collect();
        let equal: Vec<String> = self
            .key
            .iter()
            .enumerate()
            .map(|(i, (column, kind))| format!("s.{column} = w.k{i}::{kind}"))
            .collect();
        let inner = format!(
            r#"select {} as seq, {} from unnest({}) as w ({}) cross join lateral (
                 select s.* from {} s where {} and {} offset 0) s {}"#,
            self.sequence_id(),
            self.expressions(),
            arrays.join(", "),
            names.join(", "),
            self.source,
            self.tenant,
            equal.join(" and "),
            self.joins,
        );
        self.measured(&inner, "$2", false)
    }

    /// Blanks the columns of a row above the limit before they leave the server. Only a row whose stored size
    /// could reach it (compression shrinks to 1/300 at best) is measured in full. `pointers`: `inner` has a column
    /// `live`, and what is not is neither.
    pub(super) fn measured(&self, inner: &str, largest: &str, pointers: bool) -> String {
        let in_key = |i: &usize| self.mapping.target.key.contains(&self.columns[*i].name);
        let wide: Vec<usize> =
            (0..self.columns.len()).filter(|i| !is_short(&self.columns[*i].wire) && !in_key(i)).collect();
        let stored = sum(wide.iter().map(|i| format!("pg_column_size(q.c{i})")));
        let full = sum(wide.iter().map(|i| format!("octet_length(q.c{i}::text)")));
        let columns: Vec<String> = (0..self.columns.len())
            .map(|i| {
                if wide.contains(&i) {
                    format!("case when z.large then null else q.c{i} end")
                } else {
                    format!("q.c{i}")
                }
            })
            .collect();
        let dead = if pointers { "when not q.live then null" } else { "" };
        format!(
            "select q.seq, z.large, {} from ({inner}) q cross join lateral (
               select case {dead} when {stored} > {largest}::int8 / 300 then {full} > {largest}::int8 else false end as large) z",
            columns.into_iter().chain((0..self.key.len()).map(|i| format!("q.k{i}"))).collect::<Vec<_>>().join(", ")
        )
    }

    pub(super) fn expressions(&self) -> String {
        let each = self.mapping.columns.iter().zip(self.columns).enumerate().map(|(i, (column, wire))| {
            // Text stands for types whose binary form is not portable, too.
            let cast = if wire.wire == Type::TEXT { "::text" } else { "" };
            format!("({}){cast} as c{i}", column.expr.text())
        });
        let key = self.key.iter().enumerate().map(|(i, (column, _))| format!("s.{column}::text as k{i}"));
        each.chain(key).collect::<Vec<_>>().join(", ")
    }

    fn tombstones(&self, condition: &str, order: &str, limit: &str) -> String {
        let key = |from: &str| -> Vec<String> {
            self.mapping
                .source_key()
                .into_iter()
                .zip(&self.key)
                .map(|(name, (_, kind))| {
                    format!(r#"({from}."primaryKey" ->> {})::{kind}"#, quote_literal(name))
                })
                .collect()
        };
        let walked = key_columns(self.mapping);
        let equal: Vec<String> = self
            .key
            .iter()
            .zip(&walked)
            .zip(key("q"))
            .map(|(((column, _), walked), value)| {
                let same = format!("s.{column} = {value}");
                let reads = format!(r#" and s.{column}::text collate "C" = ({value})::text"#);
                if walked.is_text() { same + &reads } else { same }
            })
            .collect();
        let carried = key("q").into_iter().zip(&walked).enumerate().map(|(i, (value, walked))| {
            let value = walked.cast(&value);
            if self.key_wire(i) == Some(Type::TEXT) { format!("({value})::text") } else { value }
        });
        let text = key("q").into_iter().map(|value| format!("({value})::text"));
        format!(
            r#"select q.seq, a.alive, {} from (
                 select d."sequenceId" as seq, d."primaryKey" from "DeletedRow" d
                 where d."tenancyId" = $1 and d."tableName" = {} {condition} order by {order} limit {limit}) q
               cross join lateral (
                 select exists (select from {} s where {} and {}) as alive) a"#,
            carried.chain(text).collect::<Vec<_>>().join(", "),
            quote_literal(&self.mapping.source.table),
            self.source,
            self.tenant,
            equal.join(" and "),
        )
    }

    fn key_wire(&self, at: usize) -> Option<Type> {
        let name = self.mapping.target.key.get(at)?;
        self.columns.iter().find(|column| column.name == *name).map(|column| column.wire.clone())
    }

    /// Text keys are walked bytewise on both sides: the two servers need not agree on any other order.
    fn key_order(&self) -> String {
        let columns = key_columns(self.mapping).into_iter().zip(&self.key);
        columns.map(|(column, (_, kind))| column.of_row(kind)).collect::<Vec<_>>().join(", ")
    }

    fn key_after(&self, first: usize) -> String {
        let columns = key_columns(self.mapping).into_iter().zip(&self.key).enumerate();
        let position =
            columns.map(|(i, (column, (_, kind)))| column.of_text(&format!("${}::text", i + first), kind));
        format!("({}) > ({})", self.key_order(), position.collect::<Vec<_>>().join(", "))
    }
}

/// Whose row it is.
fn tenant(checked: &CheckedMapping) -> String {
    if !checked.mapping.source.is_tracked() {
        return format!("s.{} = $1", quote_ident(&checked.mapping.source.tenant));
    }
    of_tenant(&checked.mapping.source.tenant, &checked.source_tenant.type_name, "$1")
}

fn is_short(wire: &Type) -> bool {
    let short = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::UUID,
        Type::DATE,
        Type::TIME,
        Type::TIMETZ,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
        Type::INTERVAL,
    ];
    short.contains(wire)
}

fn sum(terms: impl Iterator<Item = String>) -> String {
    let terms: Vec<String> = terms.map(|term| format!("coalesce({term}, 0)::int8")).collect();
    if terms.is_empty() { "0".into() } else { terms.join(" + ") }
}

fn joins(checked: &CheckedMapping) -> String {
    let joins = checked.mapping.joins.iter().zip(&checked.join_keys);
    let each = joins.map(|(join, key)| {
        let alias = quote_ident(&join.alias);
        let row = joined(&checked.mapping, join);
        if join.aggregates.is_empty() {
            return format!("left join lateral ({row} limit 1) {alias} on true");
        }
        // In the order of their key: a list, and a sum of floating-point numbers, is the same each time.
        let order: Vec<String> = key.iter().map(|name| format!("{alias}.{}", quote_ident(name))).collect();
        format!(
            "left join lateral (select {} from ({row} order by {}) {alias} having true) {alias} on true",
            aggregates(join),
            order.join(", ")
        )
    });
    each.collect::<Vec<_>>().join(" ")
}

/// The rows that match a source row.
fn joined(mapping: &Mapping, join: &Join) -> String {
    let (alias, tenant) = (quote_ident(&join.alias), quote_ident(&join.tenant));
    let mut conditions = vec![match &join.schema {
        Some(_) => format!("{alias}.{tenant} = s.{}", quote_ident(&mapping.source.tenant)),
        None => format!("{alias}.{tenant} = $1"),
    }];
    conditions.extend(
        join.on
            .iter()
            .map(|(joined, source)| format!("{alias}.{} = s.{}", quote_ident(joined), quote_ident(source))),
    );
    conditions.extend(join.condition.iter().map(|condition| format!("({})", condition.text())));
    format!("select {alias}.* from {} {alias} where {}", join.relation(), conditions.join(" and "))
}
