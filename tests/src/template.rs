//! Migrated databases that the tests' own are copied from: copying takes a tenth of a second, migrating more.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use tenant_sync_core::config::Config;
use tokio_postgres::Client;

use crate::database::connect;
use crate::pids::project_root;
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
    /// Makes the template if this server does not have it, and returns its name. It is named by the migrations' text,
    /// so that a changed file means another template; many test processes may ask at once.
    pub(crate) async fn ensure(self, admin_url: &str) -> String {
        let sets: &[&str] = match self {
            Self::Application => &["engine", "app"],
            Self::Engine => &["engine"],
            Self::Empty => return "template0".to_owned(),
        };
        let files = files(sets);
        let name = format!("tenant_sync_template_{}", checksum(&files));
        let admin = connect(admin_url).await;
        if !exists(&admin, &name).await {
            admin.execute("select pg_advisory_lock($1)", &[&LOCK]).await.expect("an advisory lock");
            if !exists(&admin, &name).await {
                make(admin_url, &admin, &name, sets).await;
            }
        }
        name
    }
}

/// The template gets its name when it is complete; what a killed process left half-made is removed first.
async fn make(admin_url: &str, admin: &Client, name: &str, sets: &[&str]) {
    let draft = format!("{name}_draft");
    let run =
        async |statement: String| admin.batch_execute(&statement).await.expect("making a template database");
    run(format!("drop database if exists {draft} with (force)")).await;
    run(format!("create database {draft} template template0")).await;
    migrate(&urls::with_path(admin_url, &draft), sets.contains(&"app")).await;
    run(format!("alter database {draft} rename to {name}")).await;
}

async fn exists(admin: &Client, name: &str) -> bool {
    admin
        .query_opt("select from pg_database where datname = $1", &[&name])
        .await
        .expect("a catalog query")
        .is_some()
}

/// By the migrator, so that what it records is there, too: a worker refuses a schema without it.
async fn migrate(url: &str, user_tables: bool) {
    let settings = [
        ("TENANT_SYNC_DATABASE__URL", url),
        ("TENANT_SYNC_DATABASE__USER_TABLES", if user_tables { "true" } else { "false" }),
        ("TENANT_SYNC_DATABASE__AUTO_MIGRATE", "true"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from_sources(None, settings).expect("a configuration");
    tenant_sync_core::migrate::ensure(&config).await.expect("migrating a template");
}

/// The migrations' names and texts, in order.
fn files(sets: &[&str]) -> Vec<(String, String)> {
    let folder = project_root().join("migrations");
    sets.iter().flat_map(|set| files_of(&folder.join(set))).collect()
}

fn files_of(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).expect("the folder of migrations").flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("a readable migration");
    paths.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

fn checksum(files: &[(String, String)]) -> String {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
