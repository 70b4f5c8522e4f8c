//! Lists of tenancies and targets, page by page: what a page costs depends on its length, not on how many there are.

use deadpool_postgres::GenericClient;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::targets::{self, Target};
use super::tenancies::{self, Tenancy};
use crate::db::{kept, kept_one};
use crate::outbox::TargetKey;

/// Tenancies that a search for targets looks at.
pub const TENANCIES_SEARCHED_MAX: i64 = 1_000;
/// Counts of targets go up to here.
pub const COUNT_MAX: i64 = 10_000;
/// One more tells that there are more.
const LOOKED_MAX: i64 = COUNT_MAX + 1;

/// A list with an end that may not be the end.
#[derive(Debug, Clone)]
pub struct Page<T, C> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page begins; `None` = this was the last.
    pub next: Option<C>,
}

/// Where a list of tenancies goes on: behind the text that was found and this id. Without a search the text is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenancyCursor {
    /// Project or tenant key.
    pub text: String,
    /// "Tenancy".id
    pub id: Uuid,
}

/// Tenancies by id; with a search those whose project or tenant key begins with it, in the order of that, or the one
/// with this id.
///
/// # Errors
/// Postgres does.
pub async fn tenancies<C: GenericClient>(
    client: &C,
    search: Option<&str>,
    after: Option<&TenancyCursor>,
    limit: i64,
) -> Result<Page<Tenancy, TenancyCursor>, Error> {
    let more = limit + 1;
    let after_id = after.map(|cursor| cursor.id);
    let columns = tenancies::COLUMNS;
    let found: Vec<(Tenancy, String)> = match search {
        None => {
            let sql = format!(
                r#"select {columns} from "Tenancy" t where $1::uuid is null or t."id" > $1 order by t."id" limit $2"#
            );
            let rows = client.query(&sql, &[&after_id, &more]).await?;
            rows.iter().map(|row| Ok((tenancies::read(row)?, String::new()))).collect::<Result<_, Error>>()?
        }
        Some(search) => {
            let after_text = after.map(|cursor| cursor.text.as_str());
            let id: Option<Uuid> = search.parse().ok();
            let sql = format!(
                r#"select {columns}, f.found from ({SEARCH}) f join "Tenancy" t on t."id" = f."id"
                   order by f.found collate "C", f."id" limit $2"#
            );
            let rows = client.query(&sql, &[&search, &more, &after_text, &after_id, &id]).await?;
            rows.iter()
                .map(|row| Ok((tenancies::read(row)?, row.try_get(6)?)))
                .collect::<Result<_, Error>>()?
        }
    };
    let full = i64::try_from(found.len()).is_ok_and(|n| n > limit);
    let kept = usize::try_from(limit).unwrap_or(usize::MAX).min(found.len());
    let next = found.get(kept.saturating_sub(1)).filter(|_| full);
    let next = next.map(|(tenancy, text)| TenancyCursor { text: text.clone(), id: tenancy.id });
    Ok(Page { entries: found.into_iter().take(kept).map(|(tenancy, _)| tenancy).collect(), next })
}

/// `$1` the beginning of a name, `$2` limit, `$3` and `$4` where to go on, `$5` an id. Each arm is one range of an index,
/// in its order; a tenancy that both arms find comes once, with its project.
const SEARCH: &str = r#"
    (select t."projectId" as found, t."id" from "Tenancy" t
     where t."projectId" collate "C" >= $1 and t."projectId" collate "C" < $1 || U&'\+10FFFF'
       and ($3::text is null or (t."projectId" collate "C", t."id") > ($3, $4::uuid))
     order by t."projectId" collate "C", t."id" limit $2)
    union all
    (select t."tenantKey", t."id" from "Tenancy" t
     where t."tenantKey" collate "C" >= $1 and t."tenantKey" collate "C" < $1 || U&'\+10FFFF'
       and not (t."projectId" collate "C" >= $1 and t."projectId" collate "C" < $1 || U&'\+10FFFF')
       and ($3::text is null or (t."tenantKey" collate "C", t."id") > ($3, $4::uuid))
     order by t."tenantKey" collate "C", t."id" limit $2)
    union all
    (select '', t."id" from "Tenancy" t
     where t."id" = $5 and $3::text is null and t."tenantKey" collate "C" <> $1 and t."projectId" collate "C" <> $1)"#;

