//! What every command gets: the configuration, a runtime, and the way to print.

use std::future::Future;
use std::path::{Path, PathBuf};

use tenant_sync_core::config::{Config, ConfigError, Log, LogFormat};
use tenant_sync_core::db::Internal;
use tenant_sync_core::migrate::Migrator;
use tenant_sync_core::trace;
use tenant_sync_core::worker::logging;

use crate::output::Output;

/// A command line that parses and still makes no sense: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The global options.
#[derive(Debug)]
pub(crate) struct Context {
    file: Option<PathBuf>,
    verbose: bool,
    /// How results are printed.
    pub(crate) output: Output,
}

impl Context {
    pub(crate) fn new(file: Option<PathBuf>, json: bool, verbose: bool) -> Self {
        Self { file, verbose, output: Output::new(json) }
    }

    /// The file that was named.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the configuration. Commands that need none do not call this.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        Config::load(self.file.as_deref())
    }

    /// Starts logging, and tracing where that is configured, and runs `command` to its end.
    pub(crate) fn block_on<T>(
        &self,
        config: &Config,
        command: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let filter = if self.verbose { &config.log.filter } else { "warn" };
        logging::init(&Log { format: Some(LogFormat::Text), filter: filter.to_owned() })?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        trace::init(config, "tenant-sync", runtime.handle())?;
        let outcome = runtime.block_on(command);
        trace::shutdown();
        outcome
    }

    /// The internal database, once it is sure that its schema is one that this version knows.
    pub(crate) async fn internal(&self, config: &Config) -> anyhow::Result<Internal> {
        Migrator::new(config)?.check().await?;
        Ok(Internal::new(&config.database, "cli")?)
    }
}
