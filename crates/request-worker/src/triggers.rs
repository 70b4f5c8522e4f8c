//! Until `core::triggers` is there.
use deadpool_postgres::Object;
use secrecy::{ExposeSecret, SecretString};
use tenant_sync_core::db::DbError;
use tenant_sync_core::secrets::{Keyring, SecretsError};
use uuid::Uuid;

pub(crate) fn open_secrets(
    keys: &Keyring,
    id: Uuid,
    key_id: &str,
    bytes: &[u8],
) -> Result<Vec<SecretString>, SecretsError> {
    let mut aad = b"tenant-sync/HttpTrigger/1/".to_vec();
    aad.extend_from_slice(id.as_bytes());
    let text = keys.decrypt(key_id, bytes, &aad)?;
    Ok(text.expose_secret().lines().map(SecretString::from).collect())
}

pub(crate) async fn pause(client: &Object, id: Uuid, reason: &str) -> Result<bool, DbError> {
    let text =
        r#"update "HttpTrigger" set state = 'paused', "stateReason" = $2 where id = $1 and state = 'active'"#;
    Ok(client.execute(text, &[&id, &reason]).await? == 1)
}
