//! Every statement on "AuditEntry": what operators did through the console.

use deadpool_postgres::GenericClient;
use serde_json::Value;
use tokio_postgres::Error;
use uuid::Uuid;

use crate::access::Operator;

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
