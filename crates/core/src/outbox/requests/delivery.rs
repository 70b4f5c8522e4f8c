//! A destination's delivery row: queued → running → gone, or pending again.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use super::{Delivery, Limits, Next, TriggerCall, millis, seconds};
use crate::db::kept_one;
use crate::outbox::{Finished, Held};

const TAKE: &str = "
select counter, destination, tenancy, known, parallelism, rate, batch_events, batch_wait_millis, failures_in_row, failing_seconds,
    rests_seconds, active, url, headers, key_id, secrets, timeout_millis, updated_at
from take_delivery($1, $2, $3, $4)";

/// Takes a queued delivery row until the lease is over, and reads its destination, in one call whose plans the session
/// keeps. `None` = the message is stale.
///
/// # Errors
/// Postgres does.
pub async fn take_delivery(
    client: &Object,
    held: Held,
    worker_id: &str,
    lease: Duration,
) -> Result<Option<Delivery>, Error> {
    let lease = lease.as_secs_f64();
    let row = kept_one(client, TAKE, &[&held.request_id, &held.claim, &worker_id, &lease]).await?;
    let Some(counter) = row.get(0) else { return Ok(None) };
    Ok(Some(Delivery {
        held,
        counter,
        destination_id: row.get(1),
        tenancy_id: row.get(2),
        destination: row.get::<_, bool>(3).then(|| limits(&row)),
    }))
}

fn limits(row: &Row) -> Limits {
    Limits {
        parallelism: row.get(4),
        rate_per_second: row.get(5),
        batch_events: row.get(6),
        batch_wait: millis(Some(row.get(7))).unwrap_or_default(),
        failures: row.get(8),
        failing_for: row.get::<_, Option<f64>>(9).map(seconds),
        rests_for: row.get::<_, Option<f64>>(10).map(seconds).filter(|rest| !rest.is_zero()),
        trigger: row.get::<_, Option<bool>>(11).map(|active| TriggerCall {
            active,
            url: row.get(12),
            headers: row.get(13),
            key_id: row.get(14),
            secrets: row.get(15),
            timeout: millis(row.get(16)),
            updated_at: row.get(17),
        }),
    }
}

/// The turn is over if nothing waits and nobody asked meanwhile: then its delivery row is gone, and only then `true` is
/// returned.
///
/// # Errors
/// Postgres does.
pub async fn end_if_nothing_waits(client: &Object, delivery: &Delivery) -> Result<bool, Error> {
    let text = "select end_delivery($1, $2, $3, $4)";
    let held = delivery.held;
    let parameters: [&(dyn ToSql + Sync); 4] =
        [&held.request_id, &held.claim, &delivery.counter, &delivery.destination_id];
    Ok(kept_one(client, text, &parameters).await?.get(0))
}

/// The turn is over. Gone if nothing waits and nobody asked meanwhile; else pending. Two statements, because the second
/// must see what the first waited for.
///
/// # Errors
/// Postgres does.
pub async fn end_delivery(client: &Object, delivery: &Delivery, next: Next) -> Result<Finished, Error> {
    if end_if_nothing_waits(client, delivery).await? {
        return Ok(Finished::Gone);
    }
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
