//! Counting what a mapping lacks in many targets at once: one statement, index ranges of bounded length.

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::Progress;
use crate::db::kept;
use crate::mapping::names::{quote_ident, quote_literal};
use crate::mapping::{Mapping, key_columns, of_tenant, touch_feed};
use crate::sequence::waits_for_id;

/// What a mapping lacks in one target. No count exceeds the limit by more than one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Rows and tombstones above the watermark.
    pub(super) sequenced: i64,
    /// The lowest id of those.
    pub(super) first_id: Option<i64>,
    /// Rows and tombstones that have no newer id yet, or rows of other tables that will touch some here.
    pub(super) flagged: i64,
    /// The oldest transaction that flagged one of those.
    pub(super) first_xid: Option<i64>,
    /// Rows behind the fill's position that are not counted above.
    pub(super) unfilled: i64,
    /// A count has reached its limit.
    pub(super) cut: bool,
    /// What the mapping reads is not there: nothing can be said.
    pub(super) unknown: bool,
}

impl Counts {
    pub(super) fn total(&self) -> i64 {
        self.sequenced + self.flagged + self.unfilled
    }

    pub(super) fn needs_ledger(&self) -> bool {
        self.first_id.is_some() || self.first_xid.is_some()
    }
}

/// Types of source columns, as Postgres writes them.
#[derive(Debug, Default)]
pub(super) struct Types {
    /// Of those that the target's key is made of, in the key's order.
    key: Vec<String>,
    tenant: String,
    /// For each touch, what the feed calls its changes.
    touches: Vec<Touching>,
}

/// Where changes of a touching table are found.
#[derive(Debug, PartialEq, Eq)]
enum Touching {
    /// By the rows' keys, in the feed or the table itself, and in tombstones.
    Keys,
    /// By values of its touch columns, in a feed of their own.
    Values(String),
}

/// `None` = the table, or one of its columns, is not there.
pub(super) async fn types<C: GenericClient>(client: &C, mapping: &Mapping) -> Result<Option<Types>, Error> {
    let mut names = mapping.source_key();
    names.push(&mapping.source.tenant);
    let sql = "select format_type(a.atttypid, a.atttypmod)
               from unnest($2::text[]) with ordinality as k (name, at)
               join pg_attribute a on a.attname = k.name and a.attnum > 0 and not a.attisdropped
               where a.attrelid = to_regclass($1)
               order by k.at";
    let rows = kept(client, sql, &[&mapping.source.relation(), &names]).await?;
    let mut key: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let complete = key.len() == names.len();
    let tenant = key.pop().unwrap_or_default();
    let touches = touchings(client, mapping).await?;
    Ok(complete.then_some(Types { key, tenant, touches }))
}

async fn touchings<C: GenericClient>(client: &C, mapping: &Mapping) -> Result<Vec<Touching>, Error> {
    let mut found = Vec::new();
    for touch in &mapping.touches {
        let columns: Vec<&str> = touch.on.iter().map(|(theirs, _)| theirs.as_str()).collect();
        let by_values =
            r#"select 1 from "TrackedTable" k where k."name" = $1 and not $2::text[] <@ k."keyColumns""#;
        let by_values =
            touch.is_tracked() && !kept(client, by_values, &[&touch.table, &columns]).await?.is_empty();
        found.push(if by_values { Touching::Values(touch_feed(&touch.table)) } else { Touching::Keys });
    }
    Ok(found)
}

/// The statement for one mapping. Below which transaction nothing of a tenancy waits is asked once: the function takes as
/// long as all else of a look-up. `$1` tenancies, `$2` watermarks, `$3` whether a turn has set it up, `$4`
/// whether it is filled, `$5` the fill's position as a JSON array. No count exceeds `backlog_max` by more than one.
pub(super) fn statement(mapping: &Mapping, types: &Types, backlog_max: i64) -> String {
    let limit = backlog_max + 1;
    let arms = if mapping.source.is_tracked() {
        pointers(mapping, types, limit)
    } else {
        flagged_rows(mapping, limit)
    };
    let Arms { changed, flagged, rest, counted } = arms;
    let table_text = quote_literal(&mapping.source.table);
    let (key, position) = key_and_position(mapping, &types.key);
    let touched = touched(mapping, &types.touches, limit);
    let waiting = waits_for_id("d");
    format!(
        r#"
select rows.n, rows.first_id, gone.n, gone.first_id, flagged.n, flagged.first_xid, flagged_gone.n,
       flagged_gone.first_xid, touched.n, touched.first_xid, unfilled.n, unfilled.scanned, touched.first_id
from (select u.*, tail_start(u.tenancy) as tail
      from unnest($1::uuid[], $2::int8[], $3::bool[], $4::bool[], $5::text[]) with ordinality
          as u (tenancy, mark, set_up, filling, position, at) offset 0) as t
cross join lateral ({changed}) as rows
cross join lateral (
    select count(*) as n, min(q.id) as first_id from (
        select d."sequenceId" as id from "DeletedRow" d
        where t.set_up and d."tenancyId" = t.tenancy and d."tableName" = {table_text} and d."sequenceId" > t.mark
        order by d."sequenceId" limit {limit}) q) as gone
cross join lateral ({flagged}) as flagged
cross join lateral (
    select count(*) as n, min(q.xid) as first_xid from (
        select d."changedBy"::text::int8 as xid from "DeletedRow" d
        where t.set_up and d."tenancyId" = t.tenancy and {waiting}
          and d."changedBy" >= t.tail and d."tableName" = {table_text}
        order by d."changedBy" limit {limit}) q) as flagged_gone
cross join lateral ({touched}) as touched
cross join lateral (
    select count(*) filter (where not q.counted) as n, count(*) as scanned from (
        (select {counted} as counted {rest} and t.position is null limit {limit})
        union all
        (select {counted} {rest} and t.position is not null and ({key}) > ({position}) limit {limit})) q) as unfilled
order by t.at"#
    )
}

