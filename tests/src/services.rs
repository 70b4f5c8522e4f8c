//! The servers that all tests share, as `deploy/with-services` names them.

use std::path::PathBuf;
use std::sync::Arc;

/// Addresses of the shared servers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    /// Superuser of the internal PostgreSQL server, database `postgres`.
    pub internal_url: Arc<str>,
    /// The same of each external server; at least one.
    pub external_urls: Arc<[String]>,
    /// Administrator of the RabbitMQ node, without a vhost.
    pub amqp_url: Arc<str>,
    /// The node's management API.
    pub management_url: Arc<str>,
    /// PostgreSQL's server programs, where this machine has them.
    pub pg_bin: Option<PathBuf>,
    /// A folder of server programs in other versions: `<major>/bin`.
    pub pg_versions: Option<PathBuf>,
}

impl Services {
    /// Reads the environment.
    ///
    /// # Panics
    /// A variable is missing: the test was started without its servers.
    #[must_use]
    pub fn from_env() -> Self {
        let mut external_urls = vec![required("TENANT_SYNC_TEST_EXTERNAL_URL")];
        external_urls.extend((2..=9).map_while(|n| optional(&format!("TENANT_SYNC_TEST_EXTERNAL_URL_{n}"))));
        Self {
            internal_url: required("TENANT_SYNC_TEST_INTERNAL_URL").into(),
            external_urls: external_urls.into(),
            amqp_url: required("TENANT_SYNC_TEST_AMQP_URL").into(),
            management_url: required("TENANT_SYNC_TEST_MANAGEMENT_URL").into(),
            pg_bin: optional("TENANT_SYNC_TEST_PG_BIN").map(PathBuf::from),
            pg_versions: optional("TENANT_SYNC_TEST_PG_VERSIONS").map(PathBuf::from),
        }
    }
}

fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn required(name: &str) -> String {
    optional(name).unwrap_or_else(|| {
        panic!(
            "{name} is not set. These tests need PostgreSQL and RabbitMQ: run `make test`, or one of them with \
             `deploy/with-services --externals 2 -- cargo test -p tenant-sync-tests NAME`"
        )
    })
}
