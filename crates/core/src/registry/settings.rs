//! The settings of a target: what an operator gives, and what is stored of it.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::mapping::names::NAME_BYTES_MAX;
use crate::mapping::{Column, Mapping};
use crate::outbox::TargetKey;
use crate::secrets::{Keyring, Sealed, SecretsError, target_binding};
use crate::target::check::{CheckRequest, TypedColumn};
use crate::target::url::{TargetUrl, UrlError};

/// Longest list of readers or mappings that makes sense.
const LIST_MAX: usize = 100;
const CA_BYTES_MAX: usize = 1 << 20;

/// Why settings are refused. No variant carries a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// The connection string is not understood.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The connection string cannot be encrypted or decrypted.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is no connection string.
    #[error("the target has no connection string; give one with --url-file")]
    NoUrl,
    /// An id that cannot be stored.
    #[error("the target's id must be 1 to 63 letters, digits, - or _")]
    Id,
    /// A name that Postgres or we do not take.
    #[error("{what} {name:?} {reason}")]
    Name {
        /// What it names.
        what: &'static str,
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// No such mapping.
    #[error("there is no mapping {name:?}; there are {known}")]
    Mapping {
        /// The name.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Too many entries.
    #[error("more than {LIST_MAX} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// The root certificates are no PEM text.
    #[error("the root certificates must be PEM text with at least one certificate, at most 1 MiB")]
    Certificates,
}

/// The settings of a target.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The connection string.
    pub url: SecretString,
    /// Schema in the target; `None` = `sync.schema`.
    pub schema: Option<String>,
    /// Names of the mappings that go there; `None` = all.
    pub mappings: Option<Vec<String>>,
    /// Roles that may read.
    pub read_roles: Vec<String>,
    /// Root certificates of its own, PEM.
    pub ca_certificates: Option<String>,
}

/// Settings as they are in "ExternalDatabase".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSettings {
    /// The connection string, encrypted; `None` = there is none.
    pub sealed: Option<Sealed>,
    /// The connection string without its password.
    pub display_url: Option<String>,
    /// Schema in the target; `None` = `sync.schema`.
    pub schema: Option<String>,
    /// Names of the mappings that go there; `None` = all.
    pub mappings: Option<Vec<String>>,
    /// Roles that may read.
    pub read_roles: Vec<String>,
    /// Root certificates of its own, PEM.
    pub ca_certificates: Option<String>,
}

impl Settings {
    /// Reads the connection string and checks everything that needs no server.
    ///
    /// # Errors
    /// The first thing that cannot be used, without any secret.
    pub fn checked(&self, mappings: &[Mapping]) -> Result<TargetUrl, SettingsError> {
        let url = TargetUrl::parse(self.url.expose_secret())?;
        if let Some(schema) = &self.schema {
            check_name("the schema", schema)?;
            if schema.to_ascii_lowercase().starts_with("pg_") || schema == "information_schema" {
                let reason = "belongs to the server";
                return Err(SettingsError::Name { what: "the schema", name: schema.clone(), reason });
            }
        }
        if self.read_roles.len() > LIST_MAX {
            return Err(SettingsError::TooMany { what: "roles that may read" });
        }
        for role in &self.read_roles {
            check_name("the role", role)?;
        }
        for name in self.mappings.iter().flatten() {
            if !mappings.iter().any(|mapping| mapping.name == *name) {
                let known = mappings.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(SettingsError::Mapping { name: name.clone(), known });
            }
        }
        let is_pem =
            |text: &String| text.len() <= CA_BYTES_MAX && text.contains("-----BEGIN CERTIFICATE-----");
        if !self.ca_certificates.as_ref().is_none_or(is_pem) {
            return Err(SettingsError::Certificates);
        }
        Ok(url)
    }

    /// What is asked of a target with these settings.
    #[must_use]
    pub fn request(
        &self,
        key: &TargetKey,
        deployment: &str,
        default_schema: &str,
        mappings: &[Mapping],
    ) -> CheckRequest {
        let wanted = |m: &&Mapping| self.mappings.as_ref().is_none_or(|names| names.contains(&m.name));
        let columns_of = |m: &Mapping| -> Vec<TypedColumn> {
            let column = |c: &Column| TypedColumn {
                table: m.target.table.clone(),
                name: c.name.clone(),
                type_text: c.type_text.clone(),
            };
            m.columns.iter().map(column).collect()
        };
        CheckRequest {
            schema: self.schema.clone().unwrap_or_else(|| default_schema.to_owned()),
            deployment: deployment.to_owned(),
            tenancy_id: key.tenancy_id,
            target_id: key.database_id.clone(),
            read_roles: self.read_roles.clone(),
            tables: mappings.iter().filter(wanted).map(|m| m.target.table.clone()).collect(),
            columns: mappings.iter().filter(wanted).flat_map(columns_of).collect(),
        }
    }

