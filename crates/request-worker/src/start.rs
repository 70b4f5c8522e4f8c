//! Starting a request worker: open the queue, run jobs until asked to stop.

use std::sync::Arc;
use std::time::Duration;

use tenant_sync_core::config::Config;
use tenant_sync_core::http::Client;
use tenant_sync_core::queue::{Broker, Consumer, DeliveryJob, JobDelivery};
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::worker::{Fusebox, Kind, Switch, Worker, finish_step};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::job::Jobs;
use crate::pace::Paces;
use crate::retention;
use crate::told::Told;

/// A job that could not even be given back this long after the worker was asked to stop is left to its lease.
const JOB_STOPS_WITHIN: Duration = Duration::from_secs(6);

/// Runs a request worker until `shutdown`.
///
/// # Errors
/// A key or certificate that cannot be used; one of its tasks failed.
pub async fn run(config: Arc<Config>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let keyring = Keyring::from_config(&config.secrets.keys)?;
    let client = Client::new(&config.network, &config.requests)?;
    let Some(mut worker) = Worker::start(Kind::RequestWorker, config, &shutdown).await? else {
        return Ok(());
    };
    let config = Arc::clone(worker.config());
    let concurrency = config.requests.concurrency;
    let broker = Broker::new(&config.rabbitmq, &format!("{} {}", Kind::RequestWorker, worker.id()))?;
    let consumer = Consumer::<DeliveryJob>::new(broker, concurrency);
    let jobs = Arc::new(Jobs {
        internal: worker.internal().clone(),
        worker: worker.id(),
        keyring,
        client,
        paces: Paces::default(),
        places: consumer.places(),
        failing: Semaphore::new(usize::from(concurrency / 2).max(1)),
        told: Told::default(),
        activity: worker.activity(),
        stopping: worker.stopping(),
        config: Arc::clone(&config),
    });
    consumer.state().register(worker.health(), "rabbitmq");
    let stopping = worker.stopping();
    worker.spawn("retention", retention::run(config, worker.internal().clone(), stopping.clone()));
    worker.spawn("jobs", consume(consumer, jobs, worker.fusebox(), stopping));
    Ok(worker.run().await?)
}

async fn consume(
    consumer: Consumer<DeliveryJob>,
    jobs: Arc<Jobs>,
    fusebox: Arc<Fusebox>,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let handler = move |delivery: JobDelivery<DeliveryJob>| {
        let (jobs, fusebox) = (Arc::clone(&jobs), Arc::clone(&fusebox));
        async move {
            // While the switch is off the claim lapses, and the message is stale by the time it is on again.
            if !fusebox.wait_until_on(Switch::Requests, &jobs.stopping).await {
                return;
            }
            let job = finish_step(&jobs.stopping, JOB_STOPS_WITHIN, Box::pin(jobs.run(&delivery.job)));
            let Some(outcome) = job.await else { return };
            metrics::counter!("tenant_sync_deliveries_total", "outcome" => outcome.name()).increment(1);
        }
    };
    Ok(consumer.run(stopping, handler).await?)
}
