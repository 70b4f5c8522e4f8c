//! All workers in one process, for `dev` and `demo`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tenant_sync_core::config::{Config, Health};
use tenant_sync_core::migrate::{self, Outcome};
use tenant_sync_core::trace;
use tenant_sync_core::worker::{failpoint, metrics};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long all of them have to stop: the process is gone within 10 s.
const STOP_WITHIN: Duration = Duration::from_millis(9_000);
const MIGRATE_AGAIN: Duration = Duration::from_secs(1);

/// What belongs to the process and not to a worker: metrics and failpoints.
pub(crate) fn prepare_process() -> anyhow::Result<()> {
    failpoint::init_from_env()?;
    metrics::install()?;
    Ok(())
}

/// Applies missing migrations, waiting for a database that is not there yet. `false` = asked to stop.
pub(crate) async fn migrate(config: &Config, shutdown: &CancellationToken) -> anyhow::Result<bool> {
    let mut told = false;
    loop {
        let Some(outcome) = shutdown.run_until_cancelled(migrate::ensure(config)).await else {
            return Ok(false);
        };
        match outcome {
            Ok(Outcome::Applied { names }) => tracing::info!(migrations = names.len(), "migrated"),
            Ok(_) => {}
            Err(error) if error.is_transient() => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "the internal database cannot be migrated yet, trying again");
                }
                shutdown.run_until_cancelled(tokio::time::sleep(MIGRATE_AGAIN)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        return Ok(true);
    }
}

/// Runs a sequencer, a poller, a sync worker and a request worker, and a console if it has a key, until `shutdown`, or
/// until one of them ends: it takes the others with it.
pub(crate) async fn run(config: &Arc<Config>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    trace::init(config, "tenant-sync", &tokio::runtime::Handle::current())?;
    let stopping = shutdown.child_token();
    // One health endpoint a process: the sync worker's, which depends on both Postgres and RabbitMQ.
    let quiet = Arc::new(Config { health: Health::default(), ..Config::clone(config) });
    let mut workers: JoinSet<(&'static str, anyhow::Result<()>)> = JoinSet::new();
    let sequencer = tenant_sync_sequencer::run(Arc::clone(&quiet), stopping.clone());
    workers.spawn(async move { ("sequencer", sequencer.await) });
    let poller = tenant_sync_poller::run(Arc::clone(&quiet), stopping.clone());
    workers.spawn(async move { ("poller", poller.await) });
    if !quiet.console.admin_keys.is_empty() {
        let console = tenant_sync_console::run(Arc::clone(&quiet), stopping.clone());
        workers.spawn(async move { ("console", Box::pin(console).await) });
    }
    let sync_worker = tenant_sync_sync_worker::run(Arc::clone(config), stopping.clone());
    workers.spawn(async move { ("sync-worker", Box::pin(sync_worker).await) });
    let request_worker = tenant_sync_request_worker::run(quiet, stopping.clone());
    workers.spawn(async move { ("request-worker", Box::pin(request_worker).await) });

    let first = tokio::select! {
        () = stopping.cancelled() => None,
        ended = workers.join_next() => ended,
    };
    stopping.cancel();
    let mut outcome = first.map_or(Ok(()), |ended| match ended {
        Ok((name, Ok(()))) if shutdown.is_cancelled() => {
            tracing::debug!(name, "stopped");
            Ok(())
        }
        Ok((name, Ok(()))) => Err(anyhow!("the {name} ended by itself")),
        Ok((name, Err(error))) => Err(error.context(name)),
        Err(error) => Err(error.into()),
    });
    let rest = async {
        while let Some(ended) = workers.join_next().await {
            let ended = ended.map_err(anyhow::Error::from).and_then(|(name, ended)| ended.context(name));
            if outcome.is_ok() {
                outcome = ended;
            }
        }
    };
    if tokio::time::timeout(STOP_WITHIN, rest).await.is_err() {
        return Err(anyhow!("not all workers stopped within {} s", STOP_WITHIN.as_secs()));
    }
    outcome
}

/// Cancels `shutdown` at SIGINT or SIGTERM. A second signal ends the process at once.
pub(crate) fn stop_on_signals(shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        tracing::info!("asked to stop");
        shutdown.cancel();
        next().await;
        std::process::exit(1);
    });
    Ok(())
}
