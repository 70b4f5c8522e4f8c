//! Configuration: built-in defaults, then a file, then the environment.
//!
//! Everything is read and checked before anything starts. An error names the key and the source it came
//! from, never the value.

mod explain;
mod proxy;
mod sections;
mod source;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde::Deserialize;

pub use explain::{REDACTED, Setting, explain};
pub use proxy::Proxy;
pub use sections::{
    Console, Database, Deployment, Health, Log, LogFormat, Mappings, Network, Poller, RabbitMq, Requests,
    Secrets, Sequencer, Sync, Telemetry, TlsFloor,
};
pub use source::ConfigError;

/// The commented defaults, which are also the reference of all keys.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The whole configuration of an installation. Every program reads all of it and uses its part.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which installation this is.
    pub deployment: Deployment,
    /// The internal Postgres.
    pub database: Database,
    /// The broker.
    pub rabbitmq: RabbitMq,
    /// The sequencer.
    pub sequencer: Sequencer,
    /// The poller.
    pub poller: Poller,
    /// The sync workers, and what they may do to a target.
    pub sync: Sync,
    /// HTTP requests that leave the house.
    pub requests: Requests,
    /// Where further mappings are.
    pub mappings: Mappings,
    /// Keys that encrypt connection strings at rest.
    pub secrets: Secrets,
    /// Which targets may be dialled.
    pub network: Network,
    /// The admin API and the dashboard.
    pub console: Console,
    /// The health endpoint.
    pub health: Health,
    /// Logging.
    pub log: Log,
    /// Traces.
    pub telemetry: Telemetry,
}

impl Config {
    /// Reads the defaults, then `file` (which must exist if named; else `tenant-sync.toml` if it exists),
    /// then the environment.
    ///
    /// # Errors
    /// The first unknown key or bad value, with its source; a file that cannot be read; no `database.url`.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::from_sources(file, std::env::vars_os().filter_map(source::utf8_pair))
    }

    /// Like [`Config::load`], with the environment given.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_sources(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let config: Self =
            source::figment(file, environment)?.extract().map_err(ConfigError::from_figment)?;
        config.checked()
    }

    /// What no single field can say of itself.
    fn checked(self) -> Result<Self, ConfigError> {
        if self.database.url().expose_secret().is_empty() {
            return Err(ConfigError::MissingDatabaseUrl);
        }
        let zero = [
            ("sequencer.poll_interval", self.sequencer.poll_interval),
            ("poller.poll_interval", self.poller.poll_interval),
            ("poller.claim_lease", self.poller.claim_lease),
            ("sync.run_lease", self.sync.run_lease),
            ("sync.connect_timeout", self.sync.connect_timeout),
            ("sync.statement_timeout", self.sync.statement_timeout),
            ("sync.retry_base", self.sync.retry_base),
            ("console.session_lifetime", self.console.session_lifetime),
            ("console.query_timeout", self.console.query_timeout),
            ("console.sample_interval", self.console.sample_interval),
            ("requests.run_lease", self.requests.run_lease),
            ("requests.connect_timeout", self.requests.connect_timeout),
            ("requests.timeout", self.requests.timeout),
            ("requests.breaker_base", self.requests.breaker_base),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, value)| value.is_zero()) {
            return Err(ConfigError::Invalid {
                key: (*key).into(),
                reason: "must be longer than zero".into(),
            });
        }
        let (ttl, stale) = (self.console.metrics_ttl, self.console.metrics_stale);
        let bounds = [
            (
                "console.metrics_ttl",
                (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&ttl),
                "must be from 1s to 1d",
            ),
            ("console.metrics_stale", stale <= Duration::from_secs(600), "must be 10m at most"),
        ];
        if let Some((key, _, reason)) = bounds.iter().find(|(_, good, _)| !good) {
            return Err(ConfigError::Invalid { key: (*key).into(), reason: (*reason).into() });
        }
        Ok(self)
    }
}
