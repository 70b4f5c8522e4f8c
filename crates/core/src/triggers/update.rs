//! Changing a trigger that is in use: its URL, its secrets.

use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{SECRETS_MAX, TriggerError, open_secrets, seal_secrets};
use crate::db::Internal;
use crate::http::sign;
use crate::secrets::Keyring;
use crate::tracking::refusal;

/// A registration that is under way holds the trigger's row for a few seconds.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '15s'";

/// What is to be another one.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Whom it calls from now on.
    pub url: Option<String>,
    /// Make a secret, which signs beside those there are.
    pub new_secret: bool,
    /// These sign, too; newest first.
    pub secrets: Vec<SecretString>,
    /// Only what is added signs from now on; if nothing is, the newest.
    pub drop_old: bool,
}

/// What is so now.
#[derive(Debug)]
pub struct Updated {
    /// The secret that was made. It is not shown again.
    pub new_secret: Option<SecretString>,
    /// How many secrets sign; `None` = that was not changed.
    pub secrets: Option<usize>,
}

/// Changes a trigger. What waits goes to the new URL, and is signed with what the trigger has when it is sent.
/// Cancelled: all is done or nothing.
///
/// # Errors
/// [`TriggerError`]; each says what to do.
pub async fn update(
    internal: &Internal,
    keys: &Keyring,
    id: Uuid,
    change: &Change,
) -> Result<Updated, TriggerError> {
    let new_secret = if change.new_secret { Some(sign::new_secret()?) } else { None };
    let added: Vec<&SecretString> = new_secret.iter().chain(&change.secrets).collect();
    added.iter().try_for_each(|secret| sign::check_secret(secret))?;
    let mut client = internal.get().await?;
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK_TIMEOUT).await?;
    let text = r#"select "secrets", "keyId" from "HttpTrigger" where "id" = $1 for no key update"#;
    let rows = transaction.query_typed(text, &[(&id, Type::UUID)]).await?;
    let row = rows.first().ok_or(TriggerError::Unknown(id))?;
    let (stored, key_id): (Vec<u8>, String) = (row.get(0), row.get(1));
    let secrets = if added.is_empty() && !change.drop_old {
        None
    } else {
        let old = || open_secrets(keys, id, &key_id, &stored);
        // Secrets whose key is lost can be replaced all the same.
        let old = if change.drop_old && !added.is_empty() { Vec::new() } else { old()? };
        Some(together(&added, old, change.drop_old)?)
    };
    let sealed = secrets.as_ref().map(|secrets| seal_secrets(keys, id, secrets)).transpose()?;
    let (bytes, key_id) = (sealed.as_ref().map(|s| &s.bytes), sealed.as_ref().map(|s| &s.key_id));
    let parameters: [(&(dyn ToSql + Sync), Type); 4] =
        [(&id, Type::UUID), (&change.url, Type::TEXT), (&bytes, Type::BYTEA), (&key_id, Type::TEXT)];
    transaction
        .query_typed("select http_update_trigger($1, $2, $3, $4)", &parameters)
        .await
        .map_err(refusal)?;
    transaction.commit().await?;
    Ok(Updated { new_secret, secrets: secrets.map(|secrets| secrets.len()) })
}

/// The new ones first, each once.
fn together(
    added: &[&SecretString],
    old: Vec<SecretString>,
    drop_old: bool,
) -> Result<Vec<SecretString>, TriggerError> {
    let mut all: Vec<SecretString> = Vec::new();
    for secret in added.iter().map(|secret| (*secret).clone()).chain(old) {
        let is_new = |other: &SecretString| other.expose_secret().trim() != secret.expose_secret().trim();
        if all.iter().all(is_new) {
            all.push(secret);
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

    fn made(added: &[&str], old: &[&str], drop_old: bool) -> Result<Vec<String>, TriggerError> {
        let secrets = |texts: &[&str]| -> Vec<SecretString> {
            texts.iter().map(|text| SecretString::from(*text)).collect()
        };
        let added = secrets(added);
        let all = together(&added.iter().collect::<Vec<_>>(), secrets(old), drop_old)?;
        Ok(all.iter().map(|secret| secret.expose_secret().to_owned()).collect())
    }

    #[test]
    fn new_secrets_come_first_and_old_ones_stay_until_they_are_dropped() {
        assert_eq!(made(&["b"], &["a"], false).expect("two"), ["b", "a"]);
        assert_eq!(made(&[], &["b", "a"], true).expect("one"), ["b"]);
        assert_eq!(made(&["a "], &["b", "a"], false).expect("each once"), ["a ", "b"]);
        assert!(matches!(made(&["e"], &["d", "c", "b", "a"], false), Err(TriggerError::Secrets(5))));
        assert_eq!(made(&["a"], &["d", "c", "b", "a"], false).expect("four").len(), 4);
    }
}
