//! One installation of a test's own: internal database, external databases, vhost, and how to start its programs.

use std::collections::BTreeMap;

use base64::Engine as _;
use tenant_sync_core::config::Config;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::cli::Cli;
use crate::database::Database;
use crate::hold::Hold;
use crate::scratch::{Scratch, short_id};
use crate::services::Services;
use crate::template::Template;
use crate::vhost::Vhost;
use crate::worker::{Setup, Worker, variable};

/// Everything in it is removed when it is dropped; declare it before the workers.
#[derive(Debug)]
pub struct Stack {
    services: Services,
    environment: BTreeMap<String, String>,
    internal: Database,
    external: Vec<Database>,
    vhost: Vhost,
    scratch: Scratch,
}

/// One of each worker.
#[derive(Debug)]
pub struct Workers {
    /// Gives sequence ids.
    pub sequencer: Worker,
    /// Publishes what is due.
    pub poller: Worker,
    /// Writes to targets.
    pub sync_worker: Worker,
}

/// What a stack will be made of.
#[derive(Debug)]
pub struct Plan {
    services: Services,
    template: Template,
    externals: usize,
    internal_url: Option<String>,
}

impl Plan {
    /// What the internal database holds; usually the sample application's tables.
    #[must_use]
    pub fn template(mut self, template: Template) -> Self {
        self.template = template;
        self
    }

    /// How many external databases; usually one. They lie on different servers as far as there are some.
    #[must_use]
    pub fn externals(mut self, count: usize) -> Self {
        self.externals = count;
        self
    }

    /// The internal database lies on this server, given by a superuser's connection string.
    #[must_use]
    pub fn internal_on(mut self, admin_url: &str) -> Self {
        self.internal_url = Some(admin_url.to_owned());
        self
    }

    /// The vhost lies on this node, given by an administrator's URL without a vhost.
    #[must_use]
    pub fn broker(mut self, amqp_url: &str, management_url: &str) -> Self {
        self.services.amqp_url = amqp_url.into();
        self.services.management_url = management_url.into();
        self
    }

    /// Makes it.
    ///
    /// # Panics
    /// A server refuses.
    pub async fn start(self) -> Stack {
        let services = self.services;
        let internal_url = self.internal_url.as_deref().unwrap_or(&services.internal_url);
        let internal = Database::internal(internal_url, self.template).await;
        let vhost = Vhost::create(&services).await;
        let mut external = Vec::new();
        for index in 0..self.externals {
            external.push(Database::external(&services, index).await);
        }
        let environment = environment(&internal, &vhost, &services, self.template);
        Stack { services, environment, internal, external, vhost, scratch: Scratch::new() }
    }
}

impl Stack {
    /// With the sample application's tables and one external database.
    ///
    /// # Panics
    /// A server refuses.
    pub async fn start() -> Self {
        Self::plan().start().await
    }

    /// A stack that is to be something else.
    ///
    /// # Panics
    /// The tests were started without their servers.
    #[must_use]
    pub fn plan() -> Plan {
        Plan {
            services: Services::from_env(),
            template: Template::Application,
            externals: 1,
            internal_url: None,
        }
    }

