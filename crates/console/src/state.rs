//! What all handlers share.

use std::ops::Deref;
use std::sync::Arc;

use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::activity::Activity;
use crate::cache::Cache;
use crate::http::Problem;

/// Handle to what all handlers share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Console(Arc<Shared>);

/// What is shared; reached through [`Console`].
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub(crate) config: Arc<Config>,
    /// The internal Postgres; a statement ends after `console.query_timeout`.
    pub(crate) internal: Internal,
    /// Keys, sessions and failed logins.
    pub(crate) access: Access,
    /// What the tenants' users did, brought up to date.
    pub(crate) activity: Activity,
    /// Answers that are expensive to work out.
    pub(crate) cache: Cache<Problem>,
    /// The OpenAPI document.
    pub(crate) openapi: Arc<serde_json::Value>,
    /// Cancelled when the console shall stop.
    pub(crate) stopping: CancellationToken,
}

impl Deref for Console {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Console {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Something in the configuration cannot be used.
    pub fn new(config: Arc<Config>, stopping: CancellationToken) -> anyhow::Result<Self> {
        let access = Access::new(&config.console)?;
        let mut database = config.database.clone();
        database.statement_timeout = config.console.query_timeout.min(database.statement_timeout);
        let internal = Internal::new(&database, "console")?;
        Ok(Self(Arc::new(Shared {
            activity: Activity::new(internal.clone()),
            cache: Cache::new(internal.clone()),
            config,
            internal,
            access,
            openapi: crate::api::document(),
            stopping,
        })))
    }
}
