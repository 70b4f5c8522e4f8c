//! What every door for operators needs to look at targets, to store them, and to ask for them.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::settings::{Settings, SettingsError, StoredSettings};
use super::tenancies::{self, Creation, NewTenancy};
use super::{examine, targets};
use crate::config::Config;
use crate::db::{DbError, Internal};
use crate::mapping::Mapping;
use crate::outbox::{self, TargetKey};
use crate::registry::targets::Target;
use crate::secrets::Keyring;
use crate::target::check::CheckReport;
use crate::target::dial::Dialer;
use crate::target::url::TargetUrl;

/// Everything that is needed to look at targets and to store them.
#[derive(Debug)]
pub struct Desk {
    /// The configuration.
    pub config: Arc<Config>,
    /// The internal Postgres.
    pub internal: Internal,
    /// All mappings.
    pub mappings: Vec<Mapping>,
    /// Keys that encrypt connection strings.
    pub keys: Keyring,
    /// The way to targets.
    pub dialer: Dialer,
}

/// Settings that can be stored, and what was found in the target if it was looked at.
#[derive(Debug)]
pub struct Checked {
    /// The settings, encrypted.
    pub stored: StoredSettings,
    /// `None` = nobody looked.
    pub report: Option<CheckReport>,
}

impl Checked {
    /// Nothing speaks against it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.report.as_ref().is_none_or(|report| report.ok)
    }
}

/// What became of [`Desk::insert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addition {
    /// It is there.
    Added,
    /// The tenancy has a target of this id already.
    IdTaken,
    /// The project's branch has a tenancy already: this one, with another tenant key.
    BranchTaken(Uuid),
    /// Somebody else just made this tenancy for the tenant key.
    KeyTaken(Uuid),
}

impl Desk {
    /// Reads the settings strictly, seals them, and looks at the target unless `look` is false.
    ///
    /// # Errors
    /// Settings that cannot be used, whatever the target is like.
    pub async fn check(
        &self,
        key: &TargetKey,
        settings: &Settings,
        look: bool,
    ) -> Result<Checked, SettingsError> {
        let url = settings.checked(&self.mappings)?;
        let stored = settings.sealed(&url, key, &self.keys)?;
        let report = if look { Some(self.look(key, settings, &url).await) } else { None };
        Ok(Checked { stored, report })
    }

    /// Looks at a target as it is stored; changes nothing.
    ///
    /// # Errors
    /// Its settings cannot be opened or used any more.
    pub async fn check_stored(&self, target: &Target) -> Result<CheckReport, SettingsError> {
        let settings = target.settings.opened(&target.key, &self.keys)?;
        let url = settings.checked(&self.mappings)?;
        Ok(self.look(&target.key, &settings, &url).await)
    }

    async fn look(&self, key: &TargetKey, settings: &Settings, url: &TargetUrl) -> CheckReport {
        let (deployment, schema) = (&self.config.deployment.name, &self.config.sync.schema);
        let request = settings.request(key, deployment, schema, &self.mappings);
        examine(&self.dialer, url, settings.ca_certificates.as_deref(), &request).await
    }

    /// Stores a new target, and its tenancy if that is new, too. Unless it is [`Addition::Added`] the transaction is
    /// to be rolled back.
    ///
    /// # Errors
    /// Postgres does.
    pub async fn insert(
        transaction: &Transaction<'_>,
        key: &TargetKey,
        new_tenancy: Option<NewTenancy<'_>>,
        stored: &StoredSettings,
    ) -> Result<Addition, tokio_postgres::Error> {
        if let Some(new) = new_tenancy {
            match tenancies::create(transaction, new).await? {
                Creation::Created => {}
                Creation::BranchTaken(other) => return Ok(Addition::BranchTaken(other)),
                Creation::KeyTaken(other) => return Ok(Addition::KeyTaken(other)),
            }
        }
        let added = targets::insert(transaction, key, stored).await?;
        Ok(if added { Addition::Added } else { Addition::IdTaken })
    }

    /// Asks for targets and ends their back-offs, as an operator wishes: `sync now`, `resume`, ….
    ///
    /// # Errors
    /// Postgres does.
    pub async fn ask(&self, wish: &'static str, keys: &[TargetKey]) -> Result<(), DbError> {
        Ok(outbox::wish(&self.internal.get().await?, wish, keys).await?)
    }

    /// Like [`Desk::ask`], and whoever works with the old settings is worth nothing any more.
    ///
    /// # Errors
    /// Postgres does.
    pub async fn ask_anew(&self, wish: &'static str, keys: &[TargetKey]) -> Result<(), DbError> {
        Ok(outbox::wish_anew(&self.internal.get().await?, wish, keys).await?)
    }

    /// The mappings that go to a target; those of them that are named, if any are.
    #[must_use]
    pub fn mappings_of(&self, target: &Target, named: &[String]) -> Vec<String> {
        let chosen = target.settings.mappings.as_ref();
        let names = self.mappings.iter().map(|mapping| &mapping.name);
        names
            .filter(|name| chosen.is_none_or(|chosen| chosen.contains(name)))
            .filter(|name| named.is_empty() || named.contains(name))
            .cloned()
            .collect()
    }
}