    /// A configuration key for every program of this stack, for example the address of a proxy.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.environment.insert(variable(key), value.to_string());
    }

    /// The shared servers.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The internal database.
    #[must_use]
    pub fn internal(&self) -> &Database {
        &self.internal
    }

    /// An external database, by number.
    ///
    /// # Panics
    /// The stack has fewer.
    #[must_use]
    pub fn external(&self, index: usize) -> &Database {
        &self.external[index]
    }

    /// The vhost.
    #[must_use]
    pub fn vhost(&self) -> &Vhost {
        &self.vhost
    }

    /// A folder that is gone when the test ends; the programs run in it.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The configuration of this stack, for tests that call the library.
    ///
    /// # Panics
    /// A key that a test set is refused.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::from_sources(None, self.environment.clone()).expect("the stack's configuration")
    }

    /// Any worker by its program's name.
    #[must_use]
    pub fn worker(&self, program: &str) -> Setup {
        Setup::new(program, self.environment.clone(), self.scratch.path().to_owned())
    }

    /// A sequencer.
    #[must_use]
    pub fn sequencer(&self) -> Setup {
        self.worker("sequencer")
    }

    /// A poller.
    #[must_use]
    pub fn poller(&self) -> Setup {
        self.worker("poller")
    }

    /// A sync worker.
    #[must_use]
    pub fn sync_worker(&self) -> Setup {
        self.worker("sync-worker")
    }

    /// A request worker.
    #[must_use]
    pub fn request_worker(&self) -> Setup {
        self.worker("request-worker")
    }

    /// Starts one of each, and waits until all are ready.
    ///
    /// # Panics
    /// One of them does not become ready.
    pub async fn start_workers(&self) -> Workers {
        let (mut sequencer, mut poller) = (self.sequencer().spawn(), self.poller().spawn());
        let mut sync_worker = self.sync_worker().spawn();
        sequencer.wait_ready().await;
        poller.wait_ready().await;
        sync_worker.wait_ready().await;
        Workers { sequencer, poller, sync_worker }
    }

    /// The operator's command line.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::new(self.environment.clone(), self.scratch.path().to_owned())
    }

    /// Makes a project with one tenancy.
    ///
    /// # Panics
    /// The command fails.
    pub async fn tenancy(&self, project: &str) -> Uuid {
        let made = self.cli().json(&["tenancy", "create", "--project", project]).await;
        made["tenancyId"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .unwrap_or_else(|| panic!("no tenancyId: {made}"))
    }

    /// Adds a target; `options` are further arguments of `target add`.
    ///
    /// # Panics
    /// The command fails.
    pub async fn target(&self, tenancy: Uuid, id: &str, url: &str, options: &[&str]) {
        let tenancy = tenancy.to_string();
        let mut arguments = vec!["target", "add", "--tenancy", &tenancy, "--id", id, "--url", "-"];
        arguments.extend(options);
        let output = self.cli().run_with_input(&arguments, url).await;
        assert_eq!(output.code, Some(0), "target add: {output:?}");
    }

    /// Holds the sequencer's lock: passes stand by until the session's transaction ends.
    ///
    /// # Panics
    /// The internal database refuses.
    pub async fn hold_passes(&self) -> Client {
        let gate = self.internal.connect().await;
        gate.batch_execute("begin; select pg_advisory_xact_lock(1952805748, hashtext(current_schema()))")
            .await
            .expect("the lock");
        gate
    }

    /// A place in a worker where it will stop and wait, by the name of a failpoint.
    #[must_use]
    pub fn hold(&self, failpoint: &str) -> Hold {
        Hold::new(failpoint, self.scratch.path().join(format!("held-{}", short_id())))
    }
}

/// A configuration by variables alone; times are short, so that a test of what happens later does not take longer.
fn environment(
    internal: &Database,
    vhost: &Vhost,
    services: &Services,
    template: Template,
) -> BTreeMap<String, String> {
    let key = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 32]>());
    let settings = [
        ("deployment.name", internal.name().to_owned()),
        ("database.url", internal.url().to_owned()),
        ("database.user_tables", template.has_user_tables().to_string()),
        ("database.pool_size", "5".to_owned()),
        ("rabbitmq.url", vhost.url().to_owned()),
        ("rabbitmq.management_url", services.management_url.to_string()),
        ("secrets.keys", format!("test:{key}")),
        ("network.allow_private", "true".to_owned()),
        ("network.tls", "disable".to_owned()),
        ("requests.allow_http", "true".to_owned()),
        ("sync.retry_base", "100ms".to_owned()),
        ("sync.retry_max", "2s".to_owned()),
        ("log.format", "json".to_owned()),
    ];
    settings.into_iter().map(|(key, value)| (variable(key), value)).collect()
}
