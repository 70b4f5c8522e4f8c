//! A stack with an outbox to look into and pollers to be ticked by hand.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicGetOptions;
use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::outbox::{self, TargetKey};
use tenant_sync_core::queue::{self, Broker, LinkState, Publisher, names::Queue};
use tenant_sync_core::worker::Fusebox;
use tenant_sync_poller::Poller;
use tenant_sync_tests::stack::Stack as Kit;
use tenant_sync_tests::template::Template;
use tenant_sync_tests::wait;
use tokio_postgres::Client;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// Longest wait for anything that should happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Asks again until it is so.
pub(super) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    wait::eventually(DEADLINE, what, async || if is_so().await { Ok(()) } else { Err("not yet") }).await;
}

pub(super) struct Stack {
    pub(super) config: Arc<Config>,
    pub(super) sql: Client,
    pub(super) kit: Kit,
}

impl Stack {
    /// With these configuration keys.
    pub(super) async fn new(settings: &[(&str, &str)]) -> Self {
        Self::on(Kit::plan().externals(0).template(Template::Engine).start().await, settings).await
    }

    pub(super) async fn on(mut kit: Kit, settings: &[(&str, &str)]) -> Self {
        settings.iter().for_each(|(key, value)| kit.set(key, value));
        Self { config: Arc::new(kit.config()), sql: kit.internal().connect().await, kit }
    }

    pub(super) fn internal(&self) -> Internal {
        Internal::new(&self.config.database, "test").expect("internal")
    }

    pub(super) async fn session(&self) -> deadpool_postgres::Object {
        self.internal().get().await.expect("session")
    }

    pub(super) fn broker(&self) -> Broker {
        Broker::new(&self.config.rabbitmq, "test").expect("broker")
    }

    /// A poller whose link is up.
    pub(super) async fn poller(&self) -> ManualPoller {
        let manual = self.poller_on(&self.config);
        manual.until_up().await;
        manual
    }

    /// A poller with another configuration, whose link may be down.
    pub(super) fn poller_on(&self, config: &Config) -> ManualPoller {
        let (publisher, link) = queue::publisher(Broker::new(&config.rabbitmq, "test").expect("broker"));
        let (stop, state) = (CancellationToken::new(), link.state());
        tokio::spawn(link.run(stop.clone()));
        let fusebox = Arc::new(Fusebox::new(self.internal()));
        let poller = Poller::new(config, self.internal(), fusebox, publisher.clone());
        ManualPoller { poller, publisher, state, _stop: stop.drop_guard() }
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
        let asked = outbox::enqueue(&self.session().await, &keys, None).await.expect("enqueue");
        assert_eq!(asked, rows as u64);
        keys
    }

    /// Rows of the outbox.
    pub(super) async fn count(&self, condition: &str) -> i64 {
        let text = format!(r#"select count(*) from "OutgoingRequest" where {condition}"#);
        self.sql.query_one(&text, &[]).await.expect("count").get(0)
    }

    /// The only row of the outbox.
    pub(super) async fn only_row(&self) -> Uuid {
        self.sql.query_one(r#"select id from "OutgoingRequest""#, &[]).await.expect("one row").get(0)
    }

    /// Sessions that wait for a lock in this database.
    pub(super) async fn lock_waiters(&self) -> i64 {
        let text = "select count(*) from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock'";
        self.sql.query_one(text, &[]).await.expect("activity").get(0)
    }

    /// All messages of a queue, taken out of it.
    pub(super) async fn drain(&self, queue: Queue) -> Vec<lapin::message::Delivery> {
        let connection = self.kit.vhost().connect().await;
        let channel = connection.create_channel().await.expect("channel");
        let mut messages = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = channel.basic_get(queue.name().into(), options).await.expect("get") {
            messages.push(message.delivery);
        }
        messages
    }

    /// Messages that are ready in a queue.
    pub(super) async fn ready(&self, queue: Queue) -> u32 {
        self.kit.vhost().ready_messages(queue.name()).await.unwrap_or(0)
    }

    pub(super) async fn delete_all_queues(&self) {
        let vhost = self.kit.vhost();
        for queue in Queue::ALL {
            vhost.management().delete_queue(vhost.name(), queue.name()).await.expect("delete");
        }
    }
}

pub(super) struct ManualPoller {
    pub(super) poller: Poller,
    pub(super) publisher: Publisher,
    state: LinkState,
    _stop: DropGuard,
}

impl ManualPoller {
    pub(super) async fn until_up(&self) {
        eventually("the publisher is connected", async || self.state.is_up() && self.publisher.is_up()).await;
    }
}
