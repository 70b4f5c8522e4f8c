//! What became of requests, in one call.

use std::time::Instant;

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{Attempted, Delivery, Fate, Settled, Standing};

/// Removes what was delivered, moves on what failed, logs each attempt and says how the destination is doing, all
/// in one call (`settle_requests`, whose plans the session keeps); nothing of it if the delivery row is no longer ours.
/// A request may be gone or replayed meanwhile (an operator's command); its attempt is logged all the same.
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
    let last = attempts.iter().rev().find(|attempt| attempt.error_class.is_some());
    let columns = Columns::of(attempts);
    let rests_for = standing.rests_for.map(|rest| rest.as_secs_f64());
    let trigger = delivery.destination.as_ref().and_then(|limits| limits.trigger.as_ref());
    let updated_at = trigger.map(|trigger| trigger.updated_at);
    let parameters: [(&(dyn ToSql + Sync), Type); 21] = [
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
        (&last.and_then(|attempt| attempt.error.clone()), Type::TEXT),
        (&last.and_then(|attempt| attempt.error_class), Type::TEXT),
        (&last.and_then(|attempt| attempt.status).map(i32::from), Type::INT4),
        (&updated_at, Type::TIMESTAMPTZ),
    ];
    let (values, types): (Vec<_>, Vec<_>) = parameters.into_iter().unzip();
    let statement = client.prepare_typed_cached(SETTLE, &types).await?;
    let row = client.query_one(&statement, &values).await?;
    Ok(match (row.get(0), row.get(1)) {
        (false, _) => Settled::Lost,
        (true, true) => Settled::Changed,
        (true, false) => Settled::Ours,
    })
}

const SETTLE: &str = "select ours, changed from settle_requests($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
                      $15, $16, $17, $18, $19, $20, $21)";

/// The attempts, as arrays. One that would say nothing is left empty: `unnest` fills up.
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
            ago: attempts.iter().map(|a| now.saturating_duration_since(a.began).as_secs_f64()).collect(),
            took: attempts.iter().map(|a| i32::try_from(a.took.as_millis()).unwrap_or(i32::MAX)).collect(),
            statuses: attempts.iter().map(|attempt| attempt.status.map(i32::from)).collect(),
            ..Self::default()
        };
        if attempts.iter().any(|attempt| attempt.fate != Fate::Delivered) {
            columns.outcomes = attempts.iter().map(|attempt| outcome(attempt.fate)).collect();
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

    /// The function unnests all arrays side by side: each is empty or as long as the others.
    #[test]
    fn columns_that_hold_nothing_are_empty_and_the_others_complete() {
        let delivered = || attempt(Fate::Delivered, None, None);
        let wait = Duration::from_secs(5);
        let failed = attempt(Fate::Again { after: wait, counts: true }, Some("it failed"), Some("sorry"));
        let all = [delivered(), delivered()];
        let columns = Columns::of(&all);
        assert_eq!((columns.ids.len(), columns.took.as_slice()), (2, &[7, 7][..]));
        assert!(columns.outcomes.is_empty() && columns.waits.is_empty());
        assert!(columns.errors.is_empty() && columns.excerpts.is_empty());
        let all = [delivered(), failed, attempt(Fate::Dead, Some("dead"), None)];
        let columns = Columns::of(&all);
        assert_eq!(columns.outcomes, ["delivered", "failed", "dead"]);
        assert_eq!((columns.waits, columns.counts), (vec![0.0, 5.0, 0.0], vec![0, 1, 1]));
        assert_eq!(columns.classes, [None, Some("serverError"), Some("serverError")]);
        assert_eq!(columns.errors, [None, Some("it failed"), Some("dead")]);
        assert_eq!(columns.excerpts, [None, Some("sorry"), None]);
    }
}
