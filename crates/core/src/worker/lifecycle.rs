//! A worker's life: connect, wait for the schema, run its tasks, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::fuse::Fusebox;
use super::health::{self, Health};
use super::heartbeat::{Details, Heartbeat};
use super::instance::{Kind, instance_id};
use super::metrics;
use super::schema::{self, Schema};
use super::shutdown::TASK_DEADLINE;
use super::tasks::{TaskError, Tasks};
use crate::config::Config;
use crate::db::{DbError, Internal};
use crate::migrate::MigrateError;

/// Why a worker could not start or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The internal Postgres cannot be used, now or ever.
    #[error(transparent)]
    Database(#[from] DbError),
    /// `health.listen` is taken.
    #[error("health.listen {address}: {reason}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The schema is not one that this version can work on.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// A task failed, ended or did not stop.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// What a worker has in common with the others. Dropping it abandons its tasks.
#[derive(Debug)]
pub struct Worker {
    id: Arc<str>,
    config: Arc<Config>,
    internal: Internal,
    health: Health,
    started: Arc<AtomicBool>,
    fusebox: Arc<Fusebox>,
    details: Details,
    activity: Activity,
    heartbeat: Heartbeat,
    tasks: Tasks,
}

impl Worker {
    /// Starts what every worker has: the health endpoint at once, the heartbeat when the schema is there.
    /// Waits as long as the internal Postgres is unreachable. `None` = asked to stop meanwhile.
    ///
    /// # Errors
    /// `health.listen` is taken; the schema is too old or too new.
    pub async fn start(
        kind: Kind,
        config: Arc<Config>,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, WorkerError> {
        metrics::begin(kind);
        let id: Arc<str> = instance_id().into();
        let internal = Internal::new(&config.database, kind.name())?;
        let (health, details, activity) = (Health::default(), Details::default(), Activity::default());
        health.add_postgres(&internal);
        // Else it would be ready for a moment before its other dependencies are registered.
        let started = Arc::new(AtomicBool::new(false));
        let probe = Arc::clone(&started);
        health.add("start", move || {
            let started = probe.load(Ordering::Acquire);
            async move { if started { Ok(()) } else { Err("still starting".to_owned()) } }
        });
        let mut tasks = Tasks::new(shutdown);
        if let Some(address) = config.health.listen {
            let listener =
                TcpListener::bind(address).await.map_err(|reason| WorkerError::Listen { address, reason })?;
            tasks.spawn("health endpoint", health::serve(listener, health.clone(), tasks.stopping()));
        }
        tracing::info!(worker = &*id, %kind, version = crate::VERSION, "starting");
        match schema::wait_until_usable(&config, shutdown).await? {
            Schema::Usable => {}
            Schema::AskedToStop => return Ok(None),
        }
        let heartbeat = Heartbeat {
            internal: internal.clone(),
            id: Arc::clone(&id),
            kind,
            details: details.clone(),
            activity: activity.clone(),
        };
        tasks.spawn("heartbeat", heartbeat.clone().run(tasks.stopping()));
        let stopping = tasks.stopping();
        tasks.spawn("metrics upkeep", async move {
            metrics::upkeep(stopping).await;
            Ok::<_, std::convert::Infallible>(())
        });
        let fusebox = Arc::new(Fusebox::new(internal.clone()));
        Ok(Some(Self { id, config, internal, health, started, fusebox, details, activity, heartbeat, tasks }))
    }

    /// `<host>-<pid>-<random>`: the id of the heartbeat row, part of connection and consumer names.
    #[must_use]
    pub fn id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The internal Postgres.
    #[must_use]
    pub fn internal(&self) -> &Internal {
        &self.internal
    }

    /// Where further dependencies are registered for `/readyz`.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The operator's switches.
    #[must_use]
    pub fn fusebox(&self) -> Arc<Fusebox> {
        Arc::clone(&self.fusebox)
    }

    /// What the next heartbeat writes into `details`.
    pub fn set_details(&self, details: serde_json::Value) {
        self.details.set(details);
    }

    /// What it does, for its heartbeat.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Cancelled when this worker shall stop.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.tasks.stopping()
    }

    /// Starts a main task: it runs until [`Worker::stopping`], and if it ends before, the worker ends.
    pub fn spawn<E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks.spawn(name, task);
    }

    /// Stops what [`Worker::start`] began, for a program that does one pass and exits.
    ///
    /// # Errors
    /// As [`Worker::run`].
    pub async fn stop(self) -> Result<(), WorkerError> {
        self.tasks.stopping().cancel();
        self.run().await
    }

    /// Runs until asked to stop and all tasks have.
    ///
    /// # Errors
    /// A task that ended by itself, failed, or did not stop in time, by name.
    pub async fn run(self) -> Result<(), WorkerError> {
        self.started.store(true, Ordering::Release);
        tracing::info!(worker = &*self.id, "started");
        let ended = self.tasks.join(TASK_DEADLINE).await;
        self.heartbeat.say_goodbye().await;
        tracing::info!(worker = &*self.id, clean = ended.is_ok(), "stopped");
        Ok(ended?)
    }
}
