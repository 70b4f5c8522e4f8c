//! The text of the statements that read a tracked table's changes: pointers in the feed, each with the live row.

use tenant_sync_core::mapping::names::{quote_ident, quote_literal};

use super::sql::Parts;

impl Parts<'_> {
    /// Pointers `c` that fulfil `condition`, in `order`, cut to `limit`, each with the row that it points to. Cut
    /// first: a pointer without its row (deleted since, or the tenant's no more) and all but the last to the same row
    /// come without values, because the cut is counted by them, too.
    pub(super) fn pointers(&self, condition: &str, order: &str, limit: &str, largest: &str) -> String {
        let names = self.mapping.source_key();
        let equal: Vec<String> = names
            .iter()
            .zip(&self.key)
            .map(|(name, (column, kind))| format!("s.{column} = (f.key ->> {})::{kind}", quote_literal(name)))
            .collect();
        let tenant_column = quote_ident(&self.mapping.source.tenant);
        let inner = format!(
            r#"select f.seq, s.{tenant_column} is not null as live, {} from (
                 select p.seq, p.at, p.key, row_number() over (partition by p.key order by p.at desc) = 1 as last from (
                   select c."sequenceId" as seq, {order} as at, c."primaryKey" as key
                   from "ChangedRow" c where c."tenancyId" = $1 and c."tableName" = {} {condition}
                   order by {order} limit {limit}) p) f
               left join lateral (
                 select s.* from {} s where f.last and {} and {} offset 0) s on true {}
               order by f.at"#,
            self.expressions(),
            quote_literal(&self.mapping.source.table),
            self.source,
            self.tenant,
            equal.join(" and "),
            self.joins,
        );
        self.measured(&inner, largest, true)
    }
}
