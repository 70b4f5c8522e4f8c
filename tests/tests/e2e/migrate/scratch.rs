//! A database for one test, and migrators of it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenant_sync_core::config::Config;
use tenant_sync_core::migrate::{Limits, MigrateError, Migrations, Migrator, Outcome};
use tenant_sync_tests::database::Database;
use tenant_sync_tests::template::Template;
use tokio_postgres::Client;

/// Longest wait for something that must happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// An empty database that exists while the test runs.
pub(super) struct Scratch {
    database: Database,
    pub(super) name: String,
    pub(super) url: String,
}

/// Runs `test` on a database of its own.
pub(super) async fn on_database<F: Future<Output = ()>>(test: impl FnOnce(Arc<Scratch>) -> F) {
    let server =
        std::env::var("TENANT_SYNC_TEST_INTERNAL_URL").expect("TENANT_SYNC_TEST_INTERNAL_URL is set");
    let database = Database::internal(&server, Template::Empty).await;
    let (name, url) = (database.name().to_owned(), database.url().to_owned());
    let scratch = Arc::new(Scratch { database, name, url });
    tokio::time::timeout(3 * DEADLINE, test(scratch)).await.expect("the test ends in time");
}

impl Scratch {
    pub(super) async fn connect(&self) -> Client {
        self.database.connect().await
    }

    /// A configuration that uses this database, with further `section.key` values.
    pub(super) fn config(&self, more: &[(&str, &str)]) -> Config {
        let mut variables = vec![("TENANT_SYNC_DATABASE__URL".to_owned(), self.url.clone())];
        let variable = |key: &str| format!("TENANT_SYNC_{}", key.replacen('.', "__", 1).to_uppercase());
        variables.extend(more.iter().map(|(key, value)| (variable(key), (*value).to_owned())));
        Config::from_sources(None, variables).expect("configuration")
    }

    pub(super) fn migrator(&self, files: &[(&str, &str)]) -> Migrator {
        Migrator::with(&self.config(&[]), list(files)).expect("migrator").limits(quick())
    }

    pub(super) async fn migrate(&self, files: &[(&str, &str)]) -> Result<Outcome, MigrateError> {
        tokio::time::timeout(DEADLINE, self.migrator(files).run(&mut ())).await.expect("ends in time")
    }

    /// Starts migrating in the background.
    pub(super) fn start(
        &self,
        files: &[(&str, &str)],
    ) -> tokio::task::JoinHandle<Result<Outcome, MigrateError>> {
        let migrator = self.migrator(files);
        tokio::spawn(async move { migrator.run(&mut ()).await })
    }
}

/// Migrations of the engine's set.
pub(super) fn list(files: &[(&str, &str)]) -> Migrations {
    Migrations::parse(files.iter().map(|&(file, text)| ("engine", file, text))).expect("migrations")
}

/// The usual limits with a shorter poll.
pub(super) fn quick() -> Limits {
    Limits { poll: Duration::from_millis(20), backoff_max: Duration::from_millis(200), ..Limits::default() }
}

pub(super) fn applied(names: &[&str]) -> Outcome {
    Outcome::Applied { names: names.iter().map(|name| format!("engine/{name}")).collect() }
}

/// The one value that `sql` selects.
pub(super) async fn value<T>(client: &Client, sql: &str) -> T
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    client.query_one(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e}")).get(0)
}

/// Waits until `condition` (an SQL expression) is true.
pub(super) async fn until(client: &Client, condition: &str) {
    let begun = Instant::now();
    while !value::<bool>(client, &format!("select coalesce(({condition}), false)")).await {
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {condition}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A migrator of this database waits for a lock that an application holds.
pub(super) const MIGRATOR_WAITS: &str = "select count(*) = 1 from pg_stat_activity where datname = current_database() \
    and application_name = 'tenant-sync migrate' and wait_event_type = 'Lock'";

/// Ends the sessions of migrators of this database, as a crash would.
pub(super) const KILL_MIGRATORS: &str = "select pg_terminate_backend(pid) from pg_stat_activity \
    where datname = current_database() and application_name = 'tenant-sync migrate'";
