//! The worker's side: queued → running → gone, or pending again.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{Lane, TargetKey};

/// A row that a worker holds: every step names row and claim, so that whoever lost it can do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// "OutgoingRequest".id
    pub request_id: Uuid,
    /// The claim under which it was taken.
    pub claim: i64,
}

impl Held {
    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 2] {
        [(&self.request_id, Type::UUID), (&self.claim, Type::INT8)]
    }
}

/// What a worker learns when it takes a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// To be named in every later step.
    pub held: Held,
    /// How often was asked up to now; [`finish`] wants it back.
    pub counter: i64,
    /// Failures in a row before this run.
    pub attempts: i32,
    /// Which lane it came through.
    pub lane: Lane,
    /// Whose sync it is: the row's word, not the message's.
    pub target: TargetKey,
}

/// Whether a lease was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// It is ours for another lease.
    Ours,
    /// Somebody else has claimed the row, or it is gone: stop writing.
    Lost,
}

/// What became of a row whose work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// Nobody asked meanwhile: the row is gone.
    Gone,
    /// Somebody asked while it ran: it is pending again, due at once.
    AskedAgain,
    /// The row was no longer ours.
    Lost,
}

/// Takes a queued row for `worker_id` until the lease is over. `None` = the message is stale: the row is gone,
/// was claimed again, is running, or its claim has lapsed. Drop the message then.
///
/// # Errors
/// Postgres does.
pub async fn take(
    client: &Object,
    held: Held,
    worker_id: &str,
    lease: Duration,
) -> Result<Option<Taken>, Error> {
    let text = r#"
update "OutgoingRequest"
set "runningSince" = now(), "dueAt" = now() + $4 * interval '1 second', "workerId" = $3
where id = $1 and claim = $2 and "startedFulfillingAt" is not null and "runningSince" is null and "dueAt" > now()
returning counter, attempts, lane, "tenancyId", "databaseId""#;
    let [id, claim] = held.parameters();
    let parameters = [id, claim, (&worker_id, Type::TEXT), (&lease.as_secs_f64(), Type::FLOAT8)];
    let row = client.query_typed_opt(text, &parameters).await?;
    Ok(row.map(|row| Taken {
        held,
        counter: row.get(0),
        attempts: row.get(1),
        lane: Lane::from_column(row.get(2)),
        target: TargetKey { tenancy_id: row.get(3), database_id: row.get(4) },
    }))
}

/// Renews the lease of a running row. A lease that lapsed is renewed, too, as long as nobody claimed the row.
///
/// # Errors
/// Postgres does.
pub async fn renew(client: &Object, held: Held, lease: Duration) -> Result<Renewed, Error> {
    let text = r#"
update "OutgoingRequest" set "dueAt" = now() + $3 * interval '1 second'
where id = $1 and claim = $2 and "runningSince" is not null"#;
    let [id, claim] = held.parameters();
    let rows = client.execute_typed(text, &[id, claim, (&lease.as_secs_f64(), Type::FLOAT8)]).await?;
    Ok(if rows == 1 { Renewed::Ours } else { Renewed::Lost })
}

/// The work is done up to what was asked when the row was taken. Two statements, because the second must see
/// what the first waited for: somebody who is just asking again.
///
/// # Errors
/// Postgres does.
pub async fn finish(client: &Object, held: Held, counter: i64) -> Result<Finished, Error> {
    let delete = r#"
delete from "OutgoingRequest" where id = $1 and claim = $2 and "runningSince" is not null and counter = $3"#;
    let [id, claim] = held.parameters();
    if client.execute_typed(delete, &[id, claim, (&counter, Type::INT8)]).await? == 1 {
        return Ok(Finished::Gone);
    }
    let again = pending_again(client, held, 0.0, After::Progress { lane: Lane::Live }).await?;
    Ok(if again { Finished::AskedAgain } else { Finished::Lost })
}

/// The target failed: pending, one attempt more, due after `backoff`. Whoever asks meanwhile does not shorten it.
/// `false` = the row was no longer ours.
///
/// # Errors
/// Postgres does.
pub async fn failed(client: &Object, held: Held, backoff: Duration) -> Result<bool, Error> {
    pending_again(client, held, backoff.as_secs_f64(), After::Failure).await
}

/// We cannot go on (shutdown, a fault of ours): pending, due after `wait`, no attempt counted.
/// `false` = the row was no longer ours.
///
/// # Errors
/// Postgres does.
pub async fn give_back(client: &Object, held: Held, wait: Duration) -> Result<bool, Error> {
    pending_again(client, held, wait.as_secs_f64(), After::OurFault).await
}

/// A turn of a backfill is done and there is more: pending, due at once, in the lane for bulk.
/// `false` = the row was no longer ours.
///
/// # Errors
/// Postgres does.
pub async fn continue_bulk(client: &Object, held: Held) -> Result<bool, Error> {
    pending_again(client, held, 0.0, After::Progress { lane: Lane::Bulk }).await
}

/// Why a running row becomes pending.
enum After {
    Progress { lane: Lane },
    Failure,
    OurFault,
}

async fn pending_again(
    client: &Object,
    held: Held,
    due_in_seconds: f64,
    after: After,
) -> Result<bool, Error> {
    let (more_attempts, reset_attempts, lane) = match after {
        After::Progress { lane } => (0_i32, true, Some(lane.as_str())),
        After::Failure => (1, false, None),
        After::OurFault => (0, false, None),
    };
    let text = r#"
update "OutgoingRequest"
set "startedFulfillingAt" = null, "runningSince" = null, "workerId" = null,
    "dueAt" = now() + $3 * interval '1 second',
    attempts = case when $5 then 0 else attempts + $4 end, lane = coalesce($6, lane)
where id = $1 and claim = $2 and "runningSince" is not null"#;
    let [id, claim] = held.parameters();
    let parameters = [
        id,
        claim,
        (&due_in_seconds, Type::FLOAT8),
        (&more_attempts, Type::INT4),
        (&reset_attempts, Type::BOOL),
        (&lane, Type::TEXT),
    ];
    Ok(client.execute_typed(text, &parameters).await? == 1)
}
