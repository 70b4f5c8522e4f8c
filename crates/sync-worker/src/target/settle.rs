//! Closing a turn: refused rows and watermarks are written in the transaction that wrote the rows.

use tenant_sync_core::mapping::names::quote_ident;
use time::OffsetDateTime;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::careful::Refusal;
use super::state::State;
use crate::error::TurnError;
use crate::plan::Plan;
use crate::source::{Cursor, Phase};

/// Where a mapping stands at the end of a turn.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) cursor: &'a Cursor,
    /// The table's file number when the turn took its lock; `None` = the turn has made the table. A later one may be that
    /// of a table that was emptied meanwhile, which would never be seen.
    pub(crate) storage: Option<&'a str>,
}

impl<'a> Standing<'a> {
    /// Where it stands after a turn that began with `state`.
    pub(crate) fn of(plan: &'a Plan, cursor: &'a Cursor, state: &'a State) -> Self {
        let known = state.mappings.get(plan.name());
        Self { plan, cursor, storage: known.and_then(|known| known.storage_now.as_deref()) }
    }
}

/// What is true of the whole target at the end of a turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Picture {
    /// Every change before this instant is there; `None` = unknown, the old value stays.
    pub(crate) complete_as_of: Option<OffsetDateTime>,
    /// Rows written that had no id yet.
    pub(crate) flagged_rows: i32,
    /// Life of the source that was read.
    pub(crate) epoch: Option<Uuid>,
}

/// Moves the watermarks. The mapping's row exists.
pub(crate) async fn watermarks(
    client: &Client,
    schema: &str,
    standings: &[Standing<'_>],
    picture: Picture,
) -> Result<(), TurnError> {
    let s = quote_ident(schema);
    let names: Vec<&str> = standings.iter().map(|one| one.plan.name()).collect();
    let marks: Vec<i64> = standings.iter().map(|one| one.cursor.watermark).collect();
    let versions: Vec<i32> = standings.iter().map(|one| one.plan.mapping.version).collect();
    let prints: Vec<&str> = standings.iter().map(|one| one.plan.fingerprint.as_str()).collect();
    let filling: Vec<bool> = standings.iter().map(|one| one.cursor.filling()).collect();
    let positions: Vec<Option<String>> = standings.iter().map(|one| position(one.cursor)).collect();
    let storages: Vec<Option<&str>> = standings.iter().map(|one| one.storage).collect();
    let sql = format!(
        "update {s}._sync_metadata m set last_synced_sequence_id = v.mark, mapping_version = v.version,
           fingerprint = v.print, filling = v.filling, fill_position = v.position::jsonb, updated_at = now(),
           flagged_rows = $8, storage = coalesce(v.storage::bigint, pg_catalog.pg_relation_filenode(c.oid)::bigint),
           complete_as_of = case when v.filling then m.complete_as_of else coalesce($7, m.complete_as_of) end
         from unnest($1::text[], $2::int8[], $3::int4[], $4::text[], $5::bool[], $6::text[], $10::text[])
           as v (name, mark, version, print, filling, position, storage), pg_catalog.pg_class c
         where m.mapping_name = v.name and c.relname = m.table_name and c.relnamespace = $9::text::regnamespace"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 10] = [
        (&names, Type::TEXT_ARRAY),
        (&marks, Type::INT8_ARRAY),
        (&versions, Type::INT4_ARRAY),
        (&prints, Type::TEXT_ARRAY),
        (&filling, Type::BOOL_ARRAY),
        (&positions, Type::TEXT_ARRAY),
        (&picture.complete_as_of, Type::TIMESTAMPTZ),
        (&picture.flagged_rows, Type::INT4),
        (&s, Type::TEXT),
        (&storages, Type::TEXT_ARRAY),
    ];
    client.execute_typed(&sql, &parameters).await?;
    let sql = format!("update {s}._sync_identity set epoch = $1 where epoch is distinct from $1");
    client.execute_typed(&sql, &[(&picture.epoch, Type::UUID)]).await?;
    Ok(())
}

/// The fill's position, as it is stored.
pub(crate) fn position(cursor: &Cursor) -> Option<String> {
    match &cursor.phase {
        Phase::Filling(Some(position)) => serde_json::to_string(position).ok(),
        Phase::Filling(None) | Phase::Following => None,
    }
}

/// Records what was refused, by key.
pub(crate) async fn refusals(
    client: &Client,
    schema: &str,
    plan: &Plan,
    refusals: &[Refusal],
) -> Result<(), TurnError> {
    let keys: Vec<String> = refusals.iter().map(|one| key_json(plan, &one.key)).collect();
    let states: Vec<&str> = refusals.iter().map(|one| one.sqlstate.as_str()).collect();
    let reasons: Vec<&str> = refusals.iter().map(|one| one.reason.as_str()).collect();
    let sql = format!(
        "insert into {}._sync_refused as r (mapping_name, key, sqlstate, reason, retry_at)
         select $1, v.key::jsonb, v.state, v.reason, now() + interval '5 seconds'
         from unnest($2::text[], $3::text[], $4::text[]) as v (key, state, reason)
         on conflict (mapping_name, key) do update set sqlstate = excluded.sqlstate, reason = excluded.reason,
           attempts = r.attempts + 1, retry_at = now() + interval '5 seconds' * least(power(2, r.attempts), 17280)",
        quote_ident(schema)
    );
    client
        .execute_typed(
            &sql,
            &[
                (&plan.name(), Type::TEXT),
                (&keys, Type::TEXT_ARRAY),
                (&states, Type::TEXT_ARRAY),
                (&reasons, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Forgets refusals of these keys: the rows are there now, or gone for good. Returns how many there were.
pub(crate) async fn forget(
    client: &Client,
    schema: &str,
    plan: &Plan,
    keys: &[Vec<String>],
) -> Result<i64, TurnError> {
    let keys: Vec<String> = keys.iter().map(|key| key_json(plan, key)).collect();
    let sql = format!(
        "delete from {}._sync_refused where mapping_name = $1 and key in (select k::jsonb from unnest($2::text[]) k)",
        quote_ident(schema)
    );
    let forgotten =
        client.execute_typed(&sql, &[(&plan.name(), Type::TEXT), (&keys, Type::TEXT_ARRAY)]).await?;
    Ok(i64::try_from(forgotten).unwrap_or(i64::MAX))
}

/// Keys of refused rows whose next try is due, at most `limit`.
pub(crate) async fn due_refusals(
    client: &Client,
    schema: &str,
    plan: &Plan,
    limit: i64,
) -> Result<Vec<Vec<String>>, TurnError> {
    let sql = format!(
        "select key::text from {}._sync_refused where mapping_name = $1 and retry_at <= now() order by retry_at limit $2",
        quote_ident(schema)
    );
    let rows = client.query_typed(&sql, &[(&plan.name(), Type::TEXT), (&limit, Type::INT8)]).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let text: &str = row.try_get(0)?;
        let Ok(serde_json::Value::Object(key)) = serde_json::from_str(text) else { continue };
        let values: Option<Vec<String>> =
            plan.mapping.target.key.iter().map(|name| key.get(name)?.as_str().map(str::to_owned)).collect();
        keys.extend(values);
    }
    Ok(keys)
}

fn key_json(plan: &Plan, key: &[String]) -> String {
    let pairs = plan.mapping.target.key.iter().cloned().zip(key.iter().map(|value| value.clone().into()));
    serde_json::Value::Object(pairs.collect()).to_string()
}
