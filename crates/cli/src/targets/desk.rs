//! What commands on targets work with.

use std::ops::Deref;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping;
use tenant_sync_core::outbox::TargetKey;
use tenant_sync_core::registry::targets::{self, Target};
use tenant_sync_core::registry::tenancies::NewTenancy;
use tenant_sync_core::registry::{self, Addition, StoredSettings};
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::target::dial::Dialer;

use super::One;
use crate::context::Context;

/// The desk that all doors for operators share, with how a command comes to it.
#[derive(Debug)]
pub(crate) struct Desk(registry::Desk);

impl Deref for Desk {
    type Target = registry::Desk;

    fn deref(&self) -> &registry::Desk {
        &self.0
    }
}

impl Desk {
    pub(crate) async fn open(context: &Context, config: &Config) -> anyhow::Result<Self> {
        let internal = context.internal(config).await?;
        Self::with(config, internal)
    }

    /// With an internal database whose schema is known to be good.
    pub(crate) fn with(config: &Config, internal: Internal) -> anyhow::Result<Self> {
        Ok(Self(registry::Desk {
            config: Arc::new(config.clone()),
            internal,
            mappings: mapping::load(config)?,
            keys: Keyring::from_config(&config.secrets.keys)?,
            dialer: Dialer::new(&config.network, config.sync.connect_timeout)?,
        }))
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
        match registry::Desk::insert(&transaction, key, new_tenancy, stored).await? {
            Addition::Added => {}
            Addition::BranchTaken(other) => bail!(
                "the project {:?} has a tenancy already, {other}, with another tenant key; name another with --project",
                new_tenancy.map_or("", |new| new.project_id)
            ),
            Addition::KeyTaken(other) => {
                bail!("somebody else made the tenancy {other} for this tenant key just now; try again")
            }
            Addition::IdTaken => bail!(
                "the tenancy {} has a target {:?} already; change it with `target update`, or choose another --id",
                key.tenancy_id,
                key.database_id
            ),
        }
        transaction.commit().await?;
        drop(client);
        Ok(self.ask("target add", std::slice::from_ref(key)).await?)
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
