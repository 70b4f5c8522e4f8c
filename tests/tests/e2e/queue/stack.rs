//! A database and a vhost of its own for each test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use secrecy::ExposeSecret as _;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::queue::{self, Broker, LinkState, Publisher, names::Queue};
use tenant_sync_core::worker::Fusebox;
use tenant_sync_poller::Poller;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::{Client, Config as PgConfig, NoTls};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longest wait for anything that should happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again until it is so. Fails the test after [`DEADLINE`].
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

pub(super) struct Stack {
    pub(super) config: Arc<Config>,
    pub(super) sql: Client,
    pub(super) amqp: lapin::Channel,
    _connection: lapin::Connection,
    name: String,
}

impl Stack {
    pub(super) async fn new(settings: &[(&str, &str)]) -> Self {
        let name = format!("q_{}", Uuid::new_v4().simple());
        let database_url = create_database(&name).await;
        create_vhost(&name).await;
        let amqp_url = format!("{}/{name}", service("TENANT_SYNC_TEST_AMQP_URL").trim_end_matches('/'));
        let mut variables = vec![
            ("TENANT_SYNC_DATABASE__URL".to_owned(), database_url.clone()),
            ("TENANT_SYNC_RABBITMQ__URL".to_owned(), amqp_url.clone()),
        ];
        variables.extend(settings.iter().map(|(k, v)| (format!("TENANT_SYNC_{k}"), (*v).to_owned())));
        let config = Arc::new(Config::from_sources(None, variables).expect("configuration"));
        let sql = connect(&database_url).await;
        let mut migrating = Config::clone(&config);
        migrating.database.auto_migrate = true;
        tenant_sync_core::migrate::ensure(&migrating).await.expect("schema");
        let connection = lapin::Connection::connect(&amqp_url, lapin::ConnectionProperties::default());
        let connection = connection.await.expect("RabbitMQ");
        let amqp = connection.create_channel().await.expect("channel");
        Self { config, sql, amqp, _connection: connection, name }
    }

    /// The configuration with other settings.
    pub(super) fn config_with(&self, settings: &[(&str, &str)]) -> Arc<Config> {
        let mut variables = vec![
            ("TENANT_SYNC_DATABASE__URL".to_owned(), self.config.database.url().expose_secret().to_owned()),
            ("TENANT_SYNC_RABBITMQ__URL".to_owned(), self.config.rabbitmq.url.expose_secret().to_owned()),
        ];
        variables.extend(settings.iter().map(|(k, v)| (format!("TENANT_SYNC_{k}"), (*v).to_owned())));
        Arc::new(Config::from_sources(None, variables).expect("configuration"))
    }

    pub(super) fn internal(&self) -> Internal {
        Internal::new(&self.config.database, "test").expect("internal")
    }

    pub(super) fn broker(&self) -> Broker {
        Broker::new(&self.config.rabbitmq, "test").expect("broker")
    }

    /// A poller whose link is up, to be ticked by hand.
    pub(super) async fn poller(&self) -> ManualPoller {
        let (publisher, link) = queue::publisher(self.broker());
        let (stop, state) = (CancellationToken::new(), link.state());
        tokio::spawn(link.run(stop.clone()));
        let internal = self.internal();
        let fusebox = Arc::new(Fusebox::new(internal.clone()));
        let poller = Poller::new(&self.config, internal, fusebox, publisher.clone());
        let manual = ManualPoller { poller, publisher, state, _stop: stop.drop_guard() };
        manual.until_up().await;
        manual
    }