/// What differs between a relation that carries the sequence columns and a tracked table.
struct Arms {
    /// What has an id above the watermark.
    changed: String,
    /// What has no newer id yet.
    flagged: String,
    /// From where the rows are counted that a fill has not reached.
    rest: String,
    /// Whether such a row is among the others.
    counted: &'static str,
}

fn flagged_rows(mapping: &Mapping, limit: i64) -> Arms {
    let table = mapping.source.relation();
    let tenant = format!("s.{}", quote_ident(&mapping.source.tenant));
    Arms {
        changed: format!(
            r#"
    select count(*) as n, min(q.id) as first_id from (
        select s."sequenceId" as id from {table} s where {tenant} = t.tenancy and s."sequenceId" > t.mark
        order by s."sequenceId" limit {limit}) q"#
        ),
        flagged: format!(
            r#"
    select count(*) as n, min(q.xid) as first_xid from (
        select s."changedBy"::text::int8 as xid from {table} s
        where {tenant} = t.tenancy and {} and s."changedBy" >= t.tail
          and (s."sequenceId" is null or s."sequenceId" <= t.mark)
        order by s."changedBy" limit {limit}) q"#,
            waits_for_id("s")
        ),
        rest: format!("from {table} s where t.filling and {tenant} = t.tenancy"),
        counted: r#"s."shouldUpdateSequenceId" or coalesce(s."sequenceId" > t.mark, false)"#,
    }
}

/// A row that was changed several times is one row; those that a fill has yet to reach are all counted.
fn pointers(mapping: &Mapping, types: &Types, limit: i64) -> Arms {
    let name = quote_literal(&mapping.source.table);
    Arms {
        changed: format!(
            r#"
    select case when count(*) >= {limit} then count(*) else count(distinct q.key) end as n, min(q.id) as first_id from (
        select c."sequenceId" as id, c."primaryKey" as key from "ChangedRow" c
        where t.set_up and c."tenancyId" = t.tenancy and c."tableName" = {name} and c."sequenceId" > t.mark
        order by c."sequenceId" limit {limit}) q"#
        ),
        flagged: format!(
            r#"
    select case when count(*) >= {limit} then count(*) else count(distinct q.key) end as n, min(q.xid) as first_xid from (
        select c."changedBy"::text::int8 as xid, c."primaryKey" as key from "ChangedRow" c
        where t.set_up and c."tenancyId" = t.tenancy and {}
          and c."changedBy" >= t.tail and c."tableName" = {name}
        order by c."changedBy" limit {limit}) q"#,
            waits_for_id("c")
        ),
        rest: format!(
            "from {} s where (t.filling or not t.set_up) and {}",
            mapping.source.relation(),
            of_tenant(&mapping.source.tenant, &types.tenant, "t.tenancy")
        ),
        counted: "false",
    }
}

/// The key's columns, and the fill's position cast to their types; compared as the fill walks them.
fn key_and_position(mapping: &Mapping, key_types: &[String]) -> (String, String) {
    let columns = key_columns(mapping).into_iter().zip(key_types);
    let pairs = columns.enumerate().map(|(at, (column, kind))| {
        (column.of_row(kind), column.of_text(&format!("t.position::jsonb ->> {at}"), kind))
    });
    let (key, position): (Vec<_>, Vec<_>) = pairs.unzip();
    (key.join(", "), position.join(", "))
}

