//! A destination's delivery row: queued → running → gone, or pending again.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use super::{Delivery, Limits, Next, TriggerCall, millis, seconds};
use crate::outbox::{Finished, Held};

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
    returning counter, "destinationId", "tenancyId"
)
select r.counter, r."destinationId", d.id, d.parallelism, d."ratePerSecond", d."batchEvents", d."batchWaitMillis",
    d."consecutiveFailures", extract(epoch from now() - d."failingSince")::float8,
    extract(epoch from d."nextAttemptAt" - now())::float8,
    t.state = 'active', t.url, t.headers, t."keyId", t.secrets, t."timeoutMillis", t."updatedAt", r."tenancyId"
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
        tenancy_id: row.get(17),
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
