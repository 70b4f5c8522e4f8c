//! The text of the statements that read what a change of one table means for another: the rows that it touches.
//!
//! For tables that carry the sequence columns the pass gives touched rows ids of their own, so only changes that
//! have no id yet are looked at here. What touches rows of a tracked table is looked at for every change: those rows
//! carry nothing of ours, and a pointer to each would be a write in the internal database for each.

use tenant_sync_core::mapping::names::{quote_ident, quote_literal};
use tenant_sync_core::mapping::{SourceColumn, Touch, TouchedBy, touch_feed};

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
    pub(super) fn touched(
        &self,
        touch: &Touch,
        ours: &[SourceColumn],
        by: TouchedBy,
        changes: Changes<'_>,
    ) -> String {
        let Changes { limit, largest, .. } = changes;
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
                   select * from ({}) said order by at limit {limit}) p) f
               left join lateral (
                 select s.* from {} s where f.last and {} and {} offset 0) s on true {}
               order by f.at limit {limit}"#,
            quote_ident(&self.mapping.source.tenant),
            self.expressions(),
            self.said(touch, by, changes),
            self.source,
            self.tenant,
            equal.join(" and "),
            self.joins,
        );
        self.measured(&inner, largest, true)
    }

    /// What changes say of the rows that they touch.
    fn said(&self, touch: &Touch, by: TouchedBy, changes: Changes<'_>) -> String {
        let whole_key = r#"c."primaryKey""#;
        match by {
            TouchedBy::Key => format!(
                "{} union all {}",
                self.changed_keys(touch, changes),
                recorded("DeletedRow", &touch.table, whole_key, changes)
            ),
            TouchedBy::Values => {
                // Of all that the table records, what this touch is about.
                let values = touch.on.iter().map(|(theirs, _)| {
                    let name = quote_literal(theirs);
                    format!("{name}, {whole_key} -> {name}")
                });
                let values = format!("jsonb_build_object({})", values.collect::<Vec<_>>().join(", "));
                recorded("ChangedRow", &touch_feed(&touch.table), &values, changes)
            }
        }
    }

    fn changed_keys(&self, touch: &Touch, changes: Changes<'_>) -> String {
        if touch.is_tracked() {
            return recorded("ChangedRow", &touch.table, r#"c."primaryKey""#, changes);
        }
        let Changes { condition, order, limit, .. } = changes;
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

/// Keys or values that are recorded in the feed or as tombstones.
fn recorded(relation: &str, feed: &str, key: &str, changes: Changes<'_>) -> String {
    let Changes { condition, order, limit, .. } = changes;
    format!(
        r#"(select c."sequenceId" as seq, {order} as at, {key} as key from "{relation}" c
            where c."tenancyId" = $1 and c."tableName" = {} {condition} order by {order} limit {limit})"#,
        quote_literal(feed)
    )
}
