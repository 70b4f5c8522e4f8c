//! What is kept for a while only.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Error;
use tokio_postgres::types::Type;

use crate::outbox::OF_ALL;

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
    let text = format!(
        r#"
delete from "OutgoingRequest" where id in (
    select id from "OutgoingRequest"
    where kind = 'http' and state = 'dead' and {OF_ALL} and "diedAt" < now() - $1 * interval '1 second' limit $2
    for update skip locked)"#
    );
    purge(client, &text, retention, limit).await
}

async fn purge(client: &Object, text: &str, retention: Duration, limit: i64) -> Result<u64, Error> {
    let retention = retention.as_secs_f64();
    client.execute_typed(text, &[(&retention, Type::FLOAT8), (&limit, Type::INT8)]).await
}
