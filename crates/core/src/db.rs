//! The internal Postgres: a pool of sessions whose `search_path` is the schema that holds everything of ours.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    GenericClient, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use rustls::ClientConfig;
use secrecy::ExposeSecret;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::Database;

/// A server that is gone without a word is noticed after 10 + 3 × 5 s, whether we wait for it or it for us.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(25);
/// What tokio-postgres takes where the connection string says nothing.
const LIBRARY_KEEPALIVE_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// Why the internal Postgres could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// `database.url` does not parse. The reason never repeats it.
    #[error(
        "database.url is not a PostgreSQL connection string; expected postgres://user:password@host:port/database"
    )]
    Url,
    /// `database.schema` cannot be a schema's name.
    #[error("database.schema must be 1 to 63 characters without a zero byte")]
    Schema,
    /// The system's root certificates could not be loaded.
    #[error("TLS for the internal Postgres: {0}")]
    Tls(#[from] rustls::Error),
    /// The pool could not be built.
    #[error("connection pool: {0}")]
    Build(#[from] deadpool_postgres::BuildError),
    /// No session within `database.connect_timeout`, or the server refused.
    #[error("internal Postgres: {}", unreachable(.0))]
    Connect(#[from] deadpool_postgres::PoolError),
    /// A statement failed.
    #[error("internal Postgres: {}", discreet(.0))]
    Query(#[from] tokio_postgres::Error),
}

/// As [`describe`], for logs: where a row's value is to blame (SQLSTATE 22… and 23…), the server would repeat it, so only
/// SQLSTATE and names are told. What a function of ours says with RAISE is our own sentence.
#[must_use]
pub fn discreet(error: &tokio_postgres::Error) -> String {
    let Some(said) = error.as_db_error() else { return describe(error) };
    let code = said.code().code();
    if said.routine() == Some("exec_stmt_raise") || !(code.starts_with("22") || code.starts_with("23")) {
        return describe(error);
    }
    let mut text = format!("{}: a value was refused (SQLSTATE {code})", said.severity());
    for (what, name) in
        [("table", said.table()), ("column", said.column()), ("constraint", said.constraint())]
    {
        if let Some(name) = name {
            text = format!("{text}, {what} {name:?}");
        }
    }
    text
}

/// The server's own words, which the crate's `Display` hides behind "db error"; else the reason with its cause. A pooler
/// that takes no settings at the start is told apart.
#[must_use]
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let said = said.to_string();
        if said.contains("unsupported startup parameter") {
            return format!(
                "{said}; database.url leads through a pooler, which cannot serve workers: give them the server's own address"
            );
        }
        return said;
    }
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error).map(ToString::to_string)
        && !text.contains(&cause)
    {
        text = format!("{text}: {cause}");
    }
    text
}

/// Why there is no session.
fn unreachable(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error) => describe(error),
        other => other.to_string(),
    }
}

/// Handle to the internal Postgres. Cheap to clone; connects when first used.
#[derive(Debug, Clone)]
pub struct Internal {
    pool: Pool,
    schema: Arc<str>,
    config: tokio_postgres::Config,
}

impl Internal {
    /// Prepares the pool. `program` is what `pg_stat_activity` shows as the application name.
    ///
    /// # Errors
    /// A connection string or schema name that cannot be used. Nothing is connected yet.
    pub fn new(database: &Database, program: &str) -> Result<Self, DbError> {
        let config = session_config(database, program)?;
        let manager = Manager::from_config(
            config.clone(),
            tls_connector()?,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(database.pool_size)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(database.connect_timeout),
                create: Some(database.connect_timeout),
                recycle: Some(database.connect_timeout),
            })
            .build()?;
        Ok(Self { pool, schema: database.schema.as_str().into(), config })
    }

    /// A session from the pool. Dropping it gives it back.
    ///
    /// # Errors
    /// No session within `database.connect_timeout`.
    pub async fn get(&self) -> Result<Object, DbError> {
        Ok(self.pool.get().await?)
    }

    /// A session of its own, outside the pool, and the task that drives it (for LISTEN).
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn dedicated(
        &self,
    ) -> Result<
        (
            tokio_postgres::Client,
            tokio_postgres::Connection<
                tokio_postgres::Socket,
                <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>>::Stream,
            >,
        ),
        DbError,
    > {
        Ok(self.config.connect(tls_connector()?).await?)
    }

    /// Like [`Internal::dedicated`], in another database of the same server.
    ///
    /// # Errors
    /// As there.
    pub async fn dedicated_in(
        &self,
        database: &str,
    ) -> Result<
        (
            tokio_postgres::Client,
            tokio_postgres::Connection<
                tokio_postgres::Socket,
                <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>>::Stream,
            >,
        ),
        DbError,
    > {
        Ok(self.config.clone().dbname(database).connect(tls_connector()?).await?)
    }

    /// The schema that holds everything of ours.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }
}

