//! The poller: claims due rows of "OutgoingRequest" with a lease and publishes a job for each.
//!
//! ```text
//! LISTEN ─┐
//! 50 ms ──┴▶ tick: fuse? broker? ─▶ claim (one short transaction) ─▶ publish with confirms ─▶ give back what failed
//!                                └▶ the same for destinations of HTTP requests, whose asks are folded first
//! 1 s ─────▶ maintenance: fold what applications asked for, ask for due visits, sweep destinations, count faults
//! ```
//!
//! Any number of pollers may run. A poller that dies anywhere on this way loses nothing: what it claimed is due
//! again when the lease ends, and a message that was published all the same is stale by then.

mod maintenance;
mod requests;
mod scan;
mod tick;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::observe;
use tenant_sync_core::outbox::NOTIFY_CHANNEL;
use tenant_sync_core::queue::{self, Broker, Publisher};
use tenant_sync_core::worker::backoff::Reconnect;
use tenant_sync_core::worker::{Activity, Kind, Switch, Worker, finish_step, listen};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use maintenance::maintain;
pub use tenant_sync_core::outbox::{Maintained, Place};
pub use tick::{Handed, Poller, Tick};

/// Longest wait for the broker with `--once`.
const ONCE_BROKER_TIMEOUT: Duration = Duration::from_secs(15);

/// A claim that is still running this long after the poller was asked to stop is left to its lease.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// Runs a poller until `shutdown`.
///
/// # Errors
/// It cannot start, or one of its tasks failed.
pub async fn run(config: Arc<Config>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let Some(mut worker) = Worker::start(Kind::Poller, config, &shutdown).await? else { return Ok(()) };
    let config = Arc::clone(worker.config());
    let broker = Broker::new(&config.rabbitmq, &format!("{} {}", Kind::Poller, worker.id()))?;
    let (publisher, link) = queue::publisher(broker);
    link.state().register(worker.health(), "rabbitmq");

    let wake = Arc::new(Notify::new());
    let stopping = worker.stopping();
    let poller = Poller::new(&config, worker.internal().clone(), worker.fusebox(), publisher.clone());
    worker.spawn(
        "listener",
        listen::run(
            worker.internal().clone(),
            NOTIFY_CHANNEL,
            worker.internal().schema().to_owned(),
            Arc::clone(&wake),
            stopping.clone(),
        ),
    );
    worker.spawn(
        "maintenance",
        maintenance::run(
            Arc::clone(&config),
            worker.internal().clone(),
            worker.fusebox(),
            Arc::clone(&wake),
            stopping.clone(),
        ),
    );
    worker.spawn("observation", observe::run(worker.internal().clone(), stopping.clone()));
    // The link outlives the claims, so that the last ones can be published or are seen to fail.
    let claims_done = CancellationToken::new();
    worker.spawn("publisher", link.run(claims_done.clone()));
    let (interval, activity) = (config.poller.poll_interval, worker.activity());
    worker.spawn("claims", async move {
        claims(poller, publisher, wake, interval, activity, stopping).await;
        claims_done.cancel();
        Ok::<_, std::convert::Infallible>(())
    });
    Ok(worker.run().await?)
}

async fn claims(
    mut poller: Poller,
    mut publisher: Publisher,
    wake: Arc<Notify>,
    interval: Duration,
    activity: Activity,
    stopping: CancellationToken,
) {
    let mut faults = Reconnect::default();
    let mut began = Instant::now();
    while !stopping.is_cancelled() {
        // Armed before the query: whoever asks while we look wakes us afterwards.
        let woken = wake.notified();
        let Some(tick) = finish_step(&stopping, STOP_WITHIN, poller.tick()).await else { break };
        match &tick {
            Ok(Tick::Claimed(handed)) => activity.note(handed.published as u64),
            Ok(Tick::Idle) => activity.note(0),
            Ok(Tick::SwitchedOff | Tick::NoBroker) | Err(_) => {}
        }
        let wait = match tick {
            Ok(Tick::Claimed(handed)) if handed.more => continue,
            Ok(_) => interval,
            Err(error) => {
                let wait = faults.after(began.elapsed());
                began = Instant::now();
                if faults.failures() == 1 {
                    tracing::warn!(error = format!("{error:#}"), "cannot claim, trying again");
                }
                tokio::select! {
                    () = stopping.cancelled() => {}
                    () = tokio::time::sleep(wait) => {}
                }
                continue;
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = woken => {}
            () = publisher.changed() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// What one pass did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether the operator's switch is on; nothing is done if not.
    pub enabled: bool,
    /// Rows claimed.
    pub claimed: usize,
    /// Messages that the broker has.
    pub published: usize,
    /// Rows given back, because their message was not confirmed.
    pub given_back: u64,
    /// Rows of kind `ask` that were folded into sync rows.
    pub folded_asks: i64,
    /// Visits of idle targets that were due.
    pub visits: i64,
    /// Destinations with requests that nobody knew of.
    pub woken: i64,
}

/// One pass: maintenance, then one claim.
///
/// # Errors
/// Postgres or RabbitMQ cannot be reached.
pub async fn once(config: Arc<Config>, shutdown: CancellationToken) -> anyhow::Result<Report> {
    // The health endpoint belongs to the poller that runs beside this one.
    let quiet = Config { health: tenant_sync_core::config::Health::default(), ..Config::clone(&config) };
    let worker = Worker::start(Kind::Poller, Arc::new(quiet), &shutdown).await?.context("asked to stop")?;
    let report = pass(&worker).await;
    worker.stop().await?;
    report
}

async fn pass(worker: &Worker) -> anyhow::Result<Report> {
    let (config, fusebox) = (worker.config(), worker.fusebox());
    let mut report = Report {
        enabled: true,
        claimed: 0,
        published: 0,
        given_back: 0,
        folded_asks: 0,
        visits: 0,
        woken: 0,
    };
    if !fusebox.is_on(Switch::Poller).await {
        report.enabled = false;
        return Ok(report);
    }
    let maintained = maintain(worker.internal(), config, &mut Place::default()).await?;
    (report.folded_asks, report.visits, report.woken) =
        (maintained.asks, maintained.visits, maintained.woken);

    let broker = Broker::new(&config.rabbitmq, &format!("{} {}", Kind::Poller, worker.id()))?;
    let (mut publisher, link) = queue::publisher(broker);
    let done = CancellationToken::new();
    let linked = tokio::spawn(link.run(done.clone()));
    let up = async {
        while !publisher.is_up() {
            publisher.changed().await;
        }
    };
    tokio::time::timeout(ONCE_BROKER_TIMEOUT, up).await.context("RabbitMQ cannot be reached")?;
    let tick = Poller::new(config, worker.internal().clone(), fusebox, publisher.clone()).tick().await?;
    if let Tick::Claimed(handed) = tick {
        (report.claimed, report.published, report.given_back) =
            (handed.claimed, handed.published, handed.given_back);
    }
    done.cancel();
    linked.await??;
    Ok(report)
}
