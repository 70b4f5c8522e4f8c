//! Mappings against the live schema: what fits is taken with all that the schema says of it, and what does not fit
//! is refused with file, line and reason.

mod expressions;
mod fits;
mod proofs;

use std::path::Path;

use tenant_sync_core::config::Config;
use tenant_sync_core::mapping::{CheckError, Mapping, check, load, parse};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// A database of its own with the internal schema in it; dropped with its client.
struct Database {
    client: Client,
    admin: tokio_postgres::Config,
    name: String,
}

impl Database {
    async fn new() -> Self {
        let url = std::env::var("TENANT_SYNC_TEST_INTERNAL_URL").expect("set by deploy/with-services");
        let admin: tokio_postgres::Config = url.parse().expect("a connection string");
        let name = format!("mapping_{}", Uuid::new_v4().simple());
        connect(&admin).await.batch_execute(&format!("create database {name}")).await.expect("created");
        let mut own = admin.clone();
        let client = connect(own.dbname(&name)).await;
        for set in ["engine", "app"] {
            for file in migrations(set) {
                client.batch_execute(&file).await.expect("migrated");
            }
        }
        Self { client, admin, name }
    }

    async fn drop(self) {
        drop(self.client);
        let drop = format!("drop database {} with (force)", self.name);
        connect(&self.admin).await.batch_execute(&drop).await.expect("dropped");
    }
}

async fn connect(config: &tokio_postgres::Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("connected");
    tokio::spawn(connection);
    client
}

/// The text of a set's migrations, in order.
fn migrations(set: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(set);
    let entries = std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "sql")).collect();
    files.sort();
    files.iter().map(|path| std::fs::read_to_string(path).expect("readable")).collect()
}

fn shipped() -> Vec<Mapping> {
    let url = ("TENANT_SYNC_DATABASE__URL".to_owned(), "postgres://unused".to_owned());
    load(&Config::from_sources(None, [url]).expect("a configuration")).expect("good")
}

async fn refusals(text: &str, client: &Client) -> String {
    let mapping = parse("m.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
    match check(&[mapping], client).await {
        Ok(_) => String::new(),
        Err(CheckError::Mappings(errors)) => errors.to_string(),
        Err(CheckError::Database(error)) => panic!("{error}"),
    }
}

/// One column more for `TEST`, which starts at line 26.
fn with_column(type_text: &str, expr: &str) -> String {
    format!("{TEST}[[column]]\nname = \"value\"\ntype = \"{type_text}\"\nexpr = '''{expr}'''\n")
}

const TEST: &str = r#"name = "test"
event = "test"
[source]
table = "ProjectUser"

[target]
table = "test"
key = ["id"]

[[join]]
table = "ContactChannel"
alias = "email"
on = { projectUserId = "projectUserId" }
where = "email.\"type\" = 'EMAIL' and email.\"isPrimary\""

[[touch]]
table = "ContactChannel"
on = { projectUserId = "projectUserId" }

[[column]]
name = "id"
type = "uuid"
expr = 's."projectUserId"'

"#;

/// A sequenced table of an operator, in SQL.
fn sequenced(name: &str, columns: &str) -> String {
    format!(
        "create table \"{name}\" (\"tenancyId\" uuid not null, {columns}, \"sequenceId\" bigint, \
         \"shouldUpdateSequenceId\" boolean not null default true, \"changedBy\" xid8)"
    )
}
