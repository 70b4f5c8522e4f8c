//! Changing a trigger that is in use: all of it but its tenancy and its table, which make it the one that it is.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::register::{Operation, check_events, hex, millis, with_condition};
use super::{Limits, Observer, SECRETS_MAX, TriggerError, open_secrets, seal_secrets};
use crate::db::Internal;
use crate::http::sign;
use crate::secrets::Keyring;
use crate::tracking::{Session, TrackingError};

/// How often secrets that somebody else changes at the same time are read again.
const SECRETS_READ_AGAIN: u32 = 5;

/// What becomes of something that need not be set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Setting<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is not set any more: as a new trigger has it.
    Clear,
    /// It is this.
    To(T),
}

/// What is to be another one; everything else stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Whom it calls from now on.
    pub url: Option<String>,
    /// Headers by name; `None` = it is not sent along any more.
    pub headers: BTreeMap<String, Option<String>>,
    /// Of the headers that it has, none stays.
    pub drop_headers: bool,
    /// Make a secret, which signs beside those there are.
    pub new_secret: bool,
    /// These sign, too; newest first.
    pub secrets: Vec<SecretString>,
    /// Only what is added signs from now on; if nothing is, the newest.
    pub drop_old: bool,
    /// Which changes of its table.
    pub operations: Option<Vec<Operation>>,
    /// Which events of ours.
    pub events: Option<Vec<String>>,
    /// Columns that count in an update.
    pub columns: Setting<Vec<String>>,
    /// A JSON list of conditions on the row.
    pub condition: Setting<String>,
    /// A statement that makes more events makes one with their number.
    pub event_limit: Option<i32>,
    /// Events of one row go one after the other; those that wait already stay as they are.
    pub ordered: Option<bool>,
    /// Longest time of a request.
    pub timeout: Setting<Duration>,
    /// Requests at once.
    pub parallelism: Setting<i32>,
    /// Requests a second.
    pub rate_per_second: Setting<f64>,
    /// Events in one request, at most.
    pub batch_events: Option<i32>,
    /// How long a request waits to be filled.
    pub batch_wait: Option<Duration>,
}

impl Change {
    /// Whether everything stays as it is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.is_of_secrets() && self.spec().is_empty() && self.condition == Setting::Keep
    }

    /// Whether it says what the trigger listens to on its table.
    fn is_of_table(&self) -> bool {
        self.operations.is_some() || self.columns != Setting::Keep || self.condition != Setting::Keep
    }

    fn is_of_secrets(&self) -> bool {
        self.new_secret || self.drop_old || !self.secrets.is_empty()
    }

    /// All but the secrets and the condition, as the database takes it.
    fn spec(&self) -> Map<String, Value> {
        let mut spec = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            spec.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("url", self.url.as_ref().map(|url| json!(url)));
        put("headers", (!self.headers.is_empty()).then(|| json!(self.headers)));
        put("dropHeaders", self.drop_headers.then_some(Value::Bool(true)));
        let names = |all: &Vec<Operation>| json!(all.iter().map(|o| o.as_str()).collect::<Vec<_>>());
        put("operations", self.operations.as_ref().map(names));
        put("events", self.events.as_ref().map(|events| json!(events)));
        put("columns", self.columns.spec(|columns| json!(columns)));
        put("eventLimit", self.event_limit.map(Value::from));
        put("ordered", self.ordered.map(Value::Bool));
        put("timeoutMillis", self.timeout.spec(|timeout| json!(millis(*timeout))));
        put("parallelism", self.parallelism.spec(|number| json!(number)));
        put("ratePerSecond", self.rate_per_second.spec(|rate| json!(rate)));
        put("batchEvents", self.batch_events.map(Value::from));
        put("batchWaitMillis", self.batch_wait.map(|wait| json!(millis(wait))));
        spec
    }
}

impl<T> Setting<T> {
    fn spec(&self, value: impl Fn(&T) -> Value) -> Option<Value> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(Value::Null),
            Self::To(to) => Some(value(to)),
        }
    }
}

/// What is so now.
#[derive(Debug)]
pub struct Updated {
    /// The secret that was made. It is not shown again.
    pub new_secret: Option<SecretString>,
}

/// Changes a trigger, all of it or nothing; what is wrong is refused as it is when a trigger is registered. What waits
/// goes to the new URL, within the new limits, and is signed with what the trigger has when it is sent. A trigger that is
/// broken is mended by a definition that fits its table; one that is paused stays so. Cancelled: it is done or not.
///
/// # Errors
/// [`TriggerError`]; each says what to do.
pub async fn update(
    internal: &Internal,
    keys: &Keyring,
    id: Uuid,
    change: &Change,
    limits: Limits,
    observer: &mut dyn Observer,
) -> Result<Updated, TriggerError> {
    let new_secret = if change.new_secret { Some(sign::new_secret()?) } else { None };
    let added: Vec<&SecretString> = new_secret.iter().chain(&change.secrets).collect();
    added.iter().try_for_each(|secret| sign::check_secret(secret))?;
    check_events(change.events.as_deref().unwrap_or_default())?;
    let mut session = Session::open(internal, limits, observer).await?;
    let mut again = SECRETS_READ_AGAIN;
    loop {
        let now = Now::read(&session.client, id).await?;
        match &now.table {
            None if change.is_of_table() => return Err(TriggerError::ListensToEvents),
            Some(table) if change.events.is_some() => {
                return Err(TriggerError::ListensToTable(table.clone()));
            }
            _ => {}
        }
        let mut spec = change.spec();
        if change.is_of_secrets() {
            now.put_secrets(keys, id, change, &added, &mut spec)?;
        }
        let spec = with_condition(&Value::Object(spec), change.condition.spec_text())?;
        let statement = format!("select http_change_trigger('{id}', {spec})");
        match session.with_locks(now.table.as_deref().unwrap_or("our own events"), &statement).await {
            Err(TrackingError::Query(error))
                if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) && again > 0 =>
            {
                again -= 1;
            }
            result => {
                result?;
                return Ok(Updated { new_secret });
            }
        }
    }
}

