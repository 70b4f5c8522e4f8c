//! The request worker's side: what is due for one destination, and what became of it.
//!
//! A row of kind `delivery` is to a destination what a sync row is to a target: who holds it sends for the
//! destination, and nobody else. The requests themselves (kind `http`) are never claimed. They are read in the order
//! in which they are due, sent, and settled in batches: one statement removes what was delivered, moves on what
//! failed, and logs each attempt. It does nothing for a worker that lost the delivery row meanwhile.
//!
//! Each statement on requests names `kind` and `state` as the partial indexes do, or goes by the primary key.

use std::time::{Duration, Instant, SystemTime};

use deadpool_postgres::Object;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::{Finished, Held};

/// Requests of one read are limited by their bodies, too; a single larger one is read alone.
const READ_BYTES_MAX: i64 = 4 << 20;

/// A delivery row that a worker holds, and whom it is for.
#[derive(Debug)]
pub struct Delivery {
    /// To be named in every later step.
    pub held: Held,
    /// How often was asked up to now.
    pub counter: i64,
    /// "HttpDestination".id
    pub destination_id: Uuid,
    /// The destination; `None` = it is gone.
    pub destination: Option<Limits>,
}

/// A destination: its limits and how it is doing.
#[derive(Debug)]
pub struct Limits {
    /// Requests at once, if not that of the configuration.
    pub parallelism: Option<i32>,
    /// Requests a second.
    pub rate_per_second: Option<f64>,
    /// Events of one call; 1 = no batching.
    pub batch_events: i32,
    /// How long the first event of a call may wait for others.
    pub batch_wait: Duration,
    /// Failures in a row that count for its breaker.
    pub failures: i32,
    /// Since when there were only failures.
    pub failing_for: Option<Duration>,
    /// Nothing is tried before this is over.
    pub rests_for: Option<Duration>,
    /// The trigger, if it is one.
    pub trigger: Option<TriggerCall>,
}

/// How a trigger calls.
#[derive(Debug)]
pub struct TriggerCall {
    /// Whether it is neither paused nor broken.
    pub active: bool,
    /// Where to.
    pub url: String,
    /// An object of strings.
    pub headers: Value,
    /// Id of the key that opens `secrets`.
    pub key_id: String,
    /// The encrypted secrets.
    pub secrets: Vec<u8>,
    /// Its own time limit.
    pub timeout: Option<Duration>,
    /// When it was changed last.
    pub updated_at: SystemTime,
}

/// What came of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is written.
    Ours,
    /// It is written, and the trigger is not what it was: paused, or changed.
    Changed,
    /// The delivery row is another's: nothing was written.
    Lost,
}

/// When a destination whose turn is over is due again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With its first request, or at once if somebody asked; not before so long from now.
    NotBefore(Duration),
    /// After so long, or with a request that is due later than now and earlier than that; at once if somebody asked.
    Within(Duration),
}

/// One request that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// "OutgoingRequest".id, which is also the `webhook-id`.
    pub id: Uuid,
    /// In the order of writing.
    pub position: i64,
    /// When it was due; where the next read begins.
    pub due_at: SystemTime,
    /// Until it is due: zero but for requests that stand before due ones of the same key.
    pub due_in: Duration,
    /// Since it was made.
    pub age: Duration,
    /// Attempts that counted.
    pub attempts: i32,
    /// Name of the event; `None` = a plain request.
    pub event_type: Option<String>,
    /// What is sent.
    pub body: Option<String>,
    /// Requests with the same key go one after the other.
    pub order_key: Option<String>,
    /// Of a plain request.
    pub method: Option<String>,
    /// Of a plain request.
    pub url: Option<String>,
    /// Of a plain request.
    pub headers: Option<Value>,
    /// Of a plain request.
    pub timeout: Option<Duration>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempted {
    /// Which.
    pub id: Uuid,
    /// What happens to it.
    pub fate: Fate,
    /// When it was sent; the log has the database's time for it.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
    /// The answer's status.
    pub status: Option<u16>,
    /// `None` if it was delivered.
    pub error_class: Option<&'static str>,
    /// In our words.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub excerpt: Option<String>,
}

/// What happens to a request after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is gone.
    Delivered,
    /// It is due again after this.
    Again {
        /// From now on.
        after: Duration,
        /// Whether the attempt counts.
        counts: bool,
    },
    /// It has used up its attempts.
    Dead,
}

/// How a destination is doing after some attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// `ok`, `retrying` or `broken`.
    pub state: &'static str,
    /// Failures in a row that count for the breaker.
    pub failures: i32,
    /// Nothing is tried before this is over.
    pub rests_for: Option<Duration>,
}

