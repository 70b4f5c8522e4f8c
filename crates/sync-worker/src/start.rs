//! Starting a sync worker: check the mappings, open the queue, run jobs until asked to stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::{DbError, Internal};
use tenant_sync_core::mapping::{self, CheckError};
use tenant_sync_core::queue::{Broker, Consumer, Places};
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::target::dial::Dialer;
use tenant_sync_core::worker::patience::{Setback, until_done};
use tenant_sync_core::worker::{Kind, Switch, Worker, finish_step, listen};
use tokio::sync::Notify;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::job::Jobs;
use crate::order;
use crate::plan::Plan;
use crate::sessions::{CHANNEL, Sessions};

/// Idle sessions are looked through this often.
const UPKEEP: Duration = Duration::from_secs(5);

/// A job that could not even be given back this long after the worker was asked to stop is left to its lease.
const JOB_STOPS_WITHIN: Duration = Duration::from_secs(5);
/// Time to free what the worker holds, at its end.
const FAREWELL: Duration = Duration::from_millis(500);

/// Runs a sync worker until `shutdown`.
///
/// # Errors
/// A mapping or key that cannot be used; one of its tasks failed.
pub async fn run(config: Arc<Config>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mappings = mapping::load(&config)?;
    let keyring = Keyring::from_config(&config.secrets.keys)?;
    let dialer = Dialer::new(&config.network, config.sync.connect_timeout)?;
    let Some(mut worker) = Worker::start(Kind::SyncWorker, config, &shutdown).await? else { return Ok(()) };
    let Some(plans) = shutdown.run_until_cancelled(plans(worker.internal(), &mappings)).await else {
        return Ok(worker.stop().await?);
    };
    let config = Arc::clone(worker.config());
    let jobs = Arc::new(Jobs {
        internal: worker.internal().clone(),
        worker: worker.id(),
        keyring,
        plans: plans?,
        aside: crate::aside::Aside::default(),
        told: crate::told::Told::default(),
        sessions: Sessions::new(worker.internal().clone(), dialer, worker.id(), &config.sync),
        stopping: worker.stopping(),
        activity: worker.activity(),
        config: Arc::clone(&config),
    });

    let broker = Broker::new(&config.rabbitmq, &format!("{} {}", Kind::SyncWorker, worker.id()))?;
    let consumer = Consumer::new(broker, config.sync.concurrency);
    consumer.state().register(worker.health(), "rabbitmq");
    let wanted = Arc::new(Notify::new());
    let stopping = worker.stopping();
    worker.spawn(
        "slot listener",
        listen::run(
            worker.internal().clone(),
            CHANNEL,
            worker.id().to_string(),
            Arc::clone(&wanted),
            stopping.clone(),
        ),
    );
    let places = consumer.places();
    worker.spawn("session upkeep", upkeep(Arc::clone(&jobs), places, wanted, stopping.clone()));
    worker.spawn("jobs", consume(consumer, jobs, worker.fusebox(), stopping));
    Ok(worker.run().await?)
}

/// Checks the mappings against the live schema, waiting as long as the database cannot be reached.
async fn plans(internal: &Internal, mappings: &[mapping::Mapping]) -> anyhow::Result<Vec<Plan>> {
    until_done("the mappings cannot be checked yet, waiting for the internal Postgres", || async {
        let client = internal.get().await.map_err(|error| Setback::NotYet(error.to_string()))?;
        let checked = match mapping::check(mappings, &client).await {
            Ok(checked) => checked,
            Err(CheckError::Database(error)) if passes(&error) => {
                return Err(Setback::NotYet(error.to_string()));
            }
            Err(error) => return Err(Setback::Never(error.into())),
        };
        let mut plans: Vec<Plan> = checked.iter().map(Plan::new).collect();
        order::parents_first(&mut plans, &client)
            .await
            .map_err(|error| Setback::Never(anyhow::Error::from(error)))?;
        Ok::<_, Setback<anyhow::Error>>(plans)
    })
    .await
    .context("the mappings cannot be used")
}

/// A lost session, or somebody who locks a whole table for longer than a statement may take.
fn passes(error: &DbError) -> bool {
    let DbError::Query(error) = error else { return true };
    error.code().is_none_or(|code| {
        [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE, SqlState::ADMIN_SHUTDOWN].contains(code)
    })
}

async fn consume(
    consumer: Consumer,
    jobs: Arc<Jobs>,
    fusebox: Arc<tenant_sync_core::worker::Fusebox>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let shared = Arc::clone(&jobs);
    let handler = move |delivery: tenant_sync_core::queue::JobDelivery| {
        let (jobs, fusebox) = (Arc::clone(&shared), Arc::clone(&fusebox));
        async move {
            // While the switch is off the claim lapses, and the message is stale by the time it is on again.
            if !fusebox.wait_until_on(Switch::SyncEngine, &jobs.stopping).await {
                return;
            }
            let job = finish_step(&jobs.stopping, JOB_STOPS_WITHIN, Box::pin(jobs.run(&delivery.job)));
            let Some(outcome) = job.await else { return };
            metrics::counter!("tenant_sync_jobs_total", "outcome" => outcome.name()).increment(1);
        }
    };
    let ended = consumer.run(stopping, handler).await;
    // Sessions end with the process, and their slots with its heartbeat, if nobody answers now.
    if tokio::time::timeout(FAREWELL, jobs.sessions.close_all()).await.is_err() {
        tracing::debug!("the sessions' slots could not be given back");
    }
    Ok(ended?)
}

async fn upkeep(
    jobs: Arc<Jobs>,
    places: Places,
    wanted: Arc<Notify>,
    stopping: CancellationToken,
) -> Result<(), Infallible> {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        let step = async {
            tokio::select! {
                () = wanted.notified() => jobs.sessions.give_up_wanted().await,
                _ = ticks.tick() => {
                    places.export();
                    jobs.sessions.export();
                    jobs.sessions.upkeep().await;
                }
            }
        };
        // What a step leaves behind is given back with all the rest when the jobs have ended.
        if stopping.run_until_cancelled(step).await.is_none() {
            return Ok(());
        }
    }
}
