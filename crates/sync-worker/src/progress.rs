//! What the internal database knows of a target: its settings before a turn, its progress and state after it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::Object;
use tenant_sync_core::config::Sync as SyncConfig;
use tenant_sync_core::outbox::TargetKey;
use tenant_sync_core::target::class::{Breaker, TargetFault};
use tokio_postgres::{Error, Row};

use crate::plan::Plan;
use crate::source::Compare;
use crate::target::settle;
use crate::turn::Report;

/// Between two ranges that are compared, where `sync.heartbeat` does not say it.
const COMPARE_PAUSE: Duration = Duration::from_secs(30);

/// The settings of a target.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) sealed: Option<(String, Vec<u8>)>,
    pub(crate) schema: Option<String>,
    /// Names of its mappings; `None` = all.
    pub(crate) mappings: Option<Vec<String>>,
    pub(crate) readers: Vec<String>,
    pub(crate) root_certificates: Option<String>,
    pub(crate) paused: bool,
    pub(crate) failures: i32,
    /// Mappings that an operator wants filled again.
    pub(crate) fill_requested: HashSet<String>,
    /// Of what each mapping is known to refuse, where it refuses anything.
    pub(crate) refused_digests: HashMap<String, String>,
    /// The mapping whose turn it is to be compared, and the key after which that goes on.
    compare: Option<Comparing>,
}

/// Name of a mapping, and the key after which its comparison goes on.
type Comparing = (String, Option<Vec<String>>);

impl Settings {
    /// What is to be compared on the side, if it is among these mappings.
    pub(crate) fn compare_in(&self, plans: &[&Plan]) -> Option<Compare> {
        let (name, from) = self.compare.as_ref()?;
        let at = plans.iter().position(|plan| plan.name() == name)?;
        // A mapping that has got another key begins anew.
        let from = from.clone().filter(|position| position.len() == plans[at].key.len());
        Some(Compare { at, from })
    }
}

/// Reads the settings; `None` = there is no such target (any more).
pub(crate) async fn settings(
    client: &Object,
    target: &TargetKey,
    sync: &SyncConfig,
) -> Result<Option<Settings>, Error> {
    let statement = client
        .prepare_cached(
            r#"select d."keyId", d."connectionString", d."schema", d."mappings", d."readRoles", d."caCertificates",
                      d."state" = 'paused', d."consecutiveFailures",
                      coalesce((select array_agg(s."mappingName") from "SyncState" s where s."tenancyId" = d."tenancyId"
                                and s."databaseId" = d."id" and s."fillRequested"), '{}'),
                      c."mappingName", c."comparePosition",
                      (select json_object_agg(s."mappingName", s."refusedDigest")::text from "SyncState" s
                       where s."tenancyId" = d."tenancyId" and s."databaseId" = d."id" and s."refusedDigest" is not null)
               from "ExternalDatabase" d
               left join lateral (
                 select s."mappingName", s."comparePosition"::text from "SyncState" s
                 where s."tenancyId" = d."tenancyId" and s."databaseId" = d."id" and not s."filling" and $3::float8 > 0
                   and s."comparedAt" < now() - interval '1 second' * case
                     when s."comparePosition" is not null then $4::float8
                     -- Targets that were made together drift apart.
                     else $3::float8 * (0.9 + 0.2 * (hashtext(d."tenancyId"::text || d."id") & 1023) / 1023.0) end
                 order by s."comparedAt" limit 1) c on true
               where d."tenancyId" = $1 and d."id" = $2"#,
        )
        .await?;
    let pause = if sync.heartbeat.is_zero() { COMPARE_PAUSE } else { sync.heartbeat / 2 };
    let (interval, pause) = (sync.compare_interval.as_secs_f64(), pause.as_secs_f64());
    let found =
        client.query_opt(&statement, &[&target.tenancy_id, &target.database_id, &interval, &pause]).await?;
    let Some(row) = found else { return Ok(None) };
    let key: Option<String> = row.try_get(0)?;
    let sealed: Option<Vec<u8>> = row.try_get(1)?;
    Ok(Some(Settings {
        sealed: key.zip(sealed),
        schema: row.try_get(2)?,
        mappings: row.try_get(3)?,
        readers: row.try_get(4)?,
        root_certificates: row.try_get(5)?,
        paused: row.try_get(6)?,
        failures: row.try_get(7)?,
        fill_requested: row.try_get::<_, Vec<String>>(8)?.into_iter().collect(),
        refused_digests: digests(&row)?,
        compare: compare(&row)?,
    }))
}

