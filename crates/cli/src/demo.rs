//! `tenant-sync demo`: sample tenants, syncing before your eyes.
//!
//! Prepare (databases, users, targets) → run all workers, make changes, show what arrives → with `DEMO_SECONDS`
//! stop the changes, wait until all is there, and compare every target with its source.

mod changes;
mod prepare;
mod receiver;
mod services;
mod verify;
mod view;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::worker::logging;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Usage};
use crate::workers;
use prepare::Stage;
use receiver::Came;
use services::Services;
use verify::Comparison;
use view::View;

/// Ends the demo by itself after so many seconds, with a check.
const SECONDS: &str = "DEMO_SECONDS";
/// Longest wait for the last changes to arrive.
const SETTLE_WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize)]
struct Report {
    equal: bool,
    targets: Vec<Comparison>,
    receiver: Came,
}

/// Runs the demo.
pub(crate) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    let seconds = match std::env::var(SECONDS).ok().filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
            Some(seconds.ok_or_else(|| Usage(format!("{SECONDS} must be a number of seconds up to 86400")))?)
        }
    };
    let services = Services::from_env()?;
    let config = services.config()?;
    logging::init(&config.log)?;
    workers::prepare_process()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome =
        runtime.block_on(Box::pin(play(context, &services, config, seconds.map(Duration::from_secs))));
    runtime.shutdown_background();
    outcome
}

async fn play(
    context: &Context,
    services: &Services,
    config: Config,
    length: Option<Duration>,
) -> anyhow::Result<ExitCode> {
    let output = context.output;
    let shutdown = CancellationToken::new();
    workers::stop_on_signals(&shutdown)?;
    let Some(stage) = shutdown.run_until_cancelled(prepare::prepare(services, &config, output)).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let stage = stage?;
    output.progress(&services.how_to_look(&stage).await);
    output.progress(&services.how_to_operate());
    let config = Arc::new(config);
    let stop_workers = CancellationToken::new();
    let mut running = spawn_workers(&config, &stop_workers);
    let verdict = tokio::select! {
        verdict = watch(context, &stage, length, &shutdown) => verdict,
        ended = &mut running => {
            ended??;
            bail!("the workers ended by themselves");
        }
    };
    stop_workers.cancel();
    running.await??;
    match verdict? {
        Some(report) => {
            context.output.result(&report, lines)?;
            Ok(if report.equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

fn spawn_workers(config: &Arc<Config>, stop: &CancellationToken) -> JoinHandle<anyhow::Result<()>> {
    let (config, stop) = (Arc::clone(config), stop.clone());
    tokio::spawn(async move { workers::run(&config, &stop).await })
}

/// Changes and view until the time is over, then the check. `None` = asked to stop before.
async fn watch(
    context: &Context,
    stage: &Stage,
    length: Option<Duration>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Report>> {
    let stop_changes = CancellationToken::new();
    let changing = tokio::spawn(changes::run(
        stage.internal.clone(),
        stage.tenancies.iter().map(|tenancy| tenancy.tenancy_id).collect(),
        stop_changes.clone(),
    ));
    let mut view = View::new(context.output, stage);
    let time_is_up = async {
        match length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = time_is_up => {}
        shown = view.run() => shown?,
    }
    stop_changes.cancel();
    let changes = changing.await?.context("making changes")?;
    if shutdown.is_cancelled() {
        return Ok(None);
    }
    context
        .output
        .progress(&format!("\nstopped after {changes} changes; waiting until all of them have arrived"));
    settle(stage, &mut view).await?;
    let targets = verify::compare_all(stage).await?;
    let receiver = stage.receiver.came();
    let equal = targets.iter().all(Comparison::equal) && receiver.requests == receiver.verified;
    Ok(Some(Report { equal, targets, receiver }))
}

/// Waits until no target lacks anything and every event was sent.
async fn settle(stage: &Stage, view: &mut View<'_>) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE_WITHIN;
    while !(view.show().await?.settled && stage.nothing_to_send().await?) {
        if Instant::now() > deadline {
            bail!("not everything arrived within {} s", SETTLE_WITHIN.as_secs());
        }
        view.pause().await;
    }
    Ok(())
}

fn lines(report: &Report) -> String {
    let each = report.targets.iter().map(Comparison::line).collect::<Vec<_>>().join("\n");
    let came = report.receiver;
    let verdict = if report.equal { "every target equals its source" } else { "there are differences" };
    format!(
        "{each}\n{} HTTP requests received, {} with a good signature\n{verdict}",
        came.requests, came.verified
    )
}
