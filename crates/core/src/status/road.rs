//! How the road is doing as a whole. Each statement looks at a bounded number of rows, however many tenants there are.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::db::{kept, kept_one};
use crate::mapping::names::{quote_ident, quote_literal};
use crate::sequence::waits_for_id;

/// What waits for an id is counted up to here, in each relation.
pub const PENDING_MAX: i64 = 5_000;
/// One more tells that there are more.
const LOOKED_MAX: i64 = PENDING_MAX + 1;
/// Most workers that are listed.
const WORKERS_MAX: i64 = 1_000;
/// A worker that was not seen for this long is gone.
pub const WORKER_GONE_AFTER: Duration = Duration::from_secs(30);

/// The sequencer's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequencing {
    /// The newest entry of the ledger; `None` = there was no pass yet.
    pub last_pass: Option<Pass>,
    /// Tenancies that a pass could not finish, at most [`PENDING_MAX`].
    pub backlog_tenancies: i64,
    /// Rows that refuse their id, at most [`PENDING_MAX`].
    pub parked_rows: i64,
    /// Each relation whose changes get ids.
    pub relations: Vec<Relation>,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Its number.
    pub number: i64,
    /// When it ended.
    pub at: OffsetDateTime,
    /// The highest id ever given.
    pub last_sequence_id: i64,
}

/// What waits in one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// Rows without an id, at most [`PENDING_MAX`] + 1.
    pub pending: i64,
    /// No row that waits was changed before this.
    pub oldest_pending_at: Option<OffsetDateTime>,
    /// The highest id of the tenancy's rows. Of all tenancies: among those of the hundred targets that were visited last,
    /// because only a tenancy's ids are indexed.
    pub highest_sequence_id: Option<i64>,
}

/// What waits for an id, of one tenancy or of all.
///
/// # Errors
/// Postgres does.
pub async fn sequencing<C: GenericClient>(client: &C, tenancy_id: Option<Uuid>) -> Result<Sequencing, Error> {
    let (last_pass, counts, names) = tokio::try_join!(
        last_pass(client),
        async {
            let sql = format!(
                r#"
select (select count(*) from (
            select from "SequencerBacklog" b where $1::uuid is null or b."tenancyId" = $1 limit {PENDING_MAX}) q),
       (select count(*) from (
            select from "ParkedRow" k where $1::uuid is null or k."tenancyId" = $1 limit {PENDING_MAX}) q)"#
            );
            kept_one(client, &sql, &[&tenancy_id]).await
        },
        kept(client, r#"select "relation" from "SequencedRelation" order by "ordinal""#, &[]),
    )?;
    let names: Vec<String> = names.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let relations = if names.is_empty() { Vec::new() } else { relations(client, &names, tenancy_id).await? };
    Ok(Sequencing {
        last_pass,
        backlog_tenancies: counts.try_get(0)?,
        parked_rows: counts.try_get(1)?,
        relations,
    })
}

async fn last_pass<C: GenericClient>(client: &C) -> Result<Option<Pass>, Error> {
    let sql = r#"select "pass", "at", "lastSequenceId" from "SequencerPass" order by "pass" desc limit 1"#;
    let pass = |row: Row| {
        Ok(Pass { number: row.try_get(0)?, at: row.try_get(1)?, last_sequence_id: row.try_get(2)? })
    };
    kept(client, sql, &[]).await?.into_iter().next().map(pass).transpose()
}

/// From the transaction on that the ledger says, because below it an index may be full of entries that are dead and not
/// vacuumed yet. Leftovers of tenancies that a pass did not finish begin earlier.
const FROM_XID: &str = r#"
select coalesce((select x from (
    (select p."fromXid" as x from (select * from "SequencerPass" order by "pass" desc limit 1) p
     where p."fromXid" <= pg_snapshot_xmax(pg_current_snapshot()))
    union all
    (select r.x from (select * from "SequencerPass" order by "pass" desc limit 1) p, unnest(p."revisit") as r (x))
    union all
    (select b."fromXid" from (select "fromXid" from "SequencerBacklog" limit 1000) b)) q
    where exists (select from "SequencerPass")
    order by x limit 1), '0'::xid8) as x"#;

/// Tenancies in which something happened lately.
const VISITED: &str = r#"
select distinct e."tenancyId" as tenancy from (
    select e."tenancyId" from "ExternalDatabase" e where e."state" <> 'paused' order by e."nextVisitAt" desc limit 100) e"#;

async fn relations<C: GenericClient>(
    client: &C,
    names: &[String],
    tenancy_id: Option<Uuid>,
) -> Result<Vec<Relation>, Error> {
    let arms = names.iter().map(|name| {
        let (relation, literal) = (quote_ident(name), quote_literal(name));
        let (condition, highest) = match tenancy_id {
            None => (
                r#"r."shouldUpdateSequenceId" and r."changedBy" is distinct from '0' and r."changedBy" >= f.x"#
                    .to_owned(),
                format!(
                    "(select max(h.id) from visited v cross join lateral (select {} as id) h)",
                    highest(name, &relation, "v.tenancy")
                ),
            ),
            Some(_) => (
                format!(r#"r."tenancyId" = $1 and {} and r."changedBy" >= f.x"#, waits_for_id("r")),
                highest(name, &relation, "$1"),
            ),
        };
        format!(
            r#"
select {literal}::text, q.n, (
           select p."at" from "SequencerPass" p where p."fromXid" <= q.oldest order by p."pass" desc limit 1),
       {highest}
from (select count(*) as n from from_xid f cross join lateral (
          select from {relation} r where {condition} order by r."changedBy" limit {LOOKED_MAX}) r) c,
     lateral (select c.n, (select r.x from from_xid f cross join lateral (
          select r."changedBy" as x from {relation} r where {condition} order by r."changedBy" limit 1) r) as oldest) q"#
        )
    });
    let sql = format!(
        "with from_xid as materialized ({FROM_XID}), visited as materialized ({VISITED}) {}",
        arms.collect::<Vec<_>>().join(" union all ")
    );
    let rows = match tenancy_id {
        Some(id) => kept(client, &sql, &[&id]).await?,
        None => kept(client, &sql, &[]).await?,
    };
    rows.iter()
        .map(|row| {
            Ok(Relation {
                name: row.try_get(0)?,
                pending: row.try_get(1)?,
                oldest_pending_at: row.try_get(2)?,
                highest_sequence_id: row.try_get(3)?,
            })
        })
        .collect()
}

/// The two feeds are indexed with the table in between, so it hops from table to table.
fn highest(name: &str, relation: &str, tenancy: &str) -> String {
    if !matches!(name, "DeletedRow" | "ChangedRow") {
        return format!(
            r#"(select r."sequenceId" from {relation} r where r."tenancyId" = {tenancy} and r."sequenceId" is not null
                order by r."sequenceId" desc limit 1)"#
        );
    }
    format!(
        r#"(with recursive t as (
              (select r."tableName" as name from {relation} r where r."tenancyId" = {tenancy} and r."sequenceId" is not null
               order by r."tableName" limit 1)
              union all
              select n.* from t cross join lateral (
                  select r."tableName" from {relation} r where r."tenancyId" = {tenancy} and r."sequenceId" is not null
                    and r."tableName" > t.name order by r."tableName" limit 1) n)
            select max(m.id) from t cross join lateral (
                select r."sequenceId" as id from {relation} r where r."tenancyId" = {tenancy} and r."tableName" = t.name
                  and r."sequenceId" is not null order by r."sequenceId" desc limit 1) m)"#
    )
}