fn digests(row: &Row) -> Result<HashMap<String, String>, Error> {
    let text: Option<String> = row.try_get(11)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

fn compare(row: &Row) -> Result<Option<Comparing>, Error> {
    let (name, position): (Option<String>, Option<String>) = (row.try_get(9)?, row.try_get(10)?);
    Ok(name.map(|name| (name, position.and_then(|text| serde_json::from_str(&text).ok()))))
}

const RECORD: &str = r#"insert into "SyncState" as s ("tenancyId", "databaseId", "mappingName", "lastSyncedSequenceId",
      "completeAsOf", "mappingVersion", "filling", "fillPosition", "rowsWritten", "refusedRows")
    select $1, $2, v.name, v.mark, case when not v.filling then $3::timestamptz end, v.version, v.filling,
      v.position::jsonb, v.rows, v.refused
    from unnest($4::text[], $5::int8[], $6::int4[], $7::bool[], $8::int8[], $9::int4[], $10::bool[], $11::text[])
      as v (name, mark, version, filling, rows, refused, asked, position)
    where exists (select from "ExternalDatabase" d where d."tenancyId" = $1 and d."id" = $2 for key share)
    on conflict ("tenancyId", "databaseId", "mappingName") do update set
      "lastSyncedSequenceId" = excluded."lastSyncedSequenceId",
      "completeAsOf" = coalesce(excluded."completeAsOf", s."completeAsOf"),
      "mappingVersion" = excluded."mappingVersion", "filling" = excluded."filling",
      "fillPosition" = excluded."fillPosition",
      "fillStartedAt" = case
        when excluded."filling" and not (s."filling" or s."fillRequested") then now()
        when excluded."filling" or (s."fillRequested" and not $10[array_position($4::text[], s."mappingName")])
          then s."fillStartedAt" end,
      "rowsWritten" = s."rowsWritten" + excluded."rowsWritten", "refusedRows" = excluded."refusedRows",
      -- A fill compares, too.
      "comparedAt" = case when excluded."filling" or s."filling" or excluded."mappingName" = $12 then now()
                          else s."comparedAt" end,
      "comparePosition" = case when excluded."filling" then null when excluded."mappingName" = $12 then $13::text::jsonb
                               else s."comparePosition" end,
      "fillRequested" = s."fillRequested" and not $10[array_position($4::text[], s."mappingName")],
      "updatedAt" = now()"#;

const SUCCEEDED: &str = r#"update "ExternalDatabase" set "lastSuccessAt" = now(), "consecutiveFailures" = 0, "nextAttemptAt" = null,
      "lastError" = null, "lastErrorClass" = null,
      "state" = case when "state" = 'paused' then 'paused' else 'ok' end,
      "nextVisitAt" = case when $3 then least("nextVisitAt", now() + interval '10 seconds') else "nextVisitAt" end
    where "tenancyId" = $1 and "id" = $2
      and ($3 or "state" <> 'ok' or "lastError" is not null or "lastSuccessAt" is null
           or "lastSuccessAt" < now() - interval '10 seconds')"#;

/// Inside of the pass that gave an id: the first one that had come so far.
const SINCE_GIVEN: &str = r#"select extract(epoch from clock_timestamp() - p."at")::float8 from "SequencerPass" p
    where p."pass" > coalesce((select q."pass" from "SequencerPass" q where q."lastSequenceId" < $1
                               order by q."pass" desc limit 1), 0) and p."lastSequenceId" >= $1
    order by p."pass" limit 1"#;

/// Prepares what a turn that went well says, so that it can be said in one go.
pub(crate) async fn prepare(client: &Object) -> Result<(), Error> {
    client.prepare_cached(RECORD).await?;
    client.prepare_cached(SUCCEEDED).await?;
    client.prepare_cached(SINCE_GIVEN).await?;
    Ok(())
}

