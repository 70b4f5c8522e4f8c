//! Lists of triggers, page by page: what a page costs depends on its length, not on how many triggers there are.

use std::fmt;
use std::str::FromStr;

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::list::{COLUMNS, JOINS, Line, read};
use crate::registry::browse::{Page, TENANCIES_SEARCHED_MAX, tenancies};
use crate::registry::cursor::{self, CursorError};

/// Requests of a trigger are counted up to here.
pub const COUNT_MAX: i64 = 1_000;
/// Triggers that a search looks at.
pub const SEARCHED_MAX: i64 = 10_000;

/// How a trigger stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerStanding {
    /// It makes events.
    Active,
    /// It makes none and sends none.
    Paused,
    /// Its definition does not fit its table any more.
    Broken,
    /// Whom it calls does not take requests, whatever its state.
    Failing,
}

impl TriggerStanding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Paused, Self::Broken, Self::Failing];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Broken => "broken",
            Self::Failing => "failing",
        }
    }
}

/// Which triggers are meant. Everything that is set must hold.
#[derive(Debug, Clone, Default)]
pub struct TriggerFilter {
    /// Those of a tenancy.
    pub tenancy_id: Option<Uuid>,
    /// Those that stand like this.
    pub standing: Option<TriggerStanding>,
    /// Those whose URL begins with it (with or without its scheme), those of tenancies that
    /// [`tenancies()`] finds, and the one with this id; of each kind the first [`SEARCHED_MAX`].
    pub search: Option<String>,
}

/// Where a list of triggers goes on: behind the one that was registered then and has this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TriggerCursor {
    created_at: OffsetDateTime,
    id: Uuid,
}

impl fmt::Display for TriggerCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = cursor::write_instant(self.created_at);
        f.write_str(&cursor::write(&format!("{micros} {}", self.id)))
    }
}

impl FromStr for TriggerCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parse = || {
            let text = cursor::read(text)?;
            let (micros, id) = text.split_once(' ')?;
            Some(Self { created_at: cursor::read_instant(micros)?, id: id.parse().ok()? })
        };
        parse().ok_or(CursorError)
    }
}

/// One trigger.
///
/// # Errors
/// Postgres does.
pub async fn find<C: GenericClient>(client: &C, id: Uuid) -> Result<Option<Line>, Error> {
    let sql = format!(
        r#"select {COLUMNS} from "HttpTrigger" t join "HttpDestination" d on d."id" = t."id" {JOINS} where t."id" = $2"#
    );
    client.query_opt(&sql, &[&(COUNT_MAX + 1), &id]).await?.as_ref().map(read).transpose()
}

/// A page of triggers, the newest first.
///
/// # Errors
/// Postgres does.
pub async fn browse<C: GenericClient>(
    client: &C,
    filter: &TriggerFilter,
    after: Option<&TriggerCursor>,
    limit: i64,
) -> Result<Page<Line, TriggerCursor>, Error> {
    let (count, more) = (COUNT_MAX + 1, limit + 1);
    let (at, id) = (after.map(|cursor| cursor.created_at), after.map(|cursor| cursor.id));
    let found = match &filter.search {
        None => None,
        Some(search) => Some(searched(client, search).await?),
    };
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&count, &more];
    let mut holds = String::new();
    // A destination was made with its trigger: both lists go by the same time.
    let from = if filter.standing == Some(TriggerStanding::Failing) { "d" } else { "t" };
    let state = filter.standing.map(TriggerStanding::as_str);
    match filter.standing {
        None => {}
        Some(TriggerStanding::Failing) => {
            holds.push_str(r#" and d."state" <> 'ok' and d."triggerId" is not null"#)
        }
        Some(_) => {
            parameters.push(&state);
            holds.push_str(&format!(r#" and t."state" = ${}"#, parameters.len()));
        }
    }
    if filter.tenancy_id.is_some() {
        parameters.push(&filter.tenancy_id);
        holds.push_str(&format!(r#" and t."tenancyId" = ${}"#, parameters.len()));
    }
    if found.is_some() {
        parameters.push(&found);
        holds.push_str(&format!(r#" and t."id" = any (${})"#, parameters.len()));
    }
    if after.is_some() {
        parameters.extend([&at as &(dyn ToSql + Sync), &id]);
        let n = parameters.len();
        holds.push_str(&format!(r#" and ({from}."createdAt", {from}."id") < (${}, ${n})"#, n - 1));
    }
    let order = format!(r#"{from}."createdAt" desc, {from}."id" desc"#);
    // The page is cut first; what belongs to its triggers is looked up then.
    let sql = format!(
        r#"
with page as materialized (
    select t."id", {from}."createdAt" as place from "HttpTrigger" t join "HttpDestination" d on d."id" = t."id"
    where true{holds} order by {order} limit $2)
select {COLUMNS}, p.place from page p join "HttpTrigger" t on t."id" = p."id" join "HttpDestination" d on d."id" = p."id" {JOINS}
order by p.place desc, p."id" desc"#
    );
    let rows = client.query(&sql, &parameters).await?;
    let kept = usize::try_from(limit).unwrap_or(usize::MAX).min(rows.len());
    let entries: Vec<Line> = rows.iter().take(kept).map(read).collect::<Result<_, _>>()?;
    let last = if rows.len() > kept { entries.last().zip(rows.get(kept.saturating_sub(1))) } else { None };
    let next = match last {
        Some((line, row)) => Some(TriggerCursor { created_at: row.try_get("place")?, id: line.id }),
        None => None,
    };
    Ok(Page { entries, next })
}

/// Ids of the triggers that a search means.
async fn searched<C: GenericClient>(client: &C, search: &str) -> Result<Vec<Uuid>, Error> {
    let owners = tenancies(client, Some(search), None, TENANCIES_SEARCHED_MAX).await?;
    let owners: Vec<Uuid> = owners.entries.iter().map(|tenancy| tenancy.id).collect();
    let id: Option<Uuid> = search.parse().ok();
    let range = r#"(select t."id" from "HttpTrigger" t
        where t."url" collate "C" >= {P} and t."url" collate "C" < {P} || U&'\+10FFFF' order by t."url" collate "C" limit $4)"#;
    let sql = format!(
        r#"
select u."id" from (
    {} union all {} union all {} union all
    (select t."id" from "HttpTrigger" t where t."tenancyId" = any ($3) limit $4) union all
    (select t."id" from "HttpTrigger" t where t."id" = $2)) u"#,
        range.replace("{P}", "$1"),
        range.replace("{P}", "('https://' || $1)"),
        range.replace("{P}", "('http://' || $1)"),
    );
    let rows = client.query(&sql, &[&search, &id, &owners, &SEARCHED_MAX]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given() {
        let cursor = TriggerCursor {
            created_at: cursor::read_instant("1764000000123456").expect("a time"),
            id: Uuid::from_u128(7),
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "x", "!!", &cursor::write("1 2"), &cursor::write("x 7")] {
            assert_eq!(bad.parse::<TriggerCursor>(), Err(CursorError), "{bad}");
        }
    }
}
