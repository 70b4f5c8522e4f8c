//! What is due for a destination.

use std::time::SystemTime;

use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::{Due, millis};

/// Requests of one read are limited by their bodies, too; a single larger one is read alone.
const READ_BYTES_MAX: i64 = 4 << 20;

/// From where the next read goes on, beyond what is being sent.
pub type Cursor = (SystemTime, i64);

/// Times as they are: differences are taken here, because `extract` computes with decimals, row by row.
const COLUMNS: &str = r#"id, position, "dueAt", "createdAt", now(), attempts, "eventType", body, "orderKey", method, url, headers,
    "timeoutMillis""#;
/// What of a row [`COLUMNS`] are made of.
const READ: &str = r#"id, position, "dueAt", "createdAt", attempts, "eventType", body, "orderKey", method, url, headers,
    "timeoutMillis""#;

/// Requests of a destination that are due, those that are due longest first, from `after` on; at most `limit`, and at
/// most 4 MiB of bodies.
///
/// # Errors
/// Postgres does.
pub async fn due(
    client: &Object,
    destination_id: Uuid,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Due>, Error> {
    let text = format!(
        r#"
select {COLUMNS} from (
    select *, sum(coalesce(octet_length(body), 0)) over (order by "dueAt", position rows unbounded preceding)
        - coalesce(octet_length(body), 0) as before
    from (
        select {READ} from "OutgoingRequest"
        where kind = 'http' and state = 'pending' and "destinationId" = $1 and "dueAt" <= now()
          and ("dueAt", position) > ($2, $3)
        order by "dueAt", position limit $4) as looked
) as r where before < $5 order by "dueAt", position"#
    );
    let (from_due, from_position) = after.unwrap_or((SystemTime::UNIX_EPOCH, i64::MIN));
    let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
        (&destination_id, Type::UUID),
        (&from_due, Type::TIMESTAMPTZ),
        (&from_position, Type::INT8),
        (&limit, Type::INT8),
        (&READ_BYTES_MAX, Type::INT8),
    ];
    let rows = client.query_typed(&text, &parameters).await?;
    Ok(rows.iter().map(due_row).collect())
}

/// The same where requests have a key and go one after the other: of each key that has something due, its first
/// requests by position, due or not; and what has no key. By position.
///
/// # Errors
/// Postgres does.
pub async fn due_in_order(client: &Object, destination_id: Uuid, limit: i64) -> Result<Vec<Due>, Error> {
    let text = format!(
        r#"
with looked as materialized (
    select id, "orderKey" from "OutgoingRequest"
    where kind = 'http' and state = 'pending' and "destinationId" = $1 and "dueAt" <= now()
    order by "dueAt", position limit $2
), chosen as materialized (
    select id from looked where "orderKey" is null
    union all
    select r.id from (select "orderKey", count(*) as due from looked where "orderKey" is not null group by 1) k
    cross join lateral (
        select id from "OutgoingRequest" o
        where o.kind = 'http' and o.state = 'pending' and o."destinationId" = $1 and o."orderKey" is not null
          and o."orderKey" = k."orderKey"
        order by o.position limit k.due) r
)
select {COLUMNS} from (
    select *, sum(coalesce(octet_length(body), 0)) over (order by position) - coalesce(octet_length(body), 0) as before
    from "OutgoingRequest" where id in (select id from chosen)
) as r where before < $3 order by position"#
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&destination_id, Type::UUID), (&limit, Type::INT8), (&READ_BYTES_MAX, Type::INT8)];
    let rows = client.query_typed(&text, &parameters).await?;
    Ok(rows.iter().map(due_row).collect())
}

fn due_row(row: &Row) -> Due {
    let (due_at, created_at, now): (SystemTime, SystemTime, SystemTime) =
        (row.get(2), row.get(3), row.get(4));
    Due {
        id: row.get(0),
        position: row.get(1),
        due_at,
        due_in: due_at.duration_since(now).unwrap_or_default(),
        age: now.duration_since(created_at).unwrap_or_default(),
        attempts: row.get(5),
        event_type: row.get(6),
        body: row.get(7),
        order_key: row.get(8),
        method: row.get(9),
        url: row.get(10),
        headers: row.get(11),
        timeout: millis(row.get(12)),
    }
}

/// Makes what waits behind these keys' first requests due with them, so that reads do not find it again and again.
///
/// # Errors
/// Postgres does.
pub async fn wait_behind(
    client: &Object,
    destination_id: Uuid,
    keys: &[(String, SystemTime)],
) -> Result<u64, Error> {
    let (keys, due): (Vec<_>, Vec<_>) = keys.iter().map(|(key, due)| (key.as_str(), *due)).unzip();
    let text = r#"
update "OutgoingRequest" r set "dueAt" = k.due from unnest($2, $3) as k(key, due)
where r.kind = 'http' and r.state = 'pending' and r."destinationId" = $1 and r."orderKey" is not null
  and r."orderKey" = k.key and r."dueAt" < k.due"#;
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&destination_id, Type::UUID), (&keys, Type::TEXT_ARRAY), (&due, Type::TIMESTAMPTZ_ARRAY)];
    client.execute_typed(text, &parameters).await
}
