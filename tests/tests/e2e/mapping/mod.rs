//! Mappings against the live schema: what fits is taken with all that the schema says of it, and what does not fit
//! is refused with file, line and reason.

mod expressions;
mod fits;
mod proofs;

use tenant_sync_core::config::Config;
use tenant_sync_core::db::Internal;
use tenant_sync_core::mapping::{CheckError, Mapping, check, load, parse};
use tenant_sync_core::migrate;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// A migrated database of its own and a session in it, as a worker has it.
struct Database {
    client: Client,
    admin_url: String,
    name: String,
}

impl Database {
    async fn new() -> Self {
        let admin_url = std::env::var("TENANT_SYNC_TEST_INTERNAL_URL").expect("set by deploy/with-services");
        let (server, _) = admin_url.rsplit_once('/').expect("a URL with a database");
        let name = format!("mapping_{}", Uuid::new_v4().simple());
        let config = config(&format!("{server}/{name}"));
        migrate::create_database(&config).await.expect("created");
        migrate::ensure(&config).await.expect("migrated");
        let internal = Internal::new(&config.database, "test").expect("good");
        let (client, connection) = internal.dedicated().await.expect("connected");
        tokio::spawn(connection);
        Self { client, admin_url, name }
    }

    async fn drop(self) {
        drop(self.client);
        let (client, connection) = tokio_postgres::connect(&self.admin_url, NoTls).await.expect("connected");
        tokio::spawn(connection);
        let drop = format!("drop database {} with (force)", self.name);
        client.batch_execute(&drop).await.expect("dropped");
    }
}

fn config(url: &str) -> Config {
    let variables = [("DATABASE__URL", url), ("DATABASE__AUTO_MIGRATE", "true")];
    let variables = variables.map(|(name, value)| (format!("TENANT_SYNC_{name}"), value.to_owned()));
    Config::from_sources(None, variables).expect("a configuration")
}

fn shipped() -> Vec<Mapping> {
    load(&config("postgres://unused")).expect("good")
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