/// Takes a queued delivery row until the lease is over, and reads its destination. `None` = the message is stale.
///
/// # Errors
/// Postgres does.
pub async fn take_delivery(
    client: &Object,
    held: Held,
    worker_id: &str,
    lease: Duration,
) -> Result<Option<Delivery>, Error> {
    let text = r#"
with taken as (
    update "OutgoingRequest"
    set "runningSince" = now(), "dueAt" = now() + $4 * interval '1 second', "workerId" = $3
    where id = $1 and claim = $2 and "startedFulfillingAt" is not null and "runningSince" is null and "dueAt" > now()
    returning counter, "destinationId"
)
select r.counter, r."destinationId", d.id, d.parallelism, d."ratePerSecond", d."batchEvents", d."batchWaitMillis",
    d."consecutiveFailures", extract(epoch from now() - d."failingSince")::float8,
    extract(epoch from d."nextAttemptAt" - now())::float8,
    t.state = 'active', t.url, t.headers, t."keyId", t.secrets, t."timeoutMillis", t."updatedAt"
from taken r left join "HttpDestination" d on d.id = r."destinationId" left join "HttpTrigger" t on t.id = d."triggerId""#;
    let lease = lease.as_secs_f64();
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&held.request_id, Type::UUID),
        (&held.claim, Type::INT8),
        (&worker_id, Type::TEXT),
        (&lease, Type::FLOAT8),
    ];
    let row = client.query_typed_opt(text, &parameters).await?;
    Ok(row.map(|row| Delivery {
        held,
        counter: row.get(0),
        destination_id: row.get(1),
        destination: row.get::<_, Option<Uuid>>(2).map(|_| limits(&row)),
    }))
}

fn limits(row: &Row) -> Limits {
    Limits {
        parallelism: row.get(3),
        rate_per_second: row.get(4),
        batch_events: row.get(5),
        batch_wait: millis(Some(row.get(6))).unwrap_or_default(),
        failures: row.get(7),
        failing_for: row.get::<_, Option<f64>>(8).map(seconds),
        rests_for: row.get::<_, Option<f64>>(9).map(seconds).filter(|rest| !rest.is_zero()),
        trigger: row.get::<_, Option<bool>>(10).map(|active| TriggerCall {
            active,
            url: row.get(11),
            headers: row.get(12),
            key_id: row.get(13),
            secrets: row.get(14),
            timeout: millis(row.get(15)),
            updated_at: row.get(16),
        }),
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX)
}

fn millis(value: Option<i32>) -> Option<Duration> {
    value.map(|millis| Duration::from_millis(millis.max(0).unsigned_abs().into()))
}

/// From where the next read goes on, beyond what is being sent.
pub type Cursor = (SystemTime, i64);

