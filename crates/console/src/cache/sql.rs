//! Every statement on "CacheEntry". All times are the server's, so that processes agree.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use serde_json::Value;
use tokio_postgres::Error;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::{Cached, Key, STALE_MAX, Ttl};

/// How long a loader may be silent before another takes its place. It renews its lease three times in this time.
pub(super) const LEASE: Duration = Duration::from_secs(6);

/// The entry, unless it is missing, or too old even to be served while it is renewed.
pub(super) async fn read(client: &Object, key: &Key, stale_max: Duration) -> Result<Option<Cached>, Error> {
    let text = r#"
select "payload", greatest(extract(epoch from now() - "loadedAt"), 0)::float8, "expiresAt" <= now()
from "CacheEntry"
where "namespace" = $1 and "cacheKey" = $2 and "payload" is not null and "loadedAt" is not null
  and "expiresAt" > now() - $3 * interval '1 second'"#;
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&key.namespace, Type::TEXT), (&key.text(), Type::TEXT), (&stale_max.as_secs_f64(), Type::FLOAT8)];
    let row = client.query_typed_opt(text, &parameters).await?;
    Ok(row.map(|row| Cached {
        value: Arc::new(row.get::<_, Json<Value>>(0).0),
        age: Duration::try_from_secs_f64(row.get(1)).unwrap_or_default(),
        stale: row.get(2),
    }))
}

/// Takes the lease, if nobody has it and the entry has not been renewed meanwhile.
pub(super) async fn claim(client: &Object, key: &Key, loader: Uuid) -> Result<bool, Error> {
    let text = r#"
insert into "CacheEntry" as e ("namespace", "cacheKey", "expiresAt", "loadingBy", "loadingUntil")
values ($1, $2, now(), $3, now() + $4 * interval '1 second')
on conflict ("namespace", "cacheKey") do update
set "loadingBy" = excluded."loadingBy", "loadingUntil" = excluded."loadingUntil"
where (e."loadingUntil" is null or e."loadingUntil" <= now()) and (e."payload" is null or e."loadedAt" is null or e."expiresAt" <= now())"#;
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
        (&key.namespace, Type::TEXT),
        (&key.text(), Type::TEXT),
        (&loader, Type::UUID),
        (&LEASE.as_secs_f64(), Type::FLOAT8),
    ];
    Ok(client.execute_typed(text, &parameters).await? == 1)
}

/// Keeps the lease for longer, if it is still ours.
pub(super) async fn renew(client: &Object, key: &Key, loader: Uuid) -> Result<(), Error> {
    let text = r#"
update "CacheEntry" set "loadingUntil" = now() + $4 * interval '1 second'
where "namespace" = $1 and "cacheKey" = $2 and "loadingBy" = $3"#;
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
        (&key.namespace, Type::TEXT),
        (&key.text(), Type::TEXT),
        (&loader, Type::UUID),
        (&LEASE.as_secs_f64(), Type::FLOAT8),
    ];
    client.execute_typed(text, &parameters).await.map(drop)
}

/// Keeps what was loaded and ends the lease; nothing, if another loader has taken our place.
pub(super) async fn store(
    client: &Object,
    key: &Key,
    loader: Uuid,
    value: &Value,
    ttl: Ttl,
) -> Result<(), Error> {
    let text = r#"
update "CacheEntry"
set "payload" = $4, "loadedAt" = now(), "expiresAt" = now() + $5 * interval '1 second', "loadingBy" = null, "loadingUntil" = null
where "namespace" = $1 and "cacheKey" = $2 and "loadingBy" = $3"#;
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
        (&key.namespace, Type::TEXT),
        (&key.text(), Type::TEXT),
        (&loader, Type::UUID),
        (&Json(value), Type::JSONB),
        (&ttl.as_secs_f64(), Type::FLOAT8),
    ];
    client.execute_typed(text, &parameters).await.map(drop)
}

/// Ends the lease without a value. An older one stays; a row that has none goes.
pub(super) async fn give_up(client: &Object, key: &Key, loader: Uuid) -> Result<(), Error> {
    let text = r#"
with mine as (
    select "id", "payload" is null as empty from "CacheEntry"
    where "namespace" = $1 and "cacheKey" = $2 and "loadingBy" = $3 for update),
gone as (delete from "CacheEntry" where "id" in (select "id" from mine where empty))
update "CacheEntry" set "loadingBy" = null, "loadingUntil" = null where "id" in (select "id" from mine where not empty)"#;
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&key.namespace, Type::TEXT), (&key.text(), Type::TEXT), (&loader, Type::UUID)];
    client.execute_typed(text, &parameters).await.map(drop)
}

/// Removes at most `limit` entries that are too old to be served; those that somebody loads or locks stay.
pub(super) async fn purge(client: &Object, limit: i64) -> Result<u64, Error> {
    let text = r#"
delete from "CacheEntry" where "id" in (
    select "id" from "CacheEntry"
    where "expiresAt" < now() - $1 * interval '1 second' and ("loadingUntil" is null or "loadingUntil" <= now())
    order by "expiresAt" limit $2 for update skip locked)"#;
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&STALE_MAX.as_secs_f64(), Type::FLOAT8), (&limit, Type::INT8)];
    client.execute_typed(text, &parameters).await
}