/// Runs a statement that each session keeps: it is parsed and planned once, which for a look at many short ranges of indexes takes
/// as long as the look, and one answer is waited for instead of two. Bounds belong into its text: what a `limit $1` will be
/// is unknown to a plan that is kept.
///
/// # Errors
/// Postgres does.
pub async fn kept<C: GenericClient>(
    client: &C,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query(&statement, parameters).await
}

/// As [`kept`], for a statement that gives exactly one row.
///
/// # Errors
/// Postgres does, or there is not exactly one.
pub async fn kept_one<C: GenericClient>(
    client: &C,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Row, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    client.query_one(&statement, parameters).await
}

fn session_config(database: &Database, program: &str) -> Result<tokio_postgres::Config, DbError> {
    let schema = &database.schema;
    if schema.is_empty() || schema.len() > 63 || schema.contains('\0') {
        return Err(DbError::Schema);
    }
    let mut config: tokio_postgres::Config =
        database.url().expose_secret().parse().map_err(|_| DbError::Url)?;
    let given = config.get_options().map(|o| format!("{o} ")).unwrap_or_default();
    let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
    config
        .options(format!(
            "{given}-c search_path={} -c statement_timeout={}",
            escape_option(&quoted),
            database.statement_timeout.as_millis()
        ))
        .application_name(format!("tenant-sync {program}"))
        .connect_timeout(database.connect_timeout);
    notice_silence(&mut config);
    Ok(config)
}

/// Bounds for a connection that is dead without a word, where the connection string sets none of its own.
fn notice_silence(config: &mut tokio_postgres::Config) {
    if config.get_keepalives_idle() == LIBRARY_KEEPALIVE_IDLE {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
    }
}

/// The startup packet splits `options` at blanks unless they are escaped.
fn escape_option(value: &str) -> String {
    value.replace('\\', "\\\\").replace(' ', "\\ ")
}

fn tls_connector() -> Result<MakeRustlsConnect, DbError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Idle time, interval, probes, time without an acknowledgement, as a session is opened with `parameters`.
    fn bounds(parameters: &str) -> (u64, u64, u32, u64) {
        let url = format!("postgres://me@127.0.0.1/db{parameters}");
        let given = ("TENANT_SYNC_DATABASE__URL".to_owned(), url);
        let config = crate::config::Config::from_sources(None, [given]).expect("a configuration");
        let config = session_config(&config.database, "test").expect("a session");
        assert!(config.get_keepalives());
        (
            config.get_keepalives_idle().as_secs(),
            config.get_keepalives_interval().expect("set").as_secs(),
            config.get_keepalives_retries().expect("set"),
            config.get_tcp_user_timeout().expect("set").as_secs(),
        )
    }

    #[test]
    fn a_connection_that_is_silently_gone_is_noticed_within_half_a_minute() {
        let (idle, interval, retries, unacknowledged) = bounds("");
        assert!(idle + interval * u64::from(retries) <= 30 && unacknowledged <= 30);
    }

    #[test]
    fn the_connection_string_may_set_bounds_of_its_own() {
        let own = "?keepalives_idle=60&keepalives_interval=7&keepalives_retries=9&tcp_user_timeout=40";
        assert_eq!(bounds(own), (60, 7, 9, 40));
        assert_eq!(bounds("?keepalives_interval=1"), (10, 1, 3, 25));
    }
}
