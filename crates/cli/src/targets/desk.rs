//! What commands on targets work with: mappings, keys, the way to targets and the internal database.

use anyhow::{anyhow, bail};
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping::{self, Mapping};
use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::registry::targets::{self, Target};
use tenant_sync_core::registry::tenancies::{self, Creation, NewTenancy};
use tenant_sync_core::registry::{Settings, StoredSettings, examine};
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::target::check::CheckReport;
use tenant_sync_core::target::dial::Dialer;
use tenant_sync_core::target::url::TargetUrl;

use super::One;
use crate::context::Context;

/// Everything that is needed to look at targets and to store them.
#[derive(Debug)]
pub(crate) struct Desk<'a> {
    pub(crate) config: &'a Config,
    pub(crate) internal: Internal,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) keys: Keyring,
    dialer: Dialer,
}

/// Settings that can be stored, and what was found in the target if it was looked at.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) stored: StoredSettings,
    pub(crate) report: Option<CheckReport>,
}

impl Checked {
    /// Nothing speaks against it.
    pub(crate) fn is_good(&self) -> bool {
        self.report.as_ref().is_none_or(|report| report.ok)
    }
}

impl<'a> Desk<'a> {
    pub(crate) async fn open(context: &Context, config: &'a Config) -> anyhow::Result<Self> {
        let internal = context.internal(config).await?;
        Self::with(config, internal)
    }

    /// With an internal database whose schema is known to be good.
    pub(crate) fn with(config: &'a Config, internal: Internal) -> anyhow::Result<Self> {
        Ok(Self {
            config,
            internal,
            mappings: mapping::load(config)?,
            keys: Keyring::from_config(&config.secrets.keys)?,
            dialer: Dialer::new(&config.network, config.sync.connect_timeout)?,
        })
    }

    /// Reads the settings strictly, seals them, and looks at the target unless `look` is false.
    pub(crate) async fn check(
        &self,
        key: &TargetKey,
        settings: &Settings,
        look: bool,
    ) -> anyhow::Result<Checked> {
        let url = settings.checked(&self.mappings)?;
        let stored = settings.sealed(&url, key, &self.keys)?;
        let report = if look { Some(self.look(key, settings, &url).await) } else { None };
        Ok(Checked { stored, report })
    }

    /// Looks at a target as it is stored.
    pub(crate) async fn check_stored(&self, target: &Target) -> anyhow::Result<CheckReport> {
        let settings = target.settings.opened(&target.key, &self.keys)?;
        let url = settings.checked(&self.mappings)?;
        Ok(self.look(&target.key, &settings, &url).await)
    }

    async fn look(&self, key: &TargetKey, settings: &Settings, url: &TargetUrl) -> CheckReport {
        let (deployment, schema) = (&self.config.deployment.name, &self.config.sync.schema);
        let request = settings.request(key, deployment, schema, &self.mappings);
        examine(&self.dialer, url, settings.ca_certificates.as_deref(), &request).await
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Stores a new target, and its tenancy if that is new, too; then asks for it, so that it is filled at once.
    pub(crate) async fn add(
        &self,
        key: &TargetKey,
        new_tenancy: Option<NewTenancy<'_>>,
        stored: &StoredSettings,
    ) -> anyhow::Result<()> {
        let mut client = self.internal.get().await?;
        let transaction = client.transaction().await?;
        if let Some(new) = new_tenancy {
            match tenancies::create(&transaction, new).await? {
                Creation::Created => {}
                Creation::BranchTaken(other) => bail!(
                    "the project {:?} has a tenancy already, {other}, with another tenant key; name another with --project",
                    new.project_id
                ),
                Creation::KeyTaken(other) => {
                    bail!("somebody else made the tenancy {other} for this tenant key just now; try again")
                }
            }
        }
        if !targets::insert(&transaction, key, stored).await? {
            bail!(
                "the tenancy {} has a target {:?} already; change it with `target update`, or choose another --id",
                key.tenancy_id,
                key.database_id
            );
        }
        transaction.commit().await?;
        drop(client);
        self.ask(std::slice::from_ref(key)).await
    }

    /// Asks for targets and ends their back-offs.
    pub(crate) async fn ask(&self, keys: &[TargetKey]) -> anyhow::Result<()> {
        let client = self.internal.get().await?;
        outbox::enqueue(&client, keys).await?;
        outbox::hurry(&client, keys).await?;
        outbox::notify(&client).await?;
        Ok(())
    }

    /// Like [`Desk::ask`], and whoever works with the old settings is worth nothing any more.
    pub(crate) async fn ask_anew(&self, keys: &[TargetKey]) -> anyhow::Result<()> {
        let client = self.internal.get().await?;
        outbox::enqueue(&client, keys).await?;
        outbox::start_over(&client, keys).await?;
        outbox::notify(&client).await?;
        Ok(())
    }

    /// The target that is named.
    pub(crate) async fn find(&self, one: &One) -> anyhow::Result<Target> {
        let client = self.internal.get().await?;
        let tenancy = one.tenancy.find(&client).await?;
        let key = TargetKey { tenancy_id: tenancy.id, database_id: one.id.clone() };
        targets::find(&client, &key).await?.ok_or_else(|| no_such_target(&key))
    }
}

pub(crate) fn no_such_target(key: &TargetKey) -> anyhow::Error {
    anyhow!(
        "the tenancy {} has no target {:?}; `target list --tenancy {}` shows those it has",
        key.tenancy_id,
        key.database_id,
        key.tenancy_id
    )
}
