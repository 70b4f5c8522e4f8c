//! Every statement on "AuditEntry": what operators did through the console.

pub(crate) mod api;

use std::time::Duration;

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::Error;
use uuid::Uuid;

use crate::access::Operator;

pub(crate) use api::routes;

/// A change that an operator made.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    action: &'static str,
    tenancy_id: Option<Uuid>,
    subject: Option<&'a str>,
    /// What was asked for; no secrets.
    pub(crate) details: Value,
}

impl<'a> Change<'a> {
    /// `action` is a noun and a verb, such as `target.pause`.
    pub(crate) fn of(action: &'static str) -> Self {
        Self { action, tenancy_id: None, subject: None, details: Value::Object(serde_json::Map::new()) }
    }

    pub(crate) fn in_tenancy(self, tenancy_id: Uuid) -> Self {
        Self { tenancy_id: Some(tenancy_id), ..self }
    }

    /// What of the tenancy it was done to.
    pub(crate) fn to(self, subject: &'a str) -> Self {
        Self { subject: Some(subject), ..self }
    }

    /// `details` must be an object, without secrets.
    pub(crate) fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }
}

/// Writes an entry. Meant for the transaction that makes the change, so that neither is there without the other.
pub(crate) async fn record<C: GenericClient>(
    client: &C,
    operator: &Operator,
    change: &Change<'_>,
) -> Result<(), Error> {
    let sql = r#"insert into "AuditEntry" ("operator", "address", "action", "tenancyId", "subject", "details")
                 values ($1, $2, $3, $4, $5, $6)"#;
    let address = operator.address.to_string();
    client
        .execute(
            sql,
            &[&operator.name, &address, &change.action, &change.tenancy_id, &change.subject, &change.details],
        )
        .await?;
    Ok(())
}

/// Most entries that one call of [`purge`] removes.
const PURGED_MAX: i64 = 1_000;

/// Removes entries that are older than this, the oldest first.
pub(crate) async fn purge<C: GenericClient>(client: &C, retention: Duration) -> Result<u64, Error> {
    let sql = r#"delete from "AuditEntry" where "id" in (
                     select "id" from "AuditEntry" where "at" < now() - $1 * interval '1 second'
                     order by "at" limit $2 for update skip locked)"#;
    client.execute(sql, &[&retention.as_secs_f64(), &PURGED_MAX]).await
}
