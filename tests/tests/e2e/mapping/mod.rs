//! Mappings against the live schema: what fits is taken with all that the schema says of it, and what does not fit
//! is refused with file, line and reason.

mod expressions;
mod fits;
mod proofs;

use std::path::Path;

use tenant_sync_core::mapping::{CheckError, Mapping, check, parse};
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

fn folder(name: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    let entries = std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path());
    let mut files: Vec<_> = entries.filter(|path| !path.ends_with(".gitkeep")).collect();
    files.sort();
    let name = |path: &Path| path.file_name().and_then(|n| n.to_str()).expect("a name").to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).expect("readable"))).collect()
}

fn migrations(set: &str) -> Vec<String> {
    folder(&format!("migrations/{set}")).into_iter().map(|(_, text)| text).collect()
}

fn shipped() -> Vec<Mapping> {
    folder("mappings").iter().map(|(name, text)| parse(name, text).expect("good")).collect()
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
