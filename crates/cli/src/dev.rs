//! `tenant-sync dev`: all workers in one process, against the services of the configuration.

use std::process::ExitCode;
use std::sync::Arc;

use tenant_sync_core::config::Config;
use tenant_sync_core::worker::logging;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::workers;

/// Runs until a signal or until a worker fails.
pub(crate) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let mut config = context.config()?;
    config.database.auto_migrate = true;
    logging::init(&config.log)?;
    workers::prepare_process()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work(config));
    // Whatever did not stop in time is abandoned.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn work(config: Config) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    workers::stop_on_signals(&shutdown)?;
    if !workers::migrate(&config, &shutdown).await? {
        return Ok(());
    }
    workers::run(&Arc::new(config), &shutdown).await
}
