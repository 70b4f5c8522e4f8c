//! Rows that targets refuse, as "RefusedRow" has them: every statement on it.
//!
//! The truth is `_sync_refused` in the target. A turn that finds another digest there than "SyncState" has writes the copy
//! anew, so whatever became of a worker in between, the next turn mends it. It goes with its target and mapping.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use crate::outbox::TargetKey;

/// A row that a target refuses.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedRow {
    /// The mapping.
    pub mapping: String,
    /// Its key: a JSON object of the target's key columns, as text.
    pub key: String,
    /// Five letters and digits; empty where the server gave none.
    pub sqlstate: String,
    /// Why, in our words.
    pub reason: String,
    /// Since when.
    pub refused_at: OffsetDateTime,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried again.
    pub retry_at: OffsetDateTime,
}

/// All that a target refuses of one mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedOf {
    /// The mapping.
    pub mapping: String,
    /// What a later turn compares with; `None` = the target refuses nothing.
    pub digest: Option<String>,
    /// The rows, in their order.
    pub rows: Vec<RefusedRow>,
}

const REPLACE: &str = r#"
with known as materialized (
    select s."mappingName", n.digest from unnest($3::text[], $4::text[]) as n (mapping, digest)
    join "SyncState" s on s."tenancyId" = $1 and s."databaseId" = $2 and s."mappingName" = n.mapping
    order by 1 for update of s
), given as materialized (
    select g.* from unnest($5::text[], $6::int4[], $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::int4[],
                           $12::timestamptz[]) as g (mapping, place, key, state, reason, since, attempts, next)
    where g.mapping in (select k."mappingName" from known k)
), gone as (
    delete from "RefusedRow" r using known k
    where r."tenancyId" = $1 and r."databaseId" = $2 and r."mappingName" = k."mappingName"
      and r."place" >= (select count(*) from given g where g.mapping = k."mappingName")
), written as (
    insert into "RefusedRow" as r ("tenancyId", "databaseId", "mappingName", "place", "key", "sqlState", "reason",
                                   "refusedAt", "attempts", "retryAt")
    select $1, $2, g.mapping, g.place, g.key::jsonb, g.state, g.reason, g.since, g.attempts, g.next from given g
    on conflict ("tenancyId", "databaseId", "mappingName", "place") do update set
        "key" = excluded."key", "sqlState" = excluded."sqlState", "reason" = excluded."reason",
        "refusedAt" = excluded."refusedAt", "attempts" = excluded."attempts", "retryAt" = excluded."retryAt"
)
update "SyncState" s set "refusedDigest" = k.digest from known k
where s."tenancyId" = $1 and s."databaseId" = $2 and s."mappingName" = k."mappingName""#;

/// Makes the copy of these mappings what it is given. A target or mapping that is not known (any more) is left out.
///
/// # Errors
/// Postgres does.
pub async fn replace<C: GenericClient>(
    client: &C,
    target: &TargetKey,
    refused: &[RefusedOf],
) -> Result<(), Error> {
    if refused.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = refused.iter().map(|one| one.mapping.as_str()).collect();
    let digests: Vec<Option<&str>> = refused.iter().map(|one| one.digest.as_deref()).collect();
    let rows = || refused.iter().flat_map(|one| (0_i32..).zip(&one.rows));
    let mappings: Vec<&str> = rows().map(|(_, row)| row.mapping.as_str()).collect();
    let places: Vec<i32> = rows().map(|(place, _)| place).collect();
    let keys: Vec<&str> = rows().map(|(_, row)| row.key.as_str()).collect();
    let states: Vec<&str> = rows().map(|(_, row)| row.sqlstate.as_str()).collect();
    let reasons: Vec<&str> = rows().map(|(_, row)| row.reason.as_str()).collect();
    let since: Vec<OffsetDateTime> = rows().map(|(_, row)| row.refused_at).collect();
    let attempts: Vec<i32> = rows().map(|(_, row)| row.attempts).collect();
    let next: Vec<OffsetDateTime> = rows().map(|(_, row)| row.retry_at).collect();
    let parameters: [&(dyn ToSql + Sync); 12] = [
        &target.tenancy_id,
        &target.database_id,
        &names,
        &digests,
        &mappings,
        &places,
        &keys,
        &states,
        &reasons,
        &since,
        &attempts,
        &next,
    ];
    client.execute(REPLACE, &parameters).await?;
    Ok(())
}

/// Where a list goes on: behind a row of this place in the order, which may be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCursor {
    /// The mapping.
    pub mapping: String,
    /// Since when, in microseconds.
    pub refused_at: i64,
    /// Of the key.
    pub hash: i64,
}

/// Rows that a target refuses, by mapping and then those that wait longest first, and where the list goes on. Of all
/// mappings, or of these.
///
/// # Errors
/// Postgres does.
pub async fn list<C: GenericClient>(
    client: &C,
    target: &TargetKey,
    mappings: Option<&[String]>,
    after: Option<&RefusedCursor>,
    limit: i64,
) -> Result<(Vec<RefusedRow>, Option<RefusedCursor>), Error> {
    let sql = r#"
select q.* from (
    select r."mappingName" collate "C" as mapping, r."key"::text, r."sqlState", r."reason", r."refusedAt", r."attempts", r."retryAt",
           (extract(epoch from r."refusedAt") * 1000000)::int8 as since, hashtextextended(r."key"::text, 0) as hash
    from "RefusedRow" r
    where r."tenancyId" = $1 and r."databaseId" = $2 and ($3::text[] is null or r."mappingName" = any ($3))) q
where $4::text is null or (q.mapping, q.since, q.hash) > ($4, $5::int8, $6::int8)
order by q.mapping, q.since, q.hash limit $7"#;
    let more = limit + 1;
    let (name, since, hash) = match after {
        Some(after) => (Some(&after.mapping), after.refused_at, after.hash),
        None => (None, 0, 0),
    };
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&target.tenancy_id, &target.database_id, &mappings, &name, &since, &hash, &more];
    let rows = client.query(sql, &parameters).await?;
    let kept = usize::try_from(limit).unwrap_or(usize::MAX).min(rows.len());
    let mut found = Vec::with_capacity(kept);
    for row in rows.iter().take(kept) {
        found.push(RefusedRow {
            mapping: row.try_get(0)?,
            key: row.try_get(1)?,
            sqlstate: row.try_get(2)?,
            reason: row.try_get(3)?,
            refused_at: row.try_get(4)?,
            attempts: row.try_get(5)?,
            retry_at: row.try_get(6)?,
        });
    }
    let next = match rows.get(kept.saturating_sub(1)) {
        Some(row) if rows.len() > kept => Some(RefusedCursor {
            mapping: row.try_get(0)?,
            refused_at: row.try_get(7)?,
            hash: row.try_get(8)?,
        }),
        _ => None,
    };
    Ok((found, next))
}
