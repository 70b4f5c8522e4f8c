//! The text of the statements that read what a change of one table means for another: the rows that it touches.
//!
//! For tables that carry the sequence columns the pass gives touched rows ids of their own, so only changes that
//! have no id yet are looked at here. What touches rows of a tracked table is looked at for every change: those rows
//! carry nothing of ours, and a pointer to each would be a write in the internal database for each.

use tenant_sync_core::mapping::names::{quote_ident, quote_literal};
use tenant_sync_core::mapping::{SourceColumn, Touch};

use super::sql::Parts;

/// What is read of the table that touches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes<'a> {
    /// On `c`.
    pub(super) condition: &'a str,
    pub(super) order: &'a str,
    pub(super) limit: &'a str,
    pub(super) largest: &'a str,
}

impl Parts<'_> {
    /// Rows of the source that changes of `touch`'s table touch, by the change's id and cut to the limit, as
    /// [`Parts::pointers`] does. `ours`: the source's columns of the touch's pairs.
    pub(super) fn touched(&self, touch: &Touch, ours: &[SourceColumn], changes: Changes<'_>) -> String {
        let Changes { condition, order, limit, largest } = changes;
        let equal: Vec<String> = touch
            .on
            .iter()
            .zip(ours)
            .map(|((theirs, _), column)| {
                let (name, kind) = (quote_ident(&column.name), &column.type_name);
                format!("s.{name} = (f.key ->> {})::{kind}", quote_literal(theirs))
            })
            .collect();
        let inner = format!(
            r#"select f.seq, s.{} is not null as live, {} from (
                 select p.seq, p.at, p.key, row_number() over (partition by p.key order by p.at desc) = 1 as last from (
                   {} union all {} order by at limit {limit}) p) f
               left join lateral (
                 select s.* from {} s where f.last and {} and {} offset 0) s on true {}
               order by f.at limit {limit}"#,
            quote_ident(&self.mapping.source.tenant),
            self.expressions(),
            self.changed_keys(touch, condition, order, limit),
            recorded("DeletedRow", touch, condition, order, limit),
            self.source,
            self.tenant,
            equal.join(" and "),
            self.joins,
        );
        self.measured(&inner, largest, true)
    }

    fn changed_keys(&self, touch: &Touch, condition: &str, order: &str, limit: &str) -> String {
        if touch.is_tracked() {
            return recorded("ChangedRow", touch, condition, order, limit);
        }
        let key = touch
            .on
            .iter()
            .map(|(theirs, _)| format!("{}, c.{}", quote_literal(theirs), quote_ident(theirs)));
        format!(
            r#"(select c."sequenceId" as seq, {order} as at, jsonb_build_object({}) as key
                from {} c where c.{} = $1 {condition} order by {order} limit {limit})"#,
            key.collect::<Vec<_>>().join(", "),
            quote_ident(&touch.table),
            quote_ident(&touch.tenant),
        )
    }
}

/// Keys that are recorded in the feed or as tombstones.
fn recorded(relation: &str, touch: &Touch, condition: &str, order: &str, limit: &str) -> String {
    format!(
        r#"(select c."sequenceId" as seq, {order} as at, c."primaryKey" as key from "{relation}" c
            where c."tenancyId" = $1 and c."tableName" = {} {condition} order by {order} limit {limit})"#,
        quote_literal(&touch.table)
    )
}
