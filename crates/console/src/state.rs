//! What all handlers share.

use std::ops::Deref;
use std::sync::Arc;

use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping;
use tenant_sync_core::registry::Desk;
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::target::dial::Dialer;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::activity::Activity;
use crate::api;
use crate::cache::Cache;
use crate::events::Events;
use crate::http::Problem;
use crate::pages::Looks;
use crate::status::Queues;
use crate::told::Told;

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
    /// Mappings, and the way to targets.
    pub(crate) desk: Desk,
    /// What RabbitMQ says of its queues.
    pub(crate) queues: Queues,
    /// Streams of events.
    pub(crate) events: Events,
    /// What open pages share.
    pub(crate) looks: Looks,
    /// Keys, sessions and failed logins.
    pub(crate) access: Access,
    /// What the tenants' users did, brought up to date.
    pub(crate) activity: Activity,
    /// Answers that are expensive to work out.
    pub(crate) cache: Cache<Problem>,
    /// The OpenAPI document.
    pub(crate) openapi: Arc<serde_json::Value>,
    /// What the log says, and not again and again.
    pub(crate) told: Arc<Told>,
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
        let told = Arc::new(Told::default());
        let access = Access::new(&config.console, Arc::clone(&told))?;
        let mut database = config.database.clone();
        database.statement_timeout = config.console.query_timeout.min(database.statement_timeout);
        let internal = Internal::new(&database, "console")?;
        let desk = Desk {
            config: Arc::clone(&config),
            internal: internal.clone(),
            mappings: mapping::load(&config)?,
            keys: Keyring::from_config(&config.secrets.keys)?,
            dialer: Dialer::new(&config.network, config.sync.connect_timeout)?,
        };
        let queues = Queues::new(&config.rabbitmq)?;
        let events = Events::new(config.console.max_streams);
        let openapi = api::document();
        let (activity, cache) = (
            Activity::new(internal.clone()),
            Cache::new(internal.clone()).with_stale(config.console.metrics_stale),
        );
        Ok(Self(Arc::new(Shared {
            config,
            internal,
            desk,
            queues,
            events,
            looks: Looks::new(),
            access,
            activity,
            cache,
            openapi,
            told,
            stopping,
        })))
    }
}
