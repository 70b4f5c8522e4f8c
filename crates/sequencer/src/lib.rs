//! The sequencer: gives every changed row an id from one global sequence and asks for a sync of each changed
//! target.
//!
//! ```text
//! tick: fuse? ─▶ backfill_null_sequence_ids (lock, ids in fair shares, requests; one transaction) ─▶ NOTIFY pollers
//! ```
//! One is active: the lock is taken without blocking and held to commit. Others stand by and try as often.

mod events;
mod feed;
mod pointers;
mod purge;
mod register;
mod touches;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::mapping;
use tenant_sync_core::observe;
use tenant_sync_core::worker::backoff::Reconnect;
use tenant_sync_core::worker::{Activity, Fusebox, Kind, Repeats, Switch, Worker, finish_step};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

pub use feed::{Reads, follow_partitions, heal};
pub use pointers::purge_all;
pub use purge::{Purged, purge, trim_user_feed};
pub use register::{Registered, register};
pub use tenant_sync_core::sequence::{Outcome, Pass, pass};

/// A pass that is still running this long after the sequencer was asked to stop is left to the server.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// Runs a sequencer until `shutdown`.
///
/// # Errors
/// A mapping that cannot be used; one of its tasks failed.
pub async fn run(config: Arc<Config>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mappings = mapping::load(&config)?;
    let Some(mut worker) = Worker::start(Kind::Sequencer, config, &shutdown).await? else { return Ok(()) };
    let registered = register::when_reachable(worker.internal(), &mappings);
    match shutdown.run_until_cancelled(registered).await {
        Some(registered) => registered?,
        None => return Ok(worker.stop().await?),
    }
    let (config, internal, stopping) =
        (Arc::clone(worker.config()), worker.internal().clone(), worker.stopping());
    worker.spawn(
        "purge",
        purge::run(Arc::clone(&config), internal.clone(), worker.fusebox(), stopping.clone()),
    );
    let reads = feed::Reads::of(&mappings);
    worker.spawn("feed", feed::run(internal.clone(), worker.fusebox(), reads, stopping.clone()));
    worker.spawn("events", events::run(internal.clone(), mappings, stopping.clone()));
    worker.spawn(
        "pointers",
        pointers::run(Arc::clone(&config), internal.clone(), worker.fusebox(), stopping.clone()),
    );
    worker.spawn("observation", observe::run(internal.clone(), stopping.clone()));
    worker.spawn("passes", passes(config, internal, worker.fusebox(), worker.activity(), stopping));
    Ok(worker.run().await?)
}

async fn passes(
    config: Arc<Config>,
    internal: Internal,
    fusebox: Arc<Fusebox>,
    activity: Activity,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let (mut faults, refusals) = (Reconnect::default(), Repeats::new(Duration::from_secs(60), 1));
    let mut began = Instant::now();
    while !stopping.is_cancelled() {
        let pass = finish_step(&stopping, STOP_WITHIN, tick(&config, &internal, &fusebox));
        let Some(pass) = pass.await else { break };
        if let Ok(pass) = &pass {
            if pass.outcome != Outcome::Disabled {
                activity.note(pass.rows_given.unsigned_abs());
            }
            // A trigger that refuses all that an application writes is no line a pass.
            if pass.parked > 0
                && let Some(not_told) = refusals.tell(&())
            {
                tracing::warn!(
                    rows = pass.parked,
                    not_told,
                    "rows refused their sequence id and were set aside; see \"ParkedRow\""
                );
            }
        }
        let wait = match pass {
            // A full pass is followed by the next at once.
            Ok(pass) if pass.more => Duration::ZERO,
            Ok(_) => config.sequencer.poll_interval,
            Err(error) => {
                count("failed");
                let wait = faults.after(began.elapsed());
                began = Instant::now();
                if faults.failures() == 1 {
                    tracing::warn!(error = format!("{error:#}"), "a pass failed, trying again");
                }
                // Somebody locks a whole table (TRUNCATE, ALTER TABLE). The pass has waited for it already.
                if locked_out(&error) { config.sequencer.poll_interval } else { wait }
            }
        };
        stopping.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
    Ok(())
}

fn count(outcome: &'static str) {
    metrics::counter!("tenant_sync_passes_total", "outcome" => outcome).increment(1);
}

fn locked_out(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(DbError::Query(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
}

/// One pass, if the switch is on.
///
/// # Errors
/// As [`pass`].
pub async fn tick(config: &Config, internal: &Internal, fusebox: &Fusebox) -> anyhow::Result<Pass> {
    if !fusebox.is_on(Switch::Sequencer).await {
        count("disabled");
        return Ok(Pass::disabled());
    }
    let began = Instant::now();
    let done = pass(internal, config.sequencer.batch_size).await?;
    count(match done.outcome {
        Outcome::Disabled => "disabled",
        Outcome::Standby => "standby",
        Outcome::Empty => "empty",
        Outcome::Done => "done",
    });
    metrics::histogram!("tenant_sync_sequencer_pass_seconds").record(began.elapsed().as_secs_f64());
    metrics::counter!("tenant_sync_sequenced_rows_total").increment(done.rows_given.unsigned_abs());
    Ok(done)
}

/// One pass for `--once`.
///
/// # Errors
/// A mapping that cannot be used; Postgres cannot be reached; the pass failed.
pub async fn once(config: Arc<Config>, shutdown: CancellationToken) -> anyhow::Result<Pass> {
    let mappings = mapping::load(&config)?;
    let quiet = Config { health: tenant_sync_core::config::Health::default(), ..Config::clone(&config) };
    let worker =
        Worker::start(Kind::Sequencer, Arc::new(quiet), &shutdown).await?.context("asked to stop")?;
    let done = async {
        register::when_reachable(worker.internal(), &mappings).await?;
        if let Err(error) = events::follow(worker.internal(), &mappings).await {
            tracing::warn!(%error, "{}", events::FAILING);
        }
        tick(worker.config(), worker.internal(), &worker.fusebox()).await
    }
    .await;
    worker.stop().await?;
    done
}
