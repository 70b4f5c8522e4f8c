//! The servers of the demo, and how a visitor looks at them.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tenant_sync_core::config::Config;
use tenant_sync_core::secrets::generate_key;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::prepare::Stage;
use crate::context::Usage;

/// The demo's internal database.
pub(super) const INTERNAL: &str = "tenant_sync_demo";
/// A role that may only read what the demo shows; it has a new password each time.
pub(super) const VISITOR: &str = "tenant_sync_demo";

/// Where the servers are. The URLs are those of administrators and never printed.
pub(super) struct Services {
    internal: SecretString,
    external: SecretString,
    amqp: SecretString,
    management: Option<String>,
    /// Of the visitor.
    password: String,
    /// Of the console.
    admin_key: String,
    console: SocketAddr,
}

impl Services {
    pub(super) fn from_env() -> Result<Self, Usage> {
        let read = |name: &str| {
            std::env::var(format!("TENANT_SYNC_TEST_{name}")).ok().filter(|value| !value.is_empty())
        };
        let need = |name: &str| {
            read(name).map(SecretString::from).ok_or_else(|| {
                Usage(format!("the demo needs servers: run `make demo`, or set TENANT_SYNC_TEST_{name}"))
            })
        };
        Ok(Self {
            internal: need("INTERNAL_URL")?,
            external: need("EXTERNAL_URL")?,
            amqp: need("AMQP_URL")?,
            management: read("MANAGEMENT_URL"),
            password: Uuid::new_v4().simple().to_string(),
            admin_key: Uuid::new_v4().simple().to_string(),
            console: free_address().map_err(|error| Usage(format!("no port is free: {error}")))?,
        })
    }

    /// A configuration of the demo's own: nothing of the visitor's file or environment is in it.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let filter = if std::io::stdout().is_terminal() { "error" } else { "warn" };
        let mut settings = vec![
            ("DEPLOYMENT__NAME", "demo".to_owned()),
            ("DATABASE__URL", with_database(self.internal.expose_secret(), INTERNAL)),
            ("DATABASE__AUTO_MIGRATE", "true".to_owned()),
            ("RABBITMQ__URL", format!("{}/%2f", self.amqp.expose_secret().trim_end_matches('/'))),
            ("SECRETS__KEYS", generate_key("demo")?.expose_secret().to_owned()),
            // The servers are on this machine, and without certificates.
            ("NETWORK__ALLOW_PRIVATE", "true".to_owned()),
            ("NETWORK__TLS", "disable".to_owned()),
            ("REQUESTS__ALLOW_HTTP", "true".to_owned()),
            ("LOG__FILTER", filter.to_owned()),
            ("CONSOLE__LISTEN", self.console.to_string()),
            ("CONSOLE__ADMIN_KEYS", format!("demo:{}", self.admin_key)),
        ];
        settings.extend(self.management.clone().map(|url| ("RABBITMQ__MANAGEMENT_URL", url)));
        let settings = settings.into_iter().map(|(key, value)| (format!("TENANT_SYNC_{key}"), value));
        // An empty file, so that no tenant-sync.toml is read.
        Ok(Config::from_sources(Some(Path::new("/dev/null")), settings)?)
    }

    pub(super) fn target_url(&self, database: &str) -> SecretString {
        SecretString::from(with_database(self.external.expose_secret(), database))
    }

    pub(super) fn visitor_password(&self) -> &str {
        &self.password
    }

    pub(super) async fn internal_admin(&self, database: Option<&str>) -> anyhow::Result<Client> {
        connect(self.internal.expose_secret(), database).await.context("internal server")
    }

    pub(super) async fn external_admin(&self, database: Option<&str>) -> anyhow::Result<Client> {
        connect(self.external.expose_secret(), database).await.context("external server")
    }

    /// What to type to see for oneself.
    pub(super) async fn how_to_look(&self, stage: &Stage) -> String {
        let mut text = "Look for yourself:\n".to_owned();
        let _ = writeln!(
            text,
            "  internal   psql '{}' -c 'select count(*) from \"ProjectUser\"'",
            self.visitor_url(&self.internal, INTERNAL)
        );
        if let Some(target) = stage.targets.first() {
            let _ = writeln!(
                text,
                "  external   psql '{}' -c 'select * from tenant_sync.sync_freshness'",
                self.visitor_url(&self.external, &target.database)
            );
        }
        if let Some(address) = &self.management {
            let login = match self.add_broker_visitor(address).await {
                Ok(()) => format!("user {VISITOR}, password {}", self.password),
                Err(_) => "with the broker's own user".to_owned(),
            };
            let _ = writeln!(text, "  RabbitMQ   {address}  ({login})");
        }
        text
    }

    /// Where the console is, and the key to it.
    pub(super) fn how_to_operate(&self) -> String {
        format!("\nDashboard   http://{}   key: {}\n", self.console, self.admin_key)
    }

    fn visitor_url(&self, server: &SecretString, database: &str) -> String {
        let url = with_database(server.expose_secret(), database);
        let place = url.rsplit_once('@').map_or("", |(_, place)| place);
        format!("postgres://{VISITOR}:{}@{place}", self.password)
    }

    /// A user of the management UI that sees and changes nothing else.
    async fn add_broker_visitor(&self, address: &str) -> anyhow::Result<()> {
        let user = serde_json::json!({ "password": self.password, "tags": "monitoring" });
        self.broker_put(address, &format!("/api/users/{VISITOR}"), &user).await?;
        let nothing = serde_json::json!({ "configure": "^$", "write": "^$", "read": "^$" });
        self.broker_put(address, &format!("/api/permissions/%2f/{VISITOR}"), &nothing).await
    }

    async fn broker_put(&self, address: &str, path: &str, body: &serde_json::Value) -> anyhow::Result<()> {
        let host = address.strip_prefix("http://").context("not http")?.trim_end_matches('/');
        let url = self.amqp.expose_secret();
        let login = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).context("no user")?.0;
        let body = body.to_string();
        let request = format!(
            "PUT {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            STANDARD.encode(login),
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(host).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(16 << 10).read_to_end(&mut answer).await?;
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 20"), "the broker refused");
        Ok(())
    }
}

/// A port of this machine that nobody listens on right now.
fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A session as the server's administrator; ended when the client is dropped.
async fn connect(url: &str, database: Option<&str>) -> anyhow::Result<Client> {
    let url = database.map_or_else(|| url.to_owned(), |name| with_database(url, name));
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The same server, another database.
fn with_database(url: &str, database: &str) -> String {
    let (location, query) = url.split_once('?').map_or((url, ""), |(location, query)| (location, query));
    let authority_from = location.find("://").map_or(0, |at| at + 3);
    let end = location[authority_from..].find('/').map_or(location.len(), |at| authority_from + at);
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{}/{database}{query}", &location[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_changes() {
        for (url, expected) in [
            ("postgres://u:p@h:1/postgres", "postgres://u:p@h:1/x"),
            ("postgres://u:p@h:1", "postgres://u:p@h:1/x"),
            ("postgres://u@h/postgres?sslmode=disable", "postgres://u@h/x?sslmode=disable"),
        ] {
            assert_eq!(with_database(url, "x"), expected);
        }
    }
}
