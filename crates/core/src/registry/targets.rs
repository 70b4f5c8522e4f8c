//! Every statement on a target's settings in "ExternalDatabase".

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::settings::StoredSettings;
use crate::db::kept;
use crate::outbox::TargetKey;
use crate::secrets::Sealed;

/// States that a target can be in.
pub const STATES: [&str; 5] = ["ok", "retrying", "broken", "paused", "refused"];

/// A target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which one.
    pub key: TargetKey,
    /// Its settings.
    pub settings: StoredSettings,
    /// One of [`STATES`].
    pub state: String,
    /// Our sentence for what went wrong.
    pub last_error: Option<String>,
    /// The class of it.
    pub last_error_class: Option<String>,
    /// Failures in a row.
    pub consecutive_failures: i32,
    /// When it is tried again, after a failure.
    pub next_attempt_at: Option<OffsetDateTime>,
    /// When a turn last succeeded.
    pub last_success_at: Option<OffsetDateTime>,
    /// When it was added.
    pub created_at: OffsetDateTime,
    /// When its settings last changed.
    pub updated_at: OffsetDateTime,
}

pub(super) const COLUMNS: &str = r#""tenancyId", "id", "keyId", "connectionString", "displayUrl", "schema", "mappings",
    "readRoles", "caCertificates", "state", "lastError", "lastErrorClass", "consecutiveFailures",
    "nextAttemptAt", "lastSuccessAt", "createdAt", "updatedAt""#;

pub(super) fn read(row: &Row) -> Result<Target, Error> {
    let key_id: Option<String> = row.try_get(2)?;
    let bytes: Option<Vec<u8>> = row.try_get(3)?;
    Ok(Target {
        key: TargetKey { tenancy_id: row.try_get(0)?, database_id: row.try_get(1)? },
        settings: StoredSettings {
            sealed: key_id.zip(bytes).map(|(key_id, bytes)| Sealed { key_id, bytes }),
            display_url: row.try_get(4)?,
            schema: row.try_get(5)?,
            mappings: row.try_get(6)?,
            read_roles: row.try_get(7)?,
            ca_certificates: row.try_get(8)?,
        },
        state: row.try_get(9)?,
        last_error: row.try_get(10)?,
        last_error_class: row.try_get(11)?,
        consecutive_failures: row.try_get(12)?,
        next_attempt_at: row.try_get(13)?,
        last_success_at: row.try_get(14)?,
        created_at: row.try_get(15)?,
        updated_at: row.try_get(16)?,
    })
}

/// Which targets are meant; an empty filter means all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of a tenancy.
    pub tenancy_id: Option<Uuid>,
    /// Those with one of these ids; empty = any.
    pub ids: Vec<String>,
    /// Those in a state.
    pub state: Option<String>,
}

/// A target, if there is one.
///
/// # Errors
/// Postgres does.
pub async fn find<C: GenericClient>(client: &C, key: &TargetKey) -> Result<Option<Target>, Error> {
    let sql = format!(r#"select {COLUMNS} from "ExternalDatabase" where "tenancyId" = $1 and "id" = $2"#);
    client.query_opt(&sql, &[&key.tenancy_id, &key.database_id]).await?.as_ref().map(read).transpose()
}

/// Those of these targets that there are.
///
/// # Errors
/// Postgres does.
pub async fn find_all<C: GenericClient>(client: &C, keys: &[TargetKey]) -> Result<Vec<Target>, Error> {
    let (tenancies, ids): (Vec<_>, Vec<_>) =
        keys.iter().map(|key| (key.tenancy_id, key.database_id.as_str())).unzip();
    let sql = format!(
        r#"select {COLUMNS} from unnest($1::uuid[], $2::text[]) as k (tenancy, database)
           cross join lateral (select * from "ExternalDatabase" e
                               where e."tenancyId" = k.tenancy and e."id" = k.database offset 0) e"#
    );
    kept(client, &sql, &[&tenancies, &ids]).await?.iter().map(read).collect()
}

/// The targets that are meant, by tenancy and id.
///
/// # Errors
/// Postgres does.
pub async fn list<C: GenericClient>(client: &C, filter: &Filter) -> Result<Vec<Target>, Error> {
    let sql = format!(
        r#"select {COLUMNS} from "ExternalDatabase"
           where ($1::uuid is null or "tenancyId" = $1) and (cardinality($2::text[]) = 0 or "id" = any ($2))
             and ($3::text is null or "state" = $3)
           order by "tenancyId", "id""#
    );
    let rows = client.query(&sql, &[&filter.tenancy_id, &filter.ids, &filter.state]).await?;
    rows.iter().map(read).collect()
}

/// Adds a target. `false` = there is one of this id. Its tenancy must exist.
///
/// # Errors
/// Postgres does.
pub async fn insert<C: GenericClient>(
    client: &C,
    key: &TargetKey,
    settings: &StoredSettings,
) -> Result<bool, Error> {
    let sealed = sealed_columns(settings);
    let rows = client
        .execute(
            r#"insert into "ExternalDatabase" ("tenancyId", "id", "keyId", "connectionString", "displayUrl",
                 "schema", "mappings", "readRoles", "caCertificates")
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing"#,
            &parameters(key, settings, &sealed),
        )
        .await?;
    Ok(rows == 1)
}