impl Setting<String> {
    fn spec_text(&self) -> Option<&str> {
        match self {
            Self::Keep => None,
            Self::Clear => Some("null"),
            Self::To(text) => Some(text),
        }
    }
}

/// A trigger as it is before.
struct Now {
    secrets: Vec<u8>,
    key_id: String,
    table: Option<String>,
}

impl Now {
    async fn read(client: &Client, id: Uuid) -> Result<Self, TriggerError> {
        let sql = r#"
select t."secrets", t."keyId", h."name"
from "HttpTrigger" t left join "HttpTable" h on h."id" = t."tableId" where t."id" = $1"#;
        let rows = client.query_typed(sql, &[(&id, Type::UUID)]).await?;
        let row = rows.first().ok_or(TriggerError::Unknown(id))?;
        Ok(Self { secrets: row.get(0), key_id: row.get(1), table: row.get(2) })
    }

    fn put_secrets(
        &self,
        keys: &Keyring,
        id: Uuid,
        change: &Change,
        added: &[&SecretString],
        spec: &mut Map<String, Value>,
    ) -> Result<(), TriggerError> {
        // Secrets whose key is lost can be replaced all the same.
        let old = if change.drop_old && !added.is_empty() {
            Vec::new()
        } else {
            open_secrets(keys, id, &self.key_id, &self.secrets)?
        };
        let all = together(added, old, change.drop_old)?;
        let (secrets, places): (Vec<SecretString>, Vec<usize>) = all.into_iter().unzip();
        let sealed = seal_secrets(keys, id, &secrets)?;
        spec.insert("secretsBefore".to_owned(), Value::String(hex(&self.secrets)));
        spec.insert("secrets".to_owned(), Value::String(hex(&sealed.bytes)));
        spec.insert("keyId".to_owned(), Value::String(sealed.key_id));
        spec.insert("secretPlaces".to_owned(), json!(places));
        Ok(())
    }
}

/// The new ones first, each once; with the place that it had among the old ones, from 1, or 0.
fn together(
    added: &[&SecretString],
    old: Vec<SecretString>,
    drop_old: bool,
) -> Result<Vec<(SecretString, usize)>, TriggerError> {
    let same = |a: &SecretString, b: &SecretString| a.expose_secret().trim() == b.expose_secret().trim();
    let place = |secret: &SecretString| old.iter().position(|known| same(known, secret)).map_or(0, |n| n + 1);
    let mut all: Vec<(SecretString, usize)> = Vec::new();
    for secret in added.iter().map(|secret| (*secret).clone()).chain(old.iter().cloned()) {
        if all.iter().all(|(other, _)| !same(other, &secret)) {
            let place = place(&secret);
            all.push((secret, place));
        }
    }
    if drop_old && added.is_empty() {
        all.truncate(1);
    }
    if all.len() > SECRETS_MAX { Err(TriggerError::Secrets(all.len())) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(added: &[&str], old: &[&str], drop_old: bool) -> Result<Vec<(String, usize)>, TriggerError> {
        let secrets = |texts: &[&str]| -> Vec<SecretString> {
            texts.iter().map(|text| SecretString::from(*text)).collect()
        };
        let added = secrets(added);
        let all = together(&added.iter().collect::<Vec<_>>(), secrets(old), drop_old)?;
        Ok(all.iter().map(|(secret, place)| (secret.expose_secret().to_owned(), *place)).collect())
    }

    fn is(made: Result<Vec<(String, usize)>, TriggerError>, expected: &[(&str, usize)]) {
        let expected: Vec<(String, usize)> =
            expected.iter().map(|(text, n)| ((*text).to_owned(), *n)).collect();
        assert_eq!(made.expect("secrets"), expected);
    }

    #[test]
    fn new_secrets_come_first_and_old_ones_stay_until_they_are_dropped() {
        is(made(&["b"], &["a"], false), &[("b", 0), ("a", 1)]);
        is(made(&[], &["b", "a"], true), &[("b", 1)]);
        is(made(&["a "], &["b", "a"], false), &[("a ", 2), ("b", 1)]);
        assert!(matches!(made(&["e"], &["d", "c", "b", "a"], false), Err(TriggerError::Secrets(5))));
        assert_eq!(made(&["a"], &["d", "c", "b", "a"], false).expect("four").len(), 4);
    }

    #[test]
    fn only_what_is_changed_is_said() {
        assert_eq!(Value::Object(Change::default().spec()), json!({}));
        let change = Change {
            columns: Setting::Clear,
            rate_per_second: Setting::To(0.5),
            headers: BTreeMap::from([("X-A".to_owned(), None)]),
            ..Change::default()
        };
        let spec = json!({ "columns": null, "ratePerSecond": 0.5, "headers": { "X-A": null } });
        assert_eq!(Value::Object(change.spec()), spec);
    }
}