/// A running worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerLine {
    /// `<host>-<pid>-<random>`
    pub id: String,
    /// Its program.
    pub kind: String,
    /// Its version.
    pub version: String,
    /// When it started.
    pub started_at: OffsetDateTime,
    /// Its last heartbeat.
    pub last_seen_at: OffsetDateTime,
    /// Age of that.
    pub silent: Duration,
    /// What it wrote of itself.
    pub details: serde_json::Value,
}

/// The workers that were seen within a minute, by kind and id; at most a thousand.
///
/// # Errors
/// Postgres does.
pub async fn workers<C: GenericClient>(client: &C) -> Result<Vec<WorkerLine>, Error> {
    let sql = format!(
        r#"
select w.*, extract(epoch from now() - w."lastSeenAt")::float8 from (
    select "id", "kind", "version", "startedAt", "lastSeenAt", "details" from "WorkerHeartbeat"
    where "lastSeenAt" > now() - interval '1 minute' order by "lastSeenAt" desc limit {WORKERS_MAX}) w
order by w."kind", w."id""#
    );
    let rows = kept(client, &sql, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(WorkerLine {
                id: row.try_get(0)?,
                kind: row.try_get(1)?,
                version: row.try_get(2)?,
                started_at: row.try_get(3)?,
                last_seen_at: row.try_get(4)?,
                details: row.try_get(5)?,
                silent: Duration::from_secs_f64(row.try_get::<_, f64>(6)?.max(0.0)),
            })
        })
        .collect()
}

/// The highest watermark of each mapping: over all targets when the installation was looked at last ([`crate::observe`]), or
/// among those that were visited last (at most `targets`), if one of them is further by now.
///
/// # Errors
/// Postgres does.
pub async fn highest_watermarks<C: GenericClient>(
    client: &C,
    targets: i64,
) -> Result<Vec<(String, i64)>, Error> {
    let sql = format!(
        r#"
select q.name, max(q.id) from (
    select s."mappingName" as name, s."lastSyncedSequenceId" as id
    from (select e."tenancyId", e."id" from "ExternalDatabase" e where e."state" <> 'paused'
          order by e."nextVisitAt" desc limit {targets}) e
    cross join lateral (select * from "SyncState" s where s."tenancyId" = e."tenancyId" and s."databaseId" = e."id"
                        offset 0) s
    union all
    select w.key, w.value::int8 from "CacheEntry" c
    cross join lateral jsonb_each_text(coalesce(c.payload -> 'watermarks', '{{}}')) w
    where c.namespace = 'observation' and c."cacheKey" = 'installation') q
group by 1 order by 1"#
    );
    let rows = kept(client, &sql, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
