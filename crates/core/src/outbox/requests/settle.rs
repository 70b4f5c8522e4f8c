//! What became of requests, in one statement.

use std::time::Instant;

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
    let delivered = attempts.iter().filter(|attempt| attempt.fate == Fate::Delivered).count();
    let (succeeded, delivered) = (delivered > 0, i64::try_from(delivered).unwrap_or(i64::MAX));
    let last = attempts.iter().rev().find(|attempt| attempt.error_class.is_some());
    let columns = Columns::of(attempts);
    let rests_for = standing.rests_for.map(|rest| rest.as_secs_f64());
    let trigger = delivery.destination.as_ref().and_then(|limits| limits.trigger.as_ref());
    let updated_at = trigger.map(|trigger| trigger.updated_at);
    let parameters: [(&(dyn ToSql + Sync), Type); 23] = [
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
        (&delivered, Type::INT8),
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
///
/// What a delivered request costs here is most of what it costs at all, so what was tried goes through `returning`
/// instead of being joined again, only the columns of the log are kept, and there is no `on conflict`, which writes and
/// looks twice for each row: the time in the key makes an attempt unique, and a settlement that failed for it would be
/// tried again with a later one. Rows are found by their keys because the planner takes `outcome = …` for rare; by the
/// true number of rows it would read the whole table while that is small.
const SETTLE: &str = r#"
with ours as materialized (
    select from "OutgoingRequest" where id = $1 and claim = $2 and "runningSince" is not null
), tried as materialized (
    select * from unnest($5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        as t(id, outcome, wait, counts, ago, took, status, class, error, excerpt)
    where exists (select from ours)
), delivered as (
    delete from "OutgoingRequest" r using tried t where r.id = t.id and t.outcome = 'delivered'
    returning r.id, t.ago, t.took, t.status, t.excerpt, r.attempts, r."tenancyId", r."eventType", r."createdAt", r.method,
        r.url, r.headers, r.body, r."orderKey", r."timeoutMillis"
), failed as (
    update "OutgoingRequest" r
    set attempts = r.attempts + t.counts, "lastError" = t.error, "lastErrorClass" = t.class, "lastStatus" = t.status,
        "dueAt" = now() + t.wait * interval '1 second',
        state = case t.outcome when 'dead' then 'dead' else 'pending' end,
        "diedAt" = case t.outcome when 'dead' then now() end
    from tried t where r.id = t.id and t.outcome in ('failed', 'dead')
    returning r.id, r.attempts, r."eventType", r."tenancyId"
), logged as (
    insert into "HttpAttempt" ("requestId", at, "destinationId", number, outcome, "durationMillis", status, "errorClass",
        error, "responseExcerpt", "workerId", "tenancyId", "eventType", "createdAt", method, url, headers, body, "orderKey",
        "timeoutMillis")
    select d.id, now() - d.ago * interval '1 second', $3, d.attempts + 1, 'delivered', d.took, d.status, null, null,
        d.excerpt, $4, d."tenancyId", d."eventType", d."createdAt", d.method, d.url, d.headers, d.body, d."orderKey",
        d."timeoutMillis"
    from delivered d
    union all
    select t.id, now() - t.ago * interval '1 second', $3, greatest(f.attempts, 1), t.outcome, t.took, t.status, t.class,
        t.error, t.excerpt, $4, f."tenancyId", f."eventType", null, null, null, null, null, null, null
    from tried t left join failed f on f.id = t.id
    where t.outcome in ('failed', 'dead')
    union all
    select t.id, now() - t.ago * interval '1 second', $3, 1, t.outcome, t.took, t.status, null, null,
        t.excerpt, $4, null, null, null, null, null, null, null, null, null
    from tried t
    where t.outcome = 'delivered' and (select count(*) from delivered) < $23 and t.id not in (select d.id from delivered d)
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

/// The attempts, as arrays. One that would hold nothing but nulls is left empty: `unnest` fills up.
#[derive(Default)]
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
        let now = Instant::now();
        let mut columns = Self {
            ids: attempts.iter().map(|attempt| attempt.id).collect(),
            outcomes: attempts.iter().map(|attempt| outcome(attempt.fate)).collect(),
            ago: attempts.iter().map(|a| now.saturating_duration_since(a.began).as_secs_f64()).collect(),
            took: attempts.iter().map(|a| i32::try_from(a.took.as_millis()).unwrap_or(i32::MAX)).collect(),
            statuses: attempts.iter().map(|attempt| attempt.status.map(i32::from)).collect(),
            ..Self::default()
        };
        if attempts.iter().any(|attempt| attempt.fate != Fate::Delivered) {
            (columns.waits, columns.counts) = attempts.iter().map(|attempt| again(attempt.fate)).unzip();
            columns.classes = attempts.iter().map(|attempt| attempt.error_class).collect();
            columns.errors = attempts.iter().map(|attempt| attempt.error.as_deref()).collect();
        }
        if attempts.iter().any(|attempt| attempt.excerpt.is_some()) {
            columns.excerpts = attempts.iter().map(|attempt| attempt.excerpt.as_deref()).collect();
        }
        columns
    }
}

fn outcome(fate: Fate) -> &'static str {
    match fate {
        Fate::Delivered => "delivered",
        Fate::Again { .. } => "failed",
        Fate::Dead => "dead",
    }
}

/// The wait in seconds, and how many attempts it counts for.
fn again(fate: Fate) -> (f64, i32) {
    match fate {
        Fate::Delivered => (0.0, 0),
        Fate::Again { after, counts } => (after.as_secs_f64(), i32::from(counts)),
        Fate::Dead => (0.0, 1),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn attempt(fate: Fate, error: Option<&str>, excerpt: Option<&str>) -> Attempted {
        Attempted {
            id: Uuid::nil(),
            fate,
            began: Instant::now(),
            took: Duration::from_millis(7),
            status: Some(200),
            error_class: error.map(|_| "serverError"),
            error: error.map(Into::into),
            excerpt: excerpt.map(Into::into),
        }
    }

    /// The statement unnests all arrays side by side: each is empty or as long as the others.
    #[test]
    fn columns_that_hold_nothing_are_empty_and_the_others_complete() {
        let delivered = || attempt(Fate::Delivered, None, None);
        let wait = Duration::from_secs(5);
        let failed = attempt(Fate::Again { after: wait, counts: true }, Some("it failed"), Some("sorry"));
        let all = [delivered(), delivered()];
        let columns = Columns::of(&all);
        assert_eq!((columns.ids.len(), columns.took.as_slice()), (2, &[7, 7][..]));
        assert!(columns.waits.is_empty() && columns.errors.is_empty() && columns.excerpts.is_empty());
        let all = [delivered(), failed, attempt(Fate::Dead, Some("dead"), None)];
        let columns = Columns::of(&all);
        assert_eq!(columns.outcomes, ["delivered", "failed", "dead"]);
        assert_eq!((columns.waits, columns.counts), (vec![0.0, 5.0, 0.0], vec![0, 1, 1]));
        assert_eq!(columns.classes, [None, Some("serverError"), Some("serverError")]);
        assert_eq!(columns.errors, [None, Some("it failed"), Some("dead")]);
        assert_eq!(columns.excerpts, [None, Some("sorry"), None]);
    }
}
