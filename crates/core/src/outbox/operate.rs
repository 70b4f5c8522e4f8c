//! What an operator wants at once: a back-off that is running is cut short.

use deadpool_postgres::Object;
use tokio_postgres::Error;

use super::{TargetKey, ask};
use crate::trace::Span;

fn keys(targets: &[TargetKey]) -> Vec<String> {
    targets.iter().map(|t| format!("sync:{}:{}", t.tenancy_id, t.database_id)).collect()
}

/// Asks for targets at once, also for those that wait after a failure, and wakes the pollers. `wish` is what the operator
/// calls it, such as `sync now`: a trace begins with it.
///
/// # Errors
/// Postgres does.
pub async fn wish(client: &Object, wish: &'static str, targets: &[TargetKey]) -> Result<(), Error> {
    let span = span_of(wish, targets);
    ask::enqueue(client, targets, span.traceparent().as_deref()).await?;
    hurry(client, targets).await?;
    ask::notify(client).await
}

/// Like [`wish`], and whoever works with the old settings of these targets is worth nothing any more.
///
/// # Errors
/// Postgres does.
pub async fn wish_anew(client: &Object, wish: &'static str, targets: &[TargetKey]) -> Result<(), Error> {
    let span = span_of(wish, targets);
    ask::enqueue(client, targets, span.traceparent().as_deref()).await?;
    start_over(client, targets).await?;
    ask::notify(client).await
}

fn span_of(wish: &'static str, targets: &[TargetKey]) -> Span {
    if targets.is_empty() {
        return Span::none();
    }
    let mut span = Span::root(wish);
    span.set("tenant_sync.targets", || i64::try_from(targets.len()).unwrap_or(i64::MAX));
    span
}

/// Makes the waiting rows of these targets due now, with a fresh count of attempts. A row that is queued or
/// running keeps its lease. Returns how many rows there are.
///
/// # Errors
/// Postgres does.
pub async fn hurry(client: &Object, targets: &[TargetKey]) -> Result<u64, Error> {
    let statement = client
        .prepare_cached(
            r#"
with locked as materialized (
    select id from "OutgoingRequest" where kind = 'sync' and "deduplicationKey" = any ($1)
    order by "deduplicationKey" for update
)
update "OutgoingRequest" r
set attempts = 0,
    "dueAt" = case when r."startedFulfillingAt" is null then least(r."dueAt", now()) else r."dueAt" end
from locked where r.id = locked.id"#,
        )
        .await?;
    client.execute(&statement, &[&keys(targets)]).await
}

/// Like [`hurry`], and takes the row away from a worker that runs it: what it does is worth nothing any more,
/// because the target's settings have changed. It notices when it renews its lease; until then the lock in the
/// target keeps it and its successor apart.
///
/// # Errors
/// Postgres does.
pub async fn start_over(client: &Object, targets: &[TargetKey]) -> Result<u64, Error> {
    let statement = client
        .prepare_cached(
            r#"
with locked as materialized (
    select id from "OutgoingRequest" where kind = 'sync' and "deduplicationKey" = any ($1)
    order by "deduplicationKey" for update
)
update "OutgoingRequest" r
set claim = r.claim + 1, "startedFulfillingAt" = null, "runningSince" = null, "workerId" = null, attempts = 0,
    "dueAt" = now()
from locked where r.id = locked.id"#,
        )
        .await?;
    client.execute(&statement, &[&keys(targets)]).await
}

/// Whether a worker runs a job of this target.
///
/// # Errors
/// Postgres does.
pub async fn is_running(client: &Object, target: &TargetKey) -> Result<bool, Error> {
    let statement = client
        .prepare_cached(
            r#"select exists (select from "OutgoingRequest" where kind = 'sync' and "deduplicationKey" = any ($1)
                              and "runningSince" is not null and "dueAt" > now())"#,
        )
        .await?;
    client.query_one(&statement, &[&keys(std::slice::from_ref(target))]).await?.try_get(0)
}
