//! Migrated databases that the tests' own are copied from: copying takes a tenth of a second, migrating more.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tenant_sync_core::config::Config;
use tenant_sync_core::migrate::{Migrations, Migrator};
use tokio_postgres::Client;

use crate::database::connect;
use crate::urls;

/// What a new internal database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// The engine's and the sample application's tables.
    Application,
    /// The engine's alone, as with `database.user_tables = false`.
    Engine,
    /// Nothing, not even the record of migrations.
    Empty,
}

/// Key of the advisory lock, in the database `postgres`, under which a template is made.
const LOCK: i64 = 0x7465_6d70_6c61_7465;

impl Template {
    /// Makes the template if this server does not have it, and returns its name. It is named by the
    /// migrations' checksums, so that a changed one means another template; many test processes may ask at
    /// once.
    pub(crate) async fn ensure(self, admin_url: &str) -> String {
        if self == Self::Empty {
            return "template0".to_owned();
        }
        let name = format!("tenant_sync_template_{}", self.checksum());
        let admin = connect(admin_url).await;
        if !exists(&admin, &name).await {
            admin.execute("select pg_advisory_lock($1)", &[&LOCK]).await.expect("an advisory lock");
            if !exists(&admin, &name).await {
                self.make(admin_url, &admin, &name).await;
            }
        }
        name
    }

    /// The template gets its name when it is complete; what a killed process left half-made is removed first.
    async fn make(self, admin_url: &str, admin: &Client, name: &str) {
        let draft = format!("{name}_draft");
        let run = async |statement: String| admin.batch_execute(&statement).await.expect("making a template");
        run(format!("drop database if exists {draft} with (force)")).await;
        run(format!("create database {draft} template template0")).await;
        self.migrate(&urls::with_path(admin_url, &draft)).await;
        // A pool ends its sessions in the background, and a database in use cannot be renamed.
        run(format!(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{draft}'"
        ))
        .await;
        run(format!("alter database {draft} rename to {name}")).await;
    }

    async fn migrate(self, url: &str) {
        let settings = [
            ("TENANT_SYNC_DATABASE__URL".to_owned(), url.to_owned()),
            ("TENANT_SYNC_DATABASE__USER_TABLES".to_owned(), self.has_user_tables().to_string()),
        ];
        let config = Config::from_sources(None, settings).expect("a configuration");
        Migrator::new(&config).expect("a migrator").run(&mut ()).await.expect("migrating");
    }

    /// For `database.user_tables`.
    pub(crate) fn has_user_tables(self) -> bool {
        self != Self::Engine
    }

    fn checksum(self) -> String {
        let migrations = Migrations::embedded(self.has_user_tables()).expect("the project's own migrations");
        let mut hasher = DefaultHasher::new();
        for migration in migrations.iter() {
            (&migration.name, &migration.checksum).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }
}

async fn exists(admin: &Client, name: &str) -> bool {
    let found = admin.query_opt("select from pg_database where datname = $1", &[&name]).await;
    found.expect("a catalog query").is_some()
}
