//! Every statement on "SyncSample".

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tenant_sync_core::outbox::TargetKey;
use time::OffsetDateTime;
use tokio_postgres::Error;
use uuid::Uuid;

/// How long samples are kept.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Most samples that one call of [`purge`] removes: more than are written between two of them.
const PURGED_MAX: i64 = 5_000;
/// Name of a target's samples.
const TARGET_LAG: &str = "lagMillis";

/// Stores values under their names, all of this instant: the one at which the turn was taken, because looking may take long.
pub(super) async fn insert<C: GenericClient>(
    client: &C,
    at: OffsetDateTime,
    values: &[(&str, f64)],
) -> Result<(), Error> {
    let (names, values): (Vec<&str>, Vec<f64>) = values.iter().copied().unzip();
    let sql = r#"insert into "SyncSample" ("at", "name", "value")
                 select $3, * from unnest($1::text[], $2::float8[])"#;
    client.execute(sql, &[&names, &values, &at]).await?;
    Ok(())
}

/// Stores the lags of targets.
pub(super) async fn insert_lags<C: GenericClient>(
    client: &C,
    at: OffsetDateTime,
    lags: &[(&TargetKey, f64)],
) -> Result<(), Error> {
    let tenancies: Vec<Uuid> = lags.iter().map(|(key, _)| key.tenancy_id).collect();
    let ids: Vec<&str> = lags.iter().map(|(key, _)| key.database_id.as_str()).collect();
    let values: Vec<f64> = lags.iter().map(|(_, lag)| *lag).collect();
    let sql = r#"insert into "SyncSample" ("at", "tenancyId", "databaseId", "name", "value")
                 select $5, t.tenancy, t.id, $4, t.lag from unnest($1::uuid[], $2::text[], $3::float8[]) as t (tenancy, id, lag)"#;
    client.execute(sql, &[&tenancies, &ids, &values, &TARGET_LAG, &at]).await?;
    Ok(())
}

/// Removes what is too old, the oldest first.
pub(super) async fn purge<C: GenericClient>(client: &C) -> Result<u64, Error> {
    let sql = r#"delete from "SyncSample" where "id" in (
                     select "id" from "SyncSample" where "at" < now() - $1 * interval '1 second'
                     order by "at" limit $2 for update skip locked)"#;
    client.execute(sql, &[&KEPT_FOR.as_secs_f64(), &PURGED_MAX]).await
}

/// A value of one name in one stretch of time.
pub(super) struct Mean {
    pub(super) at: OffsetDateTime,
    pub(super) name: String,
    pub(super) mean: f64,
    pub(super) highest: f64,
}

/// Means over stretches of `bucket`, as far back as `span`.
pub(super) async fn means<C: GenericClient>(
    client: &C,
    names: &[&str],
    span: Duration,
    bucket: Duration,
) -> Result<Vec<Mean>, Error> {
    let sql = r#"
select to_timestamp(floor(extract(epoch from "at")::float8 / $3) * $3), "name", avg("value"), max("value")
from "SyncSample"
where "tenancyId" is null and "name" = any ($1) and "at" > now() - $2 * interval '1 second' and "value" is not null
group by 1, 2 order by 1, 2"#;
    let bucket = bucket.as_secs_f64();
    let rows = client.query(sql, &[&names, &span.as_secs_f64(), &bucket]).await?;
    rows.iter()
        .map(|row| {
            Ok(Mean {
                at: row.try_get(0)?,
                name: row.try_get(1)?,
                mean: row.try_get(2)?,
                highest: row.try_get(3)?,
            })
        })
        .collect()
}

/// The highest lags of a target over stretches of `bucket`, as far back as `span`.
pub(super) async fn lags<C: GenericClient>(
    client: &C,
    key: &TargetKey,
    span: Duration,
    bucket: Duration,
) -> Result<Vec<(OffsetDateTime, f64)>, Error> {
    let sql = r#"
select to_timestamp(floor(extract(epoch from "at")::float8 / $4) * $4), max("value")
from "SyncSample"
where "tenancyId" = $1 and "databaseId" = $2 and "name" = $5 and "at" > now() - $3 * interval '1 second'
  and "value" is not null
group by 1 order by 1"#;
    let (span, bucket) = (span.as_secs_f64(), bucket.as_secs_f64());
    let rows = client.query(sql, &[&key.tenancy_id, &key.database_id, &span, &bucket, &TARGET_LAG]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
