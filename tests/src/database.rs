//! A database of a test's own, on one of the shared servers.

use std::sync::{Mutex, PoisonError};

use tokio_postgres::{Client, NoTls};

use crate::cleanup;
use crate::scratch::short_id;
use crate::services::Services;
use crate::template::Template;
use crate::urls;

/// Dropped, with the roles that the test made for it, when this value is dropped.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
    admin_url: String,
    roles: Mutex<Vec<String>>,
}

/// A role that a test made, for the lifetime of a database.
#[derive(Debug, Clone)]
pub struct Role {
    /// Unique on the server; needs no quotes.
    pub name: String,
    /// Its connection string for the database that it was made for.
    pub url: String,
}

impl Database {
    /// An internal database on any server; `admin_url` is a superuser's.
    ///
    /// # Panics
    /// The server refuses, or a migration fails.
    pub async fn internal(admin_url: &str, template: Template) -> Self {
        let template = template.ensure(admin_url).await;
        Self::create_on(admin_url, &template).await
    }

    /// An empty database on the external server number `index`; there may be fewer servers than databases.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn external(services: &Services, index: usize) -> Self {
        let server = &services.external_urls[index % services.external_urls.len()];
        Self::create_on(server, "template0").await
    }

    /// A copy of the database `template` on any server; `admin_url` is a superuser's.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn create_on(admin_url: &str, template: &str) -> Self {
        let name = format!("t_{}", short_id());
        let admin = connect(admin_url).await;
        let create = format!("create database {name} template {template}");
        admin.batch_execute(&create).await.expect("creating a database");
        let url = urls::with_path(admin_url, &name);
        Self { name, url, admin_url: admin_url.to_owned(), roles: Mutex::default() }
    }

    /// Its name; needs no quotes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Connection string of the superuser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's superuser, in the database `postgres`.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// A session of the superuser.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Runs statements, separated by semicolons, in a session of their own.
    ///
    /// # Panics
    /// One of them fails.
    pub async fn sql(&self, statements: &str) {
        let client = self.connect().await;
        client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// The rows of a query as text, columns joined by `|`, null as `∅`: for comparing in one assertion.
    ///
    /// # Panics
    /// The query fails.
    pub async fn rows(&self, query: &str) -> Vec<String> {
        rows(&self.connect().await, query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The one value of a query, as text.
    ///
    /// # Panics
    /// The query fails, or does not return exactly one row.
    pub async fn value(&self, query: &str) -> String {
        let mut rows = self.rows(query).await;
        assert_eq!(rows.len(), 1, "{query} returned {rows:?}");
        rows.remove(0)
    }

    /// A role that may log in; `attributes` as in `CREATE ROLE`, for example `nosuperuser`. It owns nothing and was
    /// granted nothing.
    ///
    /// # Panics
    /// The server refuses.
    pub async fn role(&self, attributes: &str) -> Role {
        let name = format!("r_{}", short_id());
        let password = short_id();
        self.sql(&format!("create role {name} login password '{password}' {attributes}")).await;
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        Role { url: urls::with_user(&self.url, &name, &password), name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let roles = std::mem::take(&mut *self.roles.lock().unwrap_or_else(PoisonError::into_inner));
        let mut statements = vec![format!("drop database if exists {} with (force)", self.name)];
        statements.extend(roles.iter().map(|role| format!("drop role if exists {role}")));
        cleanup::now(&self.name, || async {
            let client = try_connect(&self.admin_url).await?;
            for statement in statements {
                client.batch_execute(&statement).await.map_err(|error| format!("{statement}: {error:?}"))?;
            }
            Ok(())
        });
    }
}

/// A session by any connection string, without TLS.
///
/// # Panics
/// The server refuses.
pub async fn connect(url: &str) -> Client {
    try_connect(url).await.unwrap_or_else(|error| panic!("{error}"))
}

/// The same, for tests that expect a refusal.
///
/// # Errors
/// The server's words.
pub async fn try_connect(url: &str) -> Result<Client, String> {
    let connected = tokio_postgres::connect(url, NoTls).await;
    let (client, connection) =
        connected.map_err(|error| format!("connecting to {}: {error:?}", urls::address(url)))?;
    tokio::spawn(connection);
    Ok(client)
}

/// Pages that a statement touches, by the first line of its plan that counts them; `None` = it touches none.
///
/// # Errors
/// The server refuses.
pub async fn pages(client: &Client, statement: &str) -> Result<Option<i64>, String> {
    let plan =
        rows(client, &format!("explain (analyze, buffers, timing off, summary off) {statement}")).await?;
    let Some(buffers) = plan.iter().find(|line| line.trim().starts_with("Buffers:")) else { return Ok(None) };
    let count = |name: &str| -> i64 {
        let after = buffers.split(&format!("{name}=")).nth(1).unwrap_or("0");
        after.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    Ok(Some(count("shared hit") + count("read")))
}

/// The rows of a query as [`Database::rows`] shows them.
///
/// # Errors
/// The server's words.
pub async fn rows(client: &Client, query: &str) -> Result<Vec<String>, String> {
    let messages = client.simple_query(query).await.map_err(|error| format!("{error:?}"))?;
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            let columns: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or("∅")).collect();
            Some(columns.join("|"))
        }
        _ => None,
    });
    Ok(rows.collect())
}