/// Replaces a target's settings and closes its breaker; a paused one stays paused. Progress stays. `false` =
/// there is no such target.
///
/// # Errors
/// Postgres does.
pub async fn update<C: GenericClient>(
    client: &C,
    key: &TargetKey,
    settings: &StoredSettings,
) -> Result<bool, Error> {
    let sealed = sealed_columns(settings);
    let rows = client
        .execute(
            r#"update "ExternalDatabase" set "keyId" = $3, "connectionString" = $4, "displayUrl" = $5,
                 "schema" = $6, "mappings" = $7, "readRoles" = $8, "caCertificates" = $9, "updatedAt" = now(),
                 "state" = case when "state" = 'paused' then 'paused' else 'ok' end, "lastError" = null,
                 "lastErrorClass" = null, "consecutiveFailures" = 0, "nextAttemptAt" = null
               where "tenancyId" = $1 and "id" = $2"#,
            &parameters(key, settings, &sealed),
        )
        .await?;
    Ok(rows == 1)
}

type SealedColumns<'a> = (Option<&'a str>, Option<&'a [u8]>);

fn sealed_columns(settings: &StoredSettings) -> SealedColumns<'_> {
    let sealed = settings.sealed.as_ref();
    (sealed.map(|s| s.key_id.as_str()), sealed.map(|s| s.bytes.as_slice()))
}

/// `$1` tenancy, `$2` id, `$3` … `$9` the settings, as [`insert`] and [`update`] number them.
fn parameters<'a>(
    key: &'a TargetKey,
    settings: &'a StoredSettings,
    (key_id, bytes): &'a SealedColumns<'a>,
) -> [&'a (dyn ToSql + Sync); 9] {
    [
        &key.tenancy_id,
        &key.database_id,
        key_id,
        bytes,
        &settings.display_url,
        &settings.schema,
        &settings.mappings,
        &settings.read_roles,
        &settings.ca_certificates,
    ]
}

/// Pauses a target: nothing is sent until it is resumed, and nothing is lost. `false` = there is no such target.
///
/// # Errors
/// Postgres does.
pub async fn pause<C: GenericClient>(client: &C, key: &TargetKey) -> Result<bool, Error> {
    let sql = r#"update "ExternalDatabase" set "state" = 'paused', "nextAttemptAt" = null
                 where "tenancyId" = $1 and "id" = $2"#;
    Ok(client.execute(sql, &[&key.tenancy_id, &key.database_id]).await? == 1)
}

/// Ends a pause and closes the breaker; also for a target that is not paused. `false` = there is no such target.
///
/// # Errors
/// Postgres does.
pub async fn resume<C: GenericClient>(client: &C, key: &TargetKey) -> Result<bool, Error> {
    let sql = r#"update "ExternalDatabase" set "state" = 'ok', "lastError" = null, "lastErrorClass" = null,
                   "consecutiveFailures" = 0, "nextAttemptAt" = null, "nextVisitAt" = now()
                 where "tenancyId" = $1 and "id" = $2"#;
    Ok(client.execute(sql, &[&key.tenancy_id, &key.database_id]).await? == 1)
}

/// Puts a state back that [`pause`] replaced.
///
/// # Errors
/// Postgres does.
pub async fn restore_state<C: GenericClient>(client: &C, key: &TargetKey, state: &str) -> Result<(), Error> {
    let sql = r#"update "ExternalDatabase" set "state" = $3 where "tenancyId" = $1 and "id" = $2"#;
    client.execute(sql, &[&key.tenancy_id, &key.database_id, &state]).await?;
    Ok(())
}

/// Removes a target and what is known of its progress. `false` = there is no such target.
///
/// # Errors
/// Postgres does.
pub async fn remove<C: GenericClient>(client: &C, key: &TargetKey) -> Result<bool, Error> {
    let sql = r#"delete from "ExternalDatabase" where "tenancyId" = $1 and "id" = $2"#;
    Ok(client.execute(sql, &[&key.tenancy_id, &key.database_id]).await? == 1)
}

/// Asks for a resync of these mappings of a target; the worker that begins it takes the wish back. A mapping
/// that the target does not have yet is filled anyway. Returns how many were asked for.
///
/// # Errors
/// Postgres does.
pub async fn request_fill<C: GenericClient>(
    client: &C,
    key: &TargetKey,
    mappings: &[String],
) -> Result<u64, Error> {
    let sql = r#"insert into "SyncState" ("tenancyId", "databaseId", "mappingName", "fillRequested", "fillStartedAt")
                 select d."tenancyId", d."id", m.name, true, now()
                 from "ExternalDatabase" d, unnest($3::text[]) as m (name)
                 where d."tenancyId" = $1 and d."id" = $2 order by m.name
                 on conflict ("tenancyId", "databaseId", "mappingName") do update
                 set "fillRequested" = true, "fillStartedAt" = now()"#;
    client.execute(sql, &[&key.tenancy_id, &key.database_id, &mappings]).await
}