/// How a list of targets is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetOrder {
    /// By tenancy and id.
    #[default]
    Key,
    /// The newest first.
    Newest,
    /// Most failures in a row first; only targets whose state is not `ok`.
    Failures,
    /// By state and class of the last error; only targets whose state is not `ok`.
    State,
}

/// Where a list of targets goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetCursor {
    /// What it is ordered by beside the key: microseconds, or failures; 0 if nothing.
    pub place: i64,
    /// The same where it is a text: state and class, with a slash between; empty if nothing.
    pub text: String,
    /// The last target before.
    pub key: TargetKey,
}

/// Which targets are meant, and in which order.
#[derive(Debug, Clone, Default)]
pub struct TargetFilter {
    /// Those of a tenancy.
    pub tenancy_id: Option<Uuid>,
    /// Those in a state.
    pub state: Option<String>,
    /// Those whose last error is of a class.
    pub class: Option<String>,
    /// Those of tenancies that [`tenancies()`] finds.
    pub search: Option<String>,
    /// In which order.
    pub order: TargetOrder,
}

/// A page of targets.
///
/// # Errors
/// Postgres does.
pub async fn targets<C: GenericClient>(
    client: &C,
    filter: &TargetFilter,
    after: Option<&TargetCursor>,
    limit: i64,
) -> Result<Page<Target, TargetCursor>, Error> {
    let (columns, more) = (targets::COLUMNS, limit + 1);
    let tenancies: Option<Vec<Uuid>> = match &filter.search {
        None => filter.tenancy_id.map(|id| vec![id]),
        Some(search) => {
            let found = self::tenancies(client, Some(search), None, TENANCIES_SEARCHED_MAX).await?;
            let meant = |id: &Uuid| filter.tenancy_id.is_none_or(|only| only == *id);
            Some(found.entries.iter().map(|tenancy| tenancy.id).filter(meant).collect())
        }
    };
    let (place, order, behind) = match filter.order {
        TargetOrder::Key => ("0::int8", r#""tenancyId", "id""#, r#"("tenancyId", "id") > ($5, $6)"#),
        TargetOrder::Newest => (
            r#"(extract(epoch from "createdAt") * 1000000)::int8"#,
            r#""createdAt" desc, "tenancyId" desc, "id" desc"#,
            r#"("createdAt", "tenancyId", "id") < (to_timestamp(0) + $7::int8 * interval '1 microsecond', $5, $6)"#,
        ),
        TargetOrder::Failures => (
            r#""consecutiveFailures"::int8"#,
            r#""consecutiveFailures" desc, "tenancyId" desc, "id" desc"#,
            r#"("consecutiveFailures", "tenancyId", "id") < ($7::int8, $5, $6)"#,
        ),
        TargetOrder::State => (
            "0::int8",
            r#""state", coalesce("lastErrorClass", ''), "tenancyId", "id""#,
            r#"("state", coalesce("lastErrorClass", ''), "tenancyId", "id")
                 > (split_part($8::text, '/', 1), split_part($8::text, '/', 2), $5, $6)"#,
        ),
    };
    let trouble = match (&filter.state, &filter.class, filter.order) {
        (Some(state), ..) if state == "ok" => "",
        (None, None, TargetOrder::Key | TargetOrder::Newest) => "",
        _ => r#"and "state" <> 'ok'"#,
    };
    // Every parameter has its type in each form.
    let known = "($5::uuid is null or $6::text is null or $7::int8 is null or $8::text is null or true)";
    let behind = if after.is_some() { format!("{known} and {behind}") } else { known.to_owned() };
    let sql = format!(
        r#"select {columns}, {place} as place, "state" || '/' || coalesce("lastErrorClass", '') as text
           from "ExternalDatabase"
           where ($1::uuid[] is null or "tenancyId" = any ($1)) and ($2::text is null or "state" = $2)
             and ($3::text is null or "lastErrorClass" = $3) {trouble} and {behind}
           order by {order} limit $4"#
    );
    let tenancy_id = after.map(|cursor| cursor.key.tenancy_id);
    let database_id = after.map(|cursor| cursor.key.database_id.as_str());
    let at = after.map(|cursor| cursor.place);
    let text = after.map(|cursor| cursor.text.as_str());
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&tenancies, &filter.state, &filter.class, &more, &tenancy_id, &database_id, &at, &text];
    let rows = client.query(&sql, &parameters).await?;
    let kept = usize::try_from(limit).unwrap_or(usize::MAX).min(rows.len());
    let entries: Vec<Target> = rows.iter().take(kept).map(targets::read).collect::<Result<_, _>>()?;
    let next = match (rows.len() > kept, rows.get(kept.saturating_sub(1)), entries.last()) {
        (true, Some(row), Some(last)) => {
            let text = if filter.order == TargetOrder::State { row.try_get(18)? } else { String::new() };
            Some(TargetCursor { place: row.try_get(17)?, text, key: last.key.clone() })
        }
        _ => None,
    };
    Ok(Page { entries, next })
}

