//! The order in which mappings are written: parents before children, so that a reference that a customer put
//! between our tables holds at each statement. Deletes go the other way round.

use std::collections::HashMap;

use tenant_sync_core::mapping::feed_name;
use tokio_postgres::{Client, Error};

use crate::plan::Plan;

/// Sorts by the references between the source tables; otherwise by name.
pub(crate) async fn parents_first(plans: &mut [Plan], client: &Client) -> Result<(), Error> {
    let rows = client
        .query(
            "select cn.nspname::text, c.relname::text, pn.nspname::text,
                    p.relname::text, current_schema()::text
             from pg_constraint k
             join pg_class c on c.oid = k.conrelid join pg_namespace cn on cn.oid = c.relnamespace
             join pg_class p on p.oid = k.confrelid join pg_namespace pn on pn.oid = p.relnamespace
             where k.contype = 'f' and c.oid <> p.oid and k.conparentid = 0",
            &[],
        )
        .await?;
    let mut parents: HashMap<String, Vec<String>> = HashMap::new();
    for row in rows {
        let (child_schema, child): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (parent_schema, parent): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let ours: Option<String> = row.try_get(4)?;
        parents.entry(feed_name(&child_schema, &child)).or_default().push(feed_name(&parent_schema, &parent));
        if ours.is_some_and(|ours| ours == child_schema && ours == parent_schema) {
            parents.entry(child).or_default().push(parent);
        }
    }
    plans.sort_by_cached_key(|plan| {
        (depth(&plan.mapping.source.table, &parents, 0), plan.mapping.name.clone())
    });
    Ok(())
}

/// How many references lead up from a table, at most; a cycle ends the count.
fn depth(table: &str, parents: &HashMap<String, Vec<String>>, steps: usize) -> usize {
    if steps > parents.len() {
        return steps;
    }
    parents
        .get(table)
        .into_iter()
        .flatten()
        .map(|parent| 1 + depth(parent, parents, steps + 1))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::depth;

    #[test]
    fn children_are_deeper_than_parents_and_cycles_end() {
        let parents = HashMap::from([
            ("channel".to_owned(), vec!["user".to_owned()]),
            ("user".to_owned(), vec!["tenancy".to_owned()]),
            ("a".to_owned(), vec!["b".to_owned()]),
            ("b".to_owned(), vec!["a".to_owned()]),
        ]);
        assert_eq!(
            (depth("tenancy", &parents, 0), depth("user", &parents, 0), depth("channel", &parents, 0)),
            (0, 1, 2)
        );
        assert!(depth("a", &parents, 0) > 0);
    }
}