const COLUMNS: &str = r#"id, position, "dueAt", extract(epoch from "dueAt" - now())::float8,
    extract(epoch from now() - "createdAt")::float8, attempts, "eventType", body, "orderKey", method, url, headers,
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
    select *, sum(coalesce(octet_length(body), 0)) over (order by "dueAt", position) - coalesce(octet_length(body), 0)
        as before
    from (
        select * from "OutgoingRequest"
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
    Due {
        id: row.get(0),
        position: row.get(1),
        due_at: row.get(2),
        due_in: seconds(row.get(3)),
        age: seconds(row.get(4)),
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

/// Removes what was delivered, moves on what failed, logs each attempt and says how the destination is doing, all
/// in one statement; nothing of it if the delivery row is no longer ours.
///
/// # Errors
/// Postgres does.
pub async fn settle(
    client: &Object,
    delivery: &Delivery,
    worker_id: &str,
    attempts: &[Attempted],
    standing: Standing,
) -> Result<Settled, Error> {
    let succeeded = attempts.iter().any(|attempt| attempt.fate == Fate::Delivered);
    let last = attempts.iter().rev().find(|attempt| attempt.error_class.is_some());
    let columns = Columns::of(attempts);
    let rests_for = standing.rests_for.map(|rest| rest.as_secs_f64());
    let trigger = delivery.destination.as_ref().and_then(|limits| limits.trigger.as_ref());
    let updated_at = trigger.map(|trigger| trigger.updated_at);
    let parameters: [(&(dyn ToSql + Sync), Type); 22] = [
        (&delivery.held.request_id, Type::UUID),
        (&delivery.held.claim, Type::INT8),
        (&delivery.destination_id, Type::UUID),
        (&worker_id, Type::TEXT),
        (&columns.ids, Type::UUID_ARRAY),
        (&columns.outcomes, Type::TEXT_ARRAY),
        (&columns.waits, Type::FLOAT8_ARRAY),
        (&columns.counts, Type::INT4_ARRAY),
        (&columns.ago, Type::FLOAT8_ARRAY),
        (&columns.took, Type::INT4_ARRAY),
        (&columns.statuses, Type::INT4_ARRAY),
        (&columns.classes, Type::TEXT_ARRAY),
        (&columns.errors, Type::TEXT_ARRAY),
        (&columns.excerpts, Type::TEXT_ARRAY),
        (&standing.state, Type::TEXT),
        (&standing.failures, Type::INT4),
        (&rests_for, Type::FLOAT8),
        (&succeeded, Type::BOOL),
        (&last.and_then(|attempt| attempt.error.clone()), Type::TEXT),
        (&last.and_then(|attempt| attempt.error_class), Type::TEXT),
        (&last.and_then(|attempt| attempt.status).map(i32::from), Type::INT4),
        (&updated_at, Type::TIMESTAMPTZ),
    ];
    let row = client.query_typed_one(SETTLE, &parameters).await?;
    Ok(match (row.get(0), row.get(1)) {
        (false, _) => Settled::Lost,
        (true, true) => Settled::Changed,
        (true, false) => Settled::Ours,
    })
}

/// A request may be gone or replayed meanwhile (an operator's command); its attempt is logged all the same. The
/// destination is written when something changes, and every ten seconds while all is well.
const SETTLE: &str = r#"
with ours as materialized (
    select from "OutgoingRequest" where id = $1 and claim = $2 and "runningSince" is not null
), tried as materialized (
    select * from unnest($5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        as t(id, outcome, wait, counts, ago, took, status, class, error, excerpt)
    where exists (select from ours)
), delivered as (
    delete from "OutgoingRequest" r using tried t where r.id = t.id and t.outcome = 'delivered' returning r.*
), failed as (
    update "OutgoingRequest" r
    set attempts = r.attempts + t.counts, "lastError" = t.error, "lastErrorClass" = t.class, "lastStatus" = t.status,
        "dueAt" = now() + t.wait * interval '1 second',
        state = case t.outcome when 'dead' then 'dead' else 'pending' end,
        "diedAt" = case t.outcome when 'dead' then now() end
    from tried t where r.id = t.id and t.outcome <> 'delivered'
    returning r.id, r.attempts, r."eventType", r."tenancyId"
), logged as (
    insert into "HttpAttempt" ("requestId", at, "destinationId", number, outcome, "durationMillis", status, "errorClass",
        error, "responseExcerpt", "workerId", "tenancyId", "eventType", "createdAt", method, url, headers, body, "orderKey",
        "timeoutMillis")
    select t.id, now() - t.ago * interval '1 second', $3, case when f.id is null then coalesce(d.attempts, 0) + 1 else greatest(f.attempts, 1) end, t.outcome,
        t.took, t.status, t.class, t.error, t.excerpt, $4, coalesce(d."tenancyId", f."tenancyId"),
        coalesce(d."eventType", f."eventType"), d."createdAt", d.method, d.url, d.headers, d.body, d."orderKey", d."timeoutMillis"
    from tried t left join delivered d on d.id = t.id left join failed f on f.id = t.id
    on conflict do nothing
), moved as (
    update "HttpDestination" d
    set state = $15, "consecutiveFailures" = $16, "nextAttemptAt" = now() + $17 * interval '1 second',
        "failingSince" = case when $15 = 'ok' then null when $18 then now() else coalesce(d."failingSince", now()) end,
        "lastSuccessAt" = case when $18 then now() else d."lastSuccessAt" end,
        "lastError" = coalesce($19, d."lastError"), "lastErrorClass" = coalesce($20, d."lastErrorClass"),
        "lastStatus" = case when $20 is null then d."lastStatus" else $21 end
    where d.id = $3 and exists (select from ours)
      and (d.state <> 'ok' or $15 <> 'ok' or $20 is not null or d."nextAttemptAt" is not null
           or coalesce(d."lastSuccessAt" < now() - interval '10 seconds', true))
)
select exists (select from ours),
    (select t."updatedAt" from "HttpTrigger" t where t.id = $3) is distinct from $22::timestamptz"#;

/// The attempts, as arrays.
struct Columns<'a> {
    ids: Vec<Uuid>,
    outcomes: Vec<&'static str>,
    waits: Vec<f64>,
    counts: Vec<i32>,
    ago: Vec<f64>,
    took: Vec<i32>,
    statuses: Vec<Option<i32>>,
    classes: Vec<Option<&'static str>>,
    errors: Vec<Option<&'a str>>,
    excerpts: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn of(attempts: &'a [Attempted]) -> Self {
        let fates = attempts.iter().map(|attempt| match attempt.fate {
            Fate::Delivered => ("delivered", (0.0, 0)),
            Fate::Again { after, counts } => ("failed", (after.as_secs_f64(), i32::from(counts))),
            Fate::Dead => ("dead", (0.0, 1)),
        });
        let (outcomes, waits): (Vec<_>, Vec<_>) = fates.unzip();
        let (waits, counts) = waits.into_iter().unzip();
        Self {
            ids: attempts.iter().map(|attempt| attempt.id).collect(),
            outcomes,
            waits,
            counts,
            ago: attempts.iter().map(|attempt| attempt.began.elapsed().as_secs_f64()).collect(),
            took: attempts.iter().map(|a| i32::try_from(a.took.as_millis()).unwrap_or(i32::MAX)).collect(),
            statuses: attempts.iter().map(|attempt| attempt.status.map(i32::from)).collect(),
            classes: attempts.iter().map(|attempt| attempt.error_class).collect(),
            errors: attempts.iter().map(|attempt| attempt.error.as_deref()).collect(),
            excerpts: attempts.iter().map(|attempt| attempt.excerpt.as_deref()).collect(),
        }
    }
}

/// The turn is over. Gone if nothing waits and nobody asked meanwhile; else pending. Two statements, because the second
/// must see what the first waited for.
///
/// # Errors
/// Postgres does.
pub async fn end_delivery(client: &Object, delivery: &Delivery, next: Next) -> Result<Finished, Error> {
    let delete = r#"
delete from "OutgoingRequest" where id = $1 and claim = $2 and "runningSince" is not null and counter = $3
  and not exists (select from "OutgoingRequest" w
                  where w.kind = 'http' and w.state = 'pending' and w."destinationId" = $4)"#;
    let again = r#"
update "OutgoingRequest" r
set "startedFulfillingAt" = null, "runningSince" = null, "workerId" = null, attempts = 0,
    "dueAt" = greatest(now() + $5 * interval '1 second', case when counter = $3 then least(
        now() + $6 * interval '1 second',
        coalesce((
            select w."dueAt" from "OutgoingRequest" w
            where w.kind = 'http' and w.state = 'pending' and w."destinationId" = $4 and ($6 is null or w."dueAt" > now())
            order by w."dueAt", w.position limit 1), case when $6 is null then now() else 'infinity' end))
        else now() end)
where id = $1 and claim = $2 and "runningSince" is not null"#;
    let (not_before, within) = match next {
        Next::NotBefore(rest) => (rest.as_secs_f64(), None),
        Next::Within(wait) => (0.0, Some(wait.as_secs_f64())),
    };
    let parameters: [(&(dyn ToSql + Sync), Type); 6] = [
        (&delivery.held.request_id, Type::UUID),
        (&delivery.held.claim, Type::INT8),
        (&delivery.counter, Type::INT8),
        (&delivery.destination_id, Type::UUID),
        (&not_before, Type::FLOAT8),
        (&within, Type::FLOAT8),
    ];
    if client.execute_typed(delete, &parameters[..4]).await? == 1 {
        return Ok(Finished::Gone);
    }
    let again = client.execute_typed(again, &parameters).await? == 1;
    Ok(if again { Finished::AskedAgain } else { Finished::Lost })
}

/// Drops the delivery row of a destination that is paused or gone: whoever resumes it asks again.
///
/// # Errors
/// Postgres does.
pub async fn drop_delivery(client: &Object, held: Held) -> Result<(), Error> {
    let text = r#"delete from "OutgoingRequest" where id = $1 and claim = $2 and "runningSince" is not null"#;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&held.request_id, Type::UUID), (&held.claim, Type::INT8)];
    client.execute_typed(text, &parameters).await.map(drop)
}

/// Removes attempts older than `retention`, the oldest first, at most `limit`. Returns how many.
///
/// # Errors
/// Postgres does.
pub async fn purge_attempts(client: &Object, retention: Duration, limit: i64) -> Result<u64, Error> {
    let text = r#"
delete from "HttpAttempt" a using (
    select "requestId", at from "HttpAttempt" where at < now() - $1 * interval '1 second' order by at limit $2
    for update skip locked) as old
where a."requestId" = old."requestId" and a.at = old.at"#;
    purge(client, text, retention, limit).await
}

/// Removes requests that died longer ago than `retention`, at most `limit`. Returns how many.
///
/// # Errors
/// Postgres does.
pub async fn purge_dead(client: &Object, retention: Duration, limit: i64) -> Result<u64, Error> {
    let text = r#"
delete from "OutgoingRequest" where id in (
    select id from "OutgoingRequest"
    where kind = 'http' and state = 'dead' and "diedAt" < now() - $1 * interval '1 second' limit $2
    for update skip locked)"#;
    purge(client, text, retention, limit).await
}

async fn purge(client: &Object, text: &str, retention: Duration, limit: i64) -> Result<u64, Error> {
    let retention = retention.as_secs_f64();
    client.execute_typed(text, &[(&retention, Type::FLOAT8), (&limit, Type::INT8)]).await
}
