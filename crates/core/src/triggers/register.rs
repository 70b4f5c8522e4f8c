//! Registering a trigger while the application uses its table.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::source::{Source, source, source_of};
use super::{Limits, OWN_EVENTS, Observer, SECRETS_MAX, TriggerError, seal_secrets};
use crate::db::Internal;
use crate::http::sign;
use crate::mapping::{Mapping, quote_literal};
use crate::secrets::{Keyring, Sealed};
use crate::tracking::Session;

/// What of a row a trigger listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A row comes.
    Insert,
    /// Its data changes.
    Update,
    /// It goes.
    Delete,
}

impl Operation {
    /// As in the column `operations`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// What a trigger listens to.
#[derive(Debug, Clone)]
pub enum Listens {
    /// Changes of a table: a shipped one by its name or its mapping's, a tracked one as `SCHEMA.TABLE`.
    Table {
        /// The table as it was typed.
        table: String,
        /// Which changes.
        operations: Vec<Operation>,
        /// An update counts if one of these columns changed; `None` = if the event's data did.
        columns: Option<Vec<String>>,
        /// A JSON list of conditions on the row.
        condition: Option<String>,
    },
    /// Events of our own.
    Own(Vec<String>),
}

/// A trigger to be registered.
#[derive(Debug, Clone)]
pub struct NewTrigger {
    /// Whose rows; `None` = all tenants'.
    pub tenancy_id: Option<Uuid>,
    /// What it listens to.
    pub listens: Listens,
    /// Whom it calls.
    pub url: String,
    /// What is sent along.
    pub headers: BTreeMap<String, String>,
    /// What signs, newest first; empty = one is made.
    pub secrets: Vec<SecretString>,
    /// A statement that makes more events makes one with their number.
    pub event_limit: i32,
    /// Events of one row go one after the other.
    pub ordered: bool,
    /// Longest time of a request; `None` = as configured.
    pub timeout: Option<Duration>,
    /// Requests at once; `None` = as configured.
    pub parallelism: Option<i32>,
    /// Requests a second; `None` = no bound.
    pub rate_per_second: Option<f64>,
    /// Events in one request, at most.
    pub batch_events: i32,
    /// How long a request waits to be filled.
    pub batch_wait: Duration,
}

/// A trigger that is there now.
#[derive(Debug)]
pub struct Registered {
    /// "HttpTrigger".id
    pub id: Uuid,
    /// The secret that was made for it. It is not shown again.
    pub new_secret: Option<SecretString>,
    /// First part of its events' names.
    pub event: Option<String>,
}

/// Registers a trigger. Cancelled: it is there or not, nothing is half done.
///
/// # Errors
/// [`TriggerError`]; each says what to do.
pub async fn register(
    internal: &Internal,
    mappings: &[Mapping],
    keys: &Keyring,
    new: &NewTrigger,
    limits: Limits,
    observer: &mut dyn Observer,
) -> Result<Registered, TriggerError> {
    let id = Uuid::new_v4();
    let new_secret = if new.secrets.is_empty() { Some(sign::new_secret()?) } else { None };
    let secrets = new_secret.as_ref().map_or(new.secrets.as_slice(), std::slice::from_ref);
    if secrets.len() > SECRETS_MAX {
        return Err(TriggerError::Secrets(secrets.len()));
    }
    secrets.iter().try_for_each(sign::check_secret)?;
    let sealed = seal_secrets(keys, id, secrets)?;
    let mut session = Session::open(internal, limits, observer).await?;
    let source = match &new.listens {
        Listens::Table { table, .. } => {
            Some(source(&session.client, internal.schema(), mappings, table).await?)
        }
        Listens::Own(events) => {
            check_events(events)?;
            None
        }
    };
    let spec = spec(id, new, source.as_ref(), &sealed, secrets.len())?;
    let name = source.as_ref().map_or("our own events", |s| s.name.as_str());
    session.with_locks(name, &format!("select http_add_trigger({spec})")).await?;
    Ok(Registered { id, new_secret, event: source.map(|s| s.event) })
}

fn spec(
    id: Uuid,
    new: &NewTrigger,
    source: Option<&Source>,
    sealed: &Sealed,
    secret_count: usize,
) -> Result<String, TriggerError> {
    let (operations, events, columns, condition) = match &new.listens {
        Listens::Table { operations, columns, condition, .. } => {
            (operations.clone(), Vec::new(), columns.clone(), condition.as_ref())
        }
        Listens::Own(events) => (Vec::new(), events.clone(), None, None),
    };
    let spec = serde_json::json!({
        "id": id,
        "tenancyId": new.tenancy_id,
        "relation": source.map(|s| s.relation.to_string()),
        "event": source.map(|s| &s.event),
        "mappingName": source.and_then(|s| s.mapping.as_ref()),
        "data": source.and_then(|s| s.data.as_ref()),
        "operations": operations.iter().map(|o| o.as_str()).collect::<Vec<_>>(),
        "events": events,
        "columns": columns,
        "url": new.url,
        "headers": new.headers,
        "secrets": hex(&sealed.bytes),
        "keyId": sealed.key_id,
        "secretCount": secret_count,
        "timeoutMillis": new.timeout.map(millis),
        "eventLimit": new.event_limit,
        "ordered": new.ordered,
        "parallelism": new.parallelism,
        "ratePerSecond": new.rate_per_second,
        "batchEvents": new.batch_events,
        "batchWaitMillis": millis(new.batch_wait),
    });
    with_condition(&spec, condition.map(String::as_str))
}

/// As SQL, with a condition beside the rest if there is one.
pub(super) fn with_condition(
    spec: &serde_json::Value,
    condition: Option<&str>,
) -> Result<String, TriggerError> {
    let spec = format!("{}::jsonb", quote_literal(&spec.to_string()));
    Ok(match condition {
        None => spec,
        // As it was written: a number that passes through ours may be another one.
        Some(text) => {
            let read: serde_json::Value =
                serde_json::from_str(text).map_err(|error| TriggerError::NotJson(error.to_string()))?;
            if holds_zero(&read) {
                return Err(TriggerError::NotJson(
                    "it holds \\u0000, which no text in Postgres can hold".to_owned(),
                ));
            }
            format!("{spec} || jsonb_build_object('condition', {}::jsonb)", quote_literal(text))
        }
    })
}

fn holds_zero(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(all) => all.iter().any(holds_zero),
        serde_json::Value::Object(all) => all.iter().any(|(key, one)| key.contains('\0') || holds_zero(one)),
        _ => false,
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Refuses what is no event of ours.
pub(super) fn check_events(events: &[String]) -> Result<(), TriggerError> {
    match events.iter().find(|event| !OWN_EVENTS.contains(&event.as_str())) {
        Some(unknown) => Err(TriggerError::Event(unknown.clone())),
        None => Ok(()),
    }
}

/// Lets a paused or broken trigger be active again. Its condition is compiled anew, and its data is what the mapping
/// says today. `false` = it was active; that is done all the same.
///
/// # Errors
/// [`TriggerError`]; each says what to do.
pub async fn resume(
    internal: &Internal,
    mappings: &[Mapping],
    id: Uuid,
    limits: Limits,
    observer: &mut dyn Observer,
) -> Result<bool, TriggerError> {
    let mut session = Session::open(internal, limits, observer).await?;
    let sql = r#"
select t."state" <> 'active', h."relation", h."mappingName"
from "HttpTrigger" t left join "HttpTable" h on h."id" = t."tableId" where t."id" = $1"#;
    let rows = session.client.query_typed(sql, &[(&id, Type::UUID)]).await?;
    let row = rows.first().ok_or(TriggerError::Unknown(id))?;
    let (was_off, relation, mapping): (bool, Option<u32>, Option<String>) =
        (row.get(0), row.get(1), row.get(2));
    let (name, statement) = match relation {
        None => ("our own events".to_owned(), format!("select http_activate('{id}')")),
        Some(relation) => {
            let named = mappings.iter().find(|m| Some(&m.name) == mapping.as_ref());
            let source = source_of(&session.client, internal.schema(), mappings, relation, named).await?;
            let text = |value: Option<&String>| value.map_or_else(|| "null".to_owned(), |v| quote_literal(v));
            let statement = format!(
                "select http_resume_trigger('{id}', {}, {}, {})",
                quote_literal(&source.event),
                text(source.mapping.as_ref()),
                text(source.data.as_ref())
            );
            (source.name, statement)
        }
    };
    session.with_locks(&name, &statement).await?;
    Ok(was_off)
}

/// Removes a trigger and what waits for it. The last one of a table takes what was made for the table along.
///
/// # Errors
/// [`TriggerError`]; each says what to do.
pub async fn remove(
    internal: &Internal,
    id: Uuid,
    limits: Limits,
    observer: &mut dyn Observer,
) -> Result<u64, TriggerError> {
    let mut session = Session::open(internal, limits, observer).await?;
    let sql = r#"select coalesce(h."name", 'our own events') from "HttpTrigger" t left join "HttpTable" h on h."id" = t."tableId"
                 where t."id" = $1"#;
    let rows = session.client.query_typed(sql, &[(&id, Type::UUID)]).await?;
    let name: String = rows.first().ok_or(TriggerError::Unknown(id))?.get(0);
    session.with_locks(&name, &format!("select http_remove_trigger('{id}')")).await?;
    let mut dropped = 0;
    for state in ["pending", "dead"] {
        let batch = format!(
            r#"delete from "OutgoingRequest" where "id" in (
                   select r."id" from "OutgoingRequest" r
                   where r."kind" = 'http' and r."state" = '{state}' and r."destinationId" = $1 limit 5000)"#
        );
        loop {
            let rows = session.client.execute_typed(&batch, &[(&id, Type::UUID)]).await?;
            dropped += rows;
            if rows == 0 {
                break;
            }
        }
    }
    let delivery = r#"delete from "OutgoingRequest" where "kind" = 'delivery' and "destinationId" = $1"#;
    session.client.execute_typed(delivery, &[(&id, Type::UUID)]).await?;
    Ok(dropped)
}

/// Removes every trigger. Returns how many there were.
///
/// # Errors
/// [`TriggerError`]; each says what to do.
pub async fn remove_all(
    internal: &Internal,
    limits: Limits,
    observer: &mut dyn Observer,
) -> Result<usize, TriggerError> {
    let rows = internal.get().await?.query_typed(r#"select "id" from "HttpTrigger" order by 1"#, &[]).await?;
    for row in &rows {
        remove(internal, row.get(0), limits, observer).await?;
    }
    Ok(rows.len())
}