    /// A tenancy with targets `t0`, `t1`, … that nobody visits.
    pub(super) async fn tenancy(&self, targets: usize) -> Uuid {
        let id = Uuid::new_v4();
        self.sql
            .execute(r#"insert into "Project" (id) values ($1)"#, &[&id.to_string()])
            .await
            .expect("project");
        let tenancy = r#"insert into "Tenancy" (id, "projectId") values ($1, $2)"#;
        self.sql.execute(tenancy, &[&id, &id.to_string()]).await.expect("tenancy");
        let target = r#"insert into "ExternalDatabase" ("tenancyId", id, "nextVisitAt")
                        select $1, 't' || n, 'infinity' from generate_series(0, $2::bigint - 1) n"#;
        self.sql.execute(target, &[&id, &i64::try_from(targets).expect("few")]).await.expect("targets");
        id
    }

    /// A tenancy with that many due sync rows.
    pub(super) async fn due_rows(&self, rows: usize) -> Vec<TargetKey> {
        let tenancy_id = self.tenancy(rows).await;
        let keys: Vec<_> =
            (0..rows).map(|n| TargetKey { tenancy_id, database_id: format!("t{n}") }).collect();
        let client = self.internal().get().await.expect("session");
        assert_eq!(outbox::enqueue(&client, &keys).await.expect("enqueue"), rows as u64);
        keys
    }

    pub(super) async fn count(&self, condition: &str) -> i64 {
        let text = format!(r#"select count(*) from "OutgoingRequest" where {condition}"#);
        self.sql.query_one(&text, &[]).await.expect("count").get(0)
    }

    /// Sessions that wait for a lock in this database.
    pub(super) async fn lock_waiters(&self) -> i64 {
        let text = "select count(*) from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock'";
        self.sql.query_one(text, &[]).await.expect("activity").get(0)
    }

    /// All messages of a queue, taken out of it.
    pub(super) async fn drain(&self, queue: Queue) -> Vec<lapin::message::Delivery> {
        let mut messages = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = self.amqp.basic_get(queue.name().into(), options).await.expect("get") {
            messages.push(message.delivery);
        }
        messages
    }

    /// Messages that are ready in a queue.
    pub(super) async fn ready(&self, queue: Queue) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.amqp.queue_declare(queue.name().into(), options, FieldTable::default());
        declared.await.expect("queue").message_count()
    }

    pub(super) async fn delete_all_queues(&self) {
        for queue in Queue::ALL {
            management("DELETE", &format!("/api/queues/{}/{}", self.name, queue.name()), "").await;
        }
    }

    /// Removes database and vhost. A test that fails leaves them to be looked at.
    pub(super) async fn close(self) {
        drop(self.sql);
        management("DELETE", &format!("/api/vhosts/{}", self.name), "").await;
        let admin = connect(&service("TENANT_SYNC_TEST_INTERNAL_URL")).await;
        admin.batch_execute(&format!("drop database {} with (force)", self.name)).await.expect("drop");
    }
}

pub(super) struct ManualPoller {
    pub(super) poller: Poller,
    pub(super) publisher: Publisher,
    state: LinkState,
    _stop: tokio_util::sync::DropGuard,
}

impl ManualPoller {
    pub(super) async fn until_up(&self) {
        eventually("the publisher is connected", || async { self.state.is_up() && self.publisher.is_up() })
            .await;
    }
}

async fn create_database(name: &str) -> String {
    let url = service("TENANT_SYNC_TEST_INTERNAL_URL");
    let admin = connect(&url).await;
    admin.batch_execute(&format!("create database {name}")).await.expect("create database");
    let (server, _) = url.rsplit_once('/').expect("a path");
    format!("{server}/{name}")
}

async fn create_vhost(name: &str) {
    let user = credentials().0;
    management("PUT", &format!("/api/vhosts/{name}"), "{}").await;
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    management("PUT", &format!("/api/permissions/{name}/{user}"), all).await;
}

fn credentials() -> (String, String) {
    let url = service("TENANT_SYNC_TEST_AMQP_URL");
    let (userinfo, _) = url.trim_start_matches("amqp://").split_once('@').expect("user");
    let (user, password) = userinfo.split_once(':').expect("password");
    (user.to_owned(), password.to_owned())
}

/// One request to RabbitMQ's management API.
async fn management(method: &str, path: &str, body: &str) {
    let url = service("TENANT_SYNC_TEST_MANAGEMENT_URL");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let (user, password) = credentials();
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Basic {login}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).await.expect("management");
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
}

pub(super) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("Postgres");
    tokio::spawn(connection);
    client
}

/// Where the servers of a configuration listen.
pub(super) fn addresses(config: &Config) -> (SocketAddr, SocketAddr) {
    let postgres: PgConfig = config.database.url().expose_secret().parse().expect("url");
    let amqp: lapin::uri::AMQPUri = config.rabbitmq.url.expose_secret().parse().expect("url");
    let host = "127.0.0.1".parse().expect("loopback");
    (SocketAddr::new(host, postgres.get_ports()[0]), SocketAddr::new(host, amqp.authority.port))
}

/// A configuration whose servers are reached through gates.
pub(super) fn through(
    config: &Config,
    postgres: SocketAddr,
    amqp: SocketAddr,
) -> [(&'static str, String); 2] {
    let (real_postgres, real_amqp) = addresses(config);
    let swap = |url: &str, from: SocketAddr, to: SocketAddr| url.replace(&from.to_string(), &to.to_string());
    [
        ("DATABASE__URL", swap(config.database.url().expose_secret(), real_postgres, postgres)),
        ("RABBITMQ__URL", swap(config.rabbitmq.url.expose_secret(), real_amqp, amqp)),
    ]
}
