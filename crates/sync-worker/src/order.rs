//! The order in which mappings are written: parents before children, so that a reference that a customer put
//! between our tables holds at each statement. Deletes go the other way round.

use std::collections::HashMap;

use tokio_postgres::{Client, Error};

use crate::plan::Plan;

/// Sorts by the references between the source tables; otherwise by name.
pub(crate) async fn parents_first(plans: &mut [Plan], client: &Client) -> Result<(), Error> {
    let rows = client
        .query(
            "select c.relname, p.relname from pg_constraint k
             join pg_class c on c.oid = k.conrelid join pg_class p on p.oid = k.confrelid
             where k.contype = 'f' and c.oid <> p.oid and c.relnamespace = current_schema()::regnamespace",
            &[],
        )
        .await?;
    let mut parents: HashMap<String, Vec<String>> = HashMap::new();
    for row in rows {
        parents.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
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