    /// Encrypts them for their target.
    ///
    /// # Errors
    /// No key is configured.
    pub fn sealed(
        &self,
        url: &TargetUrl,
        key: &TargetKey,
        ring: &Keyring,
    ) -> Result<StoredSettings, SettingsError> {
        let binding = target_binding(key.tenancy_id, &key.database_id);
        Ok(StoredSettings {
            sealed: Some(ring.encrypt(self.url.expose_secret().trim().as_bytes(), &binding)?),
            display_url: Some(url.to_string()),
            schema: self.schema.clone(),
            mappings: self.mappings.clone(),
            read_roles: self.read_roles.clone(),
            ca_certificates: self.ca_certificates.clone(),
        })
    }
}

impl StoredSettings {
    /// Decrypts them.
    ///
    /// # Errors
    /// There is no connection string, or its key is not configured.
    pub fn opened(&self, key: &TargetKey, ring: &Keyring) -> Result<Settings, SettingsError> {
        let sealed = self.sealed.as_ref().ok_or(SettingsError::NoUrl)?;
        let binding = target_binding(key.tenancy_id, &key.database_id);
        Ok(Settings {
            url: ring.decrypt(&sealed.key_id, &sealed.bytes, &binding)?,
            schema: self.schema.clone(),
            mappings: self.mappings.clone(),
            read_roles: self.read_roles.clone(),
            ca_certificates: self.ca_certificates.clone(),
        })
    }

    /// Whether these stored settings mean exactly `settings`. What cannot be opened differs.
    #[must_use]
    pub fn mean(&self, settings: &Settings, key: &TargetKey, ring: &Keyring) -> bool {
        self.opened(key, ring).is_ok_and(|own| {
            own.url.expose_secret().trim() == settings.url.expose_secret().trim()
                && own.schema == settings.schema
                && own.mappings == settings.mappings
                && own.read_roles == settings.read_roles
                && own.ca_certificates == settings.ca_certificates
        })
    }
}

/// A target's key, if the id can be one.
///
/// # Errors
/// The id has other characters than letters, digits, `-` and `_`, or too many.
pub fn target_key(tenancy_id: Uuid, id: &str) -> Result<TargetKey, SettingsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(1..=63).contains(&id.len()) || !id.bytes().all(allowed) {
        return Err(SettingsError::Id);
    }
    Ok(TargetKey { tenancy_id, database_id: id.to_owned() })
}

fn check_name(what: &'static str, name: &str) -> Result<(), SettingsError> {
    let reason = if name.is_empty() || name.len() > NAME_BYTES_MAX {
        "must have 1 to 63 bytes"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else {
        return Ok(());
    };
    Err(SettingsError::Name { what, name: name.chars().take(NAME_BYTES_MAX).collect(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::generate_key;

    fn settings(url: &str) -> Settings {
        Settings {
            url: SecretString::from(url),
            schema: None,
            mappings: None,
            read_roles: Vec::new(),
            ca_certificates: None,
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_without_the_secret() {
        let good = settings("postgres://u:hunter2@h.example/d");
        assert!(good.checked(&[]).is_ok());
        let bad = [
            (settings("postgres://u:hunter2@h.example/d?search_path=x"), "search_path"),
            (Settings { schema: Some("pg_toast".into()), ..good.clone() }, "pg_toast"),
            (Settings { schema: Some(String::new()), ..good.clone() }, "1 to 63"),
            (Settings { mappings: Some(vec!["nope".into()]), ..good.clone() }, "nope"),
            (Settings { read_roles: vec!["a\nb".into()], ..good.clone() }, "control"),
            (Settings { ca_certificates: Some("hunter2".into()), ..good.clone() }, "PEM"),
        ];
        for (settings, expected) in bad {
            let text = settings.checked(&[]).expect_err(expected).to_string();
            assert!(text.contains(expected) && !text.contains("hunter2"), "{text}");
        }
        assert!(!format!("{good:?}").contains("hunter2"));
    }

    #[test]
    fn stored_settings_open_for_their_target_only() {
        let ring = Keyring::from_config(&[generate_key("k1").expect("key")]).expect("ring");
        let own = target_key(Uuid::from_u128(1), "main").expect("id");
        let given = settings("postgres://u:hunter2@h.example/d");
        let url = given.checked(&[]).expect("good");
        let stored = given.sealed(&url, &own, &ring).expect("sealed");
        assert_eq!(stored.display_url.as_deref(), Some("postgres://u@h.example:5432/d"));
        assert!(stored.mean(&given, &own, &ring));
        let other = target_key(Uuid::from_u128(2), "main").expect("id");
        assert!(stored.opened(&other, &ring).is_err());
        assert!(!stored.mean(&settings("postgres://u:other@h.example/d"), &own, &ring));
    }

    #[test]
    fn ids_are_plain() {
        assert!(target_key(Uuid::nil(), "main-1_A").is_ok());
        for bad in ["", "a b", "ü", &"x".repeat(64), "a:b"] {
            assert_eq!(target_key(Uuid::nil(), bad), Err(SettingsError::Id));
        }
    }
}
