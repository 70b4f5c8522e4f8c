//! A table that is not there: what it may have been meant to be.

use tokio_postgres::Client;

use super::TrackingError;

/// Names that are proposed, at most.
const NEAR_MAX: usize = 3;

/// That there is no such table: `place` says where it was looked for, `known` are names that would do, too.
pub(crate) async fn missing(client: &Client, typed: &str, place: &str, known: &[String]) -> TrackingError {
    let sql = r"
select case when n.nspname = current_schema() then c.relname::text end, n.nspname || '.' || c.relname
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_' and not c.relispartition
order by c.relname limit 5000";
    let mut names: Vec<String> = known.to_vec();
    // Without proposals it is the same error.
    for row in client.query_typed(sql, &[]).await.unwrap_or_default() {
        names.extend(row.get::<_, Option<String>>(0).filter(|_| !typed.contains('.')));
        names.push(row.get(1));
    }
    let near = nearest(typed, &names);
    let proposed =
        if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
    TrackingError::Unknown(format!("{typed}{place}{proposed}"))
}

/// Those that differ by a letter or two, or in the schema alone; the nearest first.
fn nearest(typed: &str, names: &[String]) -> Vec<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_lowercase();
    let plain = |name: &str| name.replace('"', "").to_lowercase();
    let allowed = (plain(typed).chars().count() / 3).clamp(1, 2);
    let mut near: Vec<(usize, &String)> = names
        .iter()
        .filter_map(|name| {
            let distance = distance(&plain(typed), &plain(name));
            (distance <= allowed || last(typed) == last(name)).then_some((distance, name))
        })
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(NEAR_MAX).map(|(_, name)| name.clone()).collect()
}

/// How many letters must come, go or change.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.iter().enumerate() {
            let change = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ_are_counted() {
        for (a, b, n) in [("", "abc", 3), ("users", "users", 0), ("usres", "users", 2), ("user", "users", 1)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (n, n), "{a} {b}");
        }
    }

    #[test]
    fn what_is_near_is_proposed_and_nothing_else() {
        let names = ["users", "contact_channels", "public.invoices", "app.invoices", "ProjectUser"]
            .map(str::to_owned);
        assert_eq!(nearest("user", &names), ["users"]);
        assert_eq!(nearest("Projectuser", &names), ["ProjectUser"]);
        assert_eq!(nearest("invoices", &names), ["app.invoices", "public.invoices"]);
        assert_eq!(nearest("public.invoces", &names), ["public.invoices"]);
        assert!(nearest("orders", &names).is_empty() && nearest("x", &names).is_empty());
    }
}