/// Records what a turn did, for status and sweep. The truth is in the target.
pub(crate) async fn record(
    client: &Object,
    target: &TargetKey,
    plans: &[&Plan],
    settings: &Settings,
    report: &Report,
) -> Result<(), Error> {
    let statement = client.prepare_cached(RECORD).await?;
    let names: Vec<&str> = plans.iter().map(|plan| plan.name()).collect();
    let marks: Vec<i64> = report.cursors.iter().map(|cursor| cursor.watermark).collect();
    let versions: Vec<i32> = plans.iter().map(|plan| plan.mapping.version).collect();
    let filling: Vec<bool> = report.cursors.iter().map(crate::source::Cursor::filling).collect();
    // Rows are counted for the target as a whole; its first mapping stands for it.
    let rows: Vec<i64> = (0..plans.len())
        .map(|at| if at == 0 { i64::try_from(report.rows).unwrap_or(0) } else { 0 })
        .collect();
    let refused: Vec<i32> = report.refused.iter().map(|n| i32::try_from(*n).unwrap_or(i32::MAX)).collect();
    let positions: Vec<Option<String>> = report.cursors.iter().map(settle::position).collect();
    let compared = report.compared.as_ref().map(|compared| plans[compared.at].name());
    let next = report.compared.as_ref().and_then(|compared| compared.from.as_ref());
    let next = next.and_then(|position| serde_json::to_string(position).ok());
    let asked: Vec<bool> = names.iter().map(|name| settings.fill_requested.contains(*name)).collect();
    client
        .execute(
            &statement,
            &[
                &target.tenancy_id,
                &target.database_id,
                &report.complete_as_of,
                &names,
                &marks,
                &versions,
                &filling,
                &rows,
                &refused,
                &asked,
                &positions,
                &compared,
                &next,
            ],
        )
        .await?;
    Ok(())
}

/// The target took a turn: its breaker closes. One that refuses rows is visited again soon, to try those again.
pub(crate) async fn succeeded(client: &Object, target: &TargetKey, refuses_rows: bool) -> Result<(), Error> {
    let statement = client.prepare_cached(SUCCEEDED).await?;
    client.execute(&statement, &[&target.tenancy_id, &target.database_id, &refuses_rows]).await?;
    Ok(())
}

/// Seconds since the pass that gave this id (at least, if the ledger of passes is younger), by the database's clock;
/// `None` = no pass has.
pub(crate) async fn since_given(client: &Object, id: i64) -> Result<Option<f64>, Error> {
    let statement = client.prepare_cached(SINCE_GIVEN).await?;
    client.query_opt(&statement, &[&id]).await?.map(|row| row.try_get(0)).transpose()
}

/// The target failed. Its retry row is its breaker; here is what is shown of it.
pub(crate) async fn failed(
    client: &Object,
    target: &TargetKey,
    fault: &TargetFault,
    wait: Duration,
    breaker_failures: i32,
) -> Result<(), Error> {
    let (counted, at_least) = match fault.class.policy().breaker {
        Breaker::Untouched => (0, "retrying"),
        Breaker::Counts => (1, "retrying"),
        Breaker::Opens => (1, "broken"),
        Breaker::Refuses => (1, "refused"),
    };
    let statement = client
        .prepare_cached(
            r#"update "ExternalDatabase" set "consecutiveFailures" = "consecutiveFailures" + $3,
                 "lastError" = $4, "lastErrorClass" = $5, "nextAttemptAt" = now() + $6::float8 * interval '1 second',
                 "state" = case when "state" = 'paused' then 'paused' when $7 <> 'retrying' then $7
                           when "consecutiveFailures" + $3 >= $8 then 'broken' else 'retrying' end
               where "tenancyId" = $1 and "id" = $2"#,
        )
        .await?;
    client
        .execute(
            &statement,
            &[
                &target.tenancy_id,
                &target.database_id,
                &counted,
                &fault.to_string(),
                &fault.class.code(),
                &wait.as_secs_f64(),
                &at_least,
                &breaker_failures,
            ],
        )
        .await?;
    Ok(())
}

/// A target was ahead of us: a new life of the source begins. Whether there was anything to note.
pub(crate) async fn note_rewound(client: &Object, watermark: i64) -> Result<bool, Error> {
    client.query_one("select note_source_rewound($1)", &[&watermark]).await?.try_get(0)
}