/// How many targets have the same trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Their state.
    pub state: String,
    /// Class of the last error; `None` for those that are merely paused.
    pub class: Option<String>,
    /// How many, at most [`COUNT_MAX`] + 1.
    pub targets: i64,
}

/// What is wrong with the targets that are not `ok`, the most frequent first. It hops from one kind of trouble to the
/// next, and counts each up to a bound.
///
/// # Errors
/// Postgres does.
pub async fn troubles<C: GenericClient>(client: &C) -> Result<Vec<Trouble>, Error> {
    let sql = format!(
        r#"
with recursive kinds as (
    (select "state", coalesce("lastErrorClass", '') as class from "ExternalDatabase" where "state" <> 'ok'
     order by "state", coalesce("lastErrorClass", '') limit 1)
    union all
    select n.* from kinds k cross join lateral (
        select e."state", coalesce(e."lastErrorClass", '') from "ExternalDatabase" e
        where e."state" <> 'ok' and (e."state", coalesce(e."lastErrorClass", '')) > (k."state", k.class)
        order by e."state", coalesce(e."lastErrorClass", '') limit 1) n
)
select k."state", nullif(k.class, ''), c.n from kinds k cross join lateral (
    select count(*) as n from (
        select from "ExternalDatabase" e
        where e."state" <> 'ok' and e."state" = k."state" and coalesce(e."lastErrorClass", '') = k.class
        limit {LOOKED_MAX}) counted) c
order by c.n desc, 1, 2 limit 100"#
    );
    let rows = kept(client, &sql, &[]).await?;
    rows.iter()
        .map(|row| Ok(Trouble { state: row.try_get(0)?, class: row.try_get(1)?, targets: row.try_get(2)? }))
        .collect()
}

/// About how many targets there are: counted up to [`COUNT_MAX`], beyond that what the server's statistics say. The
/// flag says whether it was counted.
///
/// # Errors
/// Postgres does.
pub async fn targets_about<C: GenericClient>(client: &C) -> Result<(i64, bool), Error> {
    let sql = format!(
        r#"select (select count(*) from (select from "ExternalDatabase" limit {LOOKED_MAX}) counted),
                  (select reltuples::int8 from pg_class where oid = '"ExternalDatabase"'::regclass)"#
    );
    let row = kept_one(client, &sql, &[]).await?;
    let (counted, estimated): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(if counted <= COUNT_MAX { (counted, true) } else { (estimated.max(counted), false) })
}