/// Rows of a tenant in a mapping's source; `here` is a relation `t` with `tenancy` and `position`.
pub(super) fn of_mapping(mapping: &Mapping, types: &Types, here: &str) -> String {
    let tenant = if mapping.source.is_tracked() {
        of_tenant(&mapping.source.tenant, &types.tenant, "t.tenancy")
    } else {
        format!("s.{} = t.tenancy", quote_ident(&mapping.source.tenant))
    };
    format!("select from {here}, {} s where {tenant}", mapping.source.relation())
}

/// Whether such a row lies behind the position.
pub(super) fn behind_position(mapping: &Mapping, types: &Types) -> String {
    let (key, position) = key_and_position(mapping, &types.key);
    format!("({key}) > ({position})")
}

/// Rows and tombstones of the tables whose changes touch rows of this mapping: those that have no id yet, and, where
/// no touched row gets an id of its own, those above the watermark.
fn touched(mapping: &Mapping, touchings: &[Touching], limit: i64) -> String {
    let mut arms = Vec::new();
    for (touch, touching) in mapping.touches.iter().zip(touchings) {
        let recorded =
            |feed: &str| format!(r#"r."tenancyId" = t.tenancy and r."tableName" = {}"#, quote_literal(feed));
        let in_feed = |feed: &str| (r#""ChangedRow""#.to_owned(), recorded(feed));
        let gone = || (r#""DeletedRow""#.to_owned(), recorded(&touch.table));
        let relations = match touching {
            Touching::Values(feed) => vec![in_feed(feed)],
            Touching::Keys if touch.is_tracked() => vec![in_feed(&touch.table), gone()],
            Touching::Keys => {
                let of_tenant = format!("r.{} = t.tenancy", quote_ident(&touch.tenant));
                vec![(quote_ident(&touch.table), of_tenant), gone()]
            }
        };
        for (relation, condition) in relations {
            arms.push(format!(
                r#"
        (select null::int8 as id, r."changedBy"::text::int8 as xid from {relation} r
         where t.set_up and {condition} and {} and r."changedBy" >= t.tail
         order by r."changedBy" limit {limit})"#,
                waits_for_id("r")
            ));
            if touch.is_tracked() {
                arms.push(format!(
                    r#"
        (select r."sequenceId", null::int8 from {relation} r
         where t.set_up and {condition} and r."sequenceId" > t.mark order by r."sequenceId" limit {limit})"#
                ));
            }
        }
    }
    if arms.is_empty() {
        return "select 0::int8 as n, null::int8 as first_id, null::int8 as first_xid".to_owned();
    }
    let arms = arms.join(" union all ");
    format!("select count(*) as n, min(q.id) as first_id, min(q.xid) as first_xid from ({arms}) q")
}

/// Runs a [`statement`] for these tenancies; one answer each, in the same order.
pub(super) async fn count(
    snapshot: &Transaction<'_>,
    statement: &str,
    asked: &[(Uuid, &Progress)],
    backlog_max: i64,
) -> Result<Vec<Counts>, Error> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let tenancies: Vec<Uuid> = asked.iter().map(|(tenancy, _)| *tenancy).collect();
    let marks: Vec<i64> = asked.iter().map(|(_, p)| p.watermark).collect();
    let set_up: Vec<bool> = asked.iter().map(|(_, p)| p.set_up).collect();
    let filling: Vec<bool> = asked.iter().map(|(_, p)| p.filling).collect();
    let positions: Vec<Option<&str>> = asked.iter().map(|(_, p)| p.fill_position.as_deref()).collect();
    let rows = kept(snapshot, statement, &[&tenancies, &marks, &set_up, &filling, &positions]).await?;
    rows.iter().map(|row| read(row, backlog_max)).collect()
}

fn read(row: &Row, backlog_max: i64) -> Result<Counts, Error> {
    let number = |at: usize| row.try_get::<_, i64>(at);
    let maybe = |at: usize| row.try_get::<_, Option<i64>>(at);
    let (rows, gone, flagged, flagged_gone) = (number(0)?, number(2)?, number(4)?, number(6)?);
    let (touched, unfilled, scanned) = (number(8)?, number(10)?, number(11)?);
    let longest = [rows, gone, flagged, flagged_gone, touched, scanned].into_iter().max().unwrap_or(0);
    Ok(Counts {
        sequenced: rows + gone,
        first_id: [maybe(1)?, maybe(3)?, maybe(12)?].into_iter().flatten().min(),
        // A new user with its channel is one change of a user, not two.
        flagged: (flagged + flagged_gone).max(touched),
        first_xid: [maybe(5)?, maybe(7)?, maybe(9)?].into_iter().flatten().min(),
        unfilled,
        cut: longest > backlog_max,
        unknown: false,
    })
}
