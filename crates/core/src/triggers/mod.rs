//! Triggers: whom a committed change, or an event of our own, is told by an HTTP request.
//!
//! The work is done in the database (`http_add_trigger` and its kin), where the events are made, too. Here a trigger
//! becomes fit to be registered: its table is found, its data is what a mapping makes of a row, its secrets are sealed;
//! and a live table is waited for only as long as [`Limits`] say.

mod browse;
mod follow;
mod list;
mod register;
mod source;
mod update;

use deadpool_postgres::{GenericClient, Object};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Error;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::db::{DbError, describe};
use crate::http::sign::SecretError;
use crate::secrets::{Keyring, Sealed, SecretsError, trigger_binding};
use crate::tracking::TrackingError;

pub use crate::tracking::{Limits, Observer};
pub use browse::{COUNT_MAX, SEARCHED_MAX, TriggerCursor, TriggerFilter, TriggerStanding, browse, find};
pub use follow::{Followed, follow_mappings};
pub use list::Line;
pub use register::{Listens, NewTrigger, Operation, Registered, register, remove, remove_all, resume};
pub use update::{Change, Setting, Updated, update};

/// Our own events, which a trigger can listen to instead of a table.
pub const OWN_EVENTS: [&str; 4] = ["target.broken", "target.recovered", "trigger.paused", "source.rewound"];

/// How many secrets a trigger can have: each makes a signature in each request.
pub const SECRETS_MAX: usize = 4;

/// Why a trigger is not registered, or still is.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// The internal Postgres could not be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A statement failed.
    #[error("internal Postgres: {}", describe(.0))]
    Query(#[from] tokio_postgres::Error),
    /// The table, its locks, or the definition; says what to do.
    #[error(transparent)]
    Table(#[from] TrackingError),
    /// The secrets cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SecretsError),
    /// A secret cannot sign.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// More secrets than a trigger can have.
    #[error(
        "a trigger has at most {SECRETS_MAX} secrets, and that would make {0}; \
         `trigger update ID --drop-old-secrets` leaves the newest alone"
    )]
    Secrets(usize),
    /// There is no such trigger.
    #[error("there is no trigger {0}; `trigger list` shows those there are")]
    Unknown(Uuid),
    /// There is no such event of ours.
    #[error("there is no event {0:?}; there are {all}", all = OWN_EVENTS.join(", "))]
    Event(String),
    /// A table's part of a definition, for a trigger that has no table.
    #[error(
        "it listens to events of tenant-sync, not to a table: --on, --columns and --when mean nothing to it; \
         --event says which events"
    )]
    ListensToEvents,
    /// Events of ours, for a trigger of a table.
    #[error(
        "it listens to {0}: --event is for triggers that were added with it; \
         `trigger add --event …` makes another one"
    )]
    ListensToTable(String),
    /// What was given as a condition is not JSON.
    #[error("the condition is not JSON: {0}")]
    NotJson(String),
}

/// The signing secrets of a trigger, newest first, as they were given: `whsec_…` or `whsk_…`.
///
/// # Errors
/// The key is not configured, or the bytes are not what was sealed for this trigger.
pub fn open_secrets(
    keys: &Keyring,
    trigger_id: Uuid,
    key_id: &str,
    sealed: &[u8],
) -> Result<Vec<SecretString>, SecretsError> {
    let text = keys.decrypt(key_id, sealed, &trigger_binding(trigger_id))?;
    Ok(text.expose_secret().lines().map(SecretString::from).collect())
}

/// Seals the signing secrets of a trigger, newest first.
///
/// # Errors
/// No key is configured, or the system gives no random bytes.
pub fn seal_secrets(
    keys: &Keyring,
    trigger_id: Uuid,
    secrets: &[SecretString],
) -> Result<Sealed, SecretsError> {
    let lines: Vec<&str> = secrets.iter().map(|secret| secret.expose_secret().trim()).collect();
    keys.encrypt(lines.join("\n").as_bytes(), &trigger_binding(trigger_id))
}

/// Lets a trigger make no events and send none from now on, and tells so (`trigger.paused`). `false` = it was paused
/// already, or is none.
///
/// # Errors
/// Postgres does.
pub async fn pause<C: GenericClient>(client: &C, trigger_id: Uuid, reason: &str) -> Result<bool, Error> {
    client.query_one("select http_pause_trigger($1, $2)", &[&trigger_id, &reason]).await?.try_get(0)
}

/// Tells triggers of an event of our own; one of [`OWN_EVENTS`]. Returns how many.
///
/// # Errors
/// Postgres does.
pub async fn own_event(
    client: &Object,
    event: &str,
    tenancy_id: Option<Uuid>,
    data: &serde_json::Value,
) -> Result<i64, Error> {
    let data = data.to_string();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&event, Type::TEXT), (&tenancy_id, Type::UUID), (&data, Type::TEXT)];
    Ok(client.query_typed_one("select http_own_event($1, $2, $3::text::jsonb)", &parameters).await?.get(0))
}

/// Queues an event `trigger.test` for one trigger, whatever it listens to. `None` = there is no such trigger.
///
/// # Errors
/// Postgres does.
pub async fn test<C: GenericClient>(client: &C, trigger_id: Uuid) -> Result<Option<Uuid>, Error> {
    let text = r#"
with made as (
    insert into "OutgoingRequest" (kind, "destinationId", position, "tenancyId", "eventType", body)
    select 'http', t.id, nextval('outgoing_request_seq'), t."tenancyId", 'trigger.test',
           json_build_object('type', 'trigger.test',
                             'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                             'tenancyId', t."tenancyId", 'data', json_build_object('triggerId', t.id))::text
    from "HttpTrigger" t where t.id = $1
    returning id, "destinationId"
), asked as (
    insert into "OutgoingRequest" (kind, "destinationId", "askedBy")
    select 'deliveryAsk', m."destinationId", pg_current_xact_id() from made m
)
select id from made"#;
    client.query_opt(text, &[&trigger_id]).await?.map(|row| row.try_get(0)).transpose()
}

/// Counts statements of the application that made no events at their triggers, at most `limit`, and parks the triggers
/// whose definition is broken. Returns how many statements there were.
///
/// # Errors
/// Postgres does.
pub async fn settle_faults(client: &Object, limit: i64) -> Result<i64, Error> {
    Ok(client.query_typed_one("select http_settle_faults($1)", &[(&limit, Type::INT8)]).await?.get(0))
}
