//! What became of requests, in one statement.

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{Attempted, Delivery, Fate, Settled, Standing};

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
