//! Taking out of a target what is ours: the mappings' tables, our own, and the schema if we made it and nothing
//! else is in it. Only where `_sync_identity` says that the schema is this target's; whatever does not carry our
//! comment stays.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::class::{ErrorClass, TargetFault};
use super::dial::Session;
use super::grants::quoted;
use crate::mapping::ddl::MARKER;
use crate::outbox::TargetKey;

const TIMEOUT: Duration = Duration::from_secs(90);
/// More tables than any set of mappings has.
const TABLES_MAX: usize = 1000;

/// What was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawn {
    /// Tables and views that are gone, in the schema.
    pub dropped: Vec<String>,
    /// Whether the schema is gone, too.
    pub schema_dropped: bool,
}

/// Why nothing was taken out.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// The schema is another target's, tenancy's or deployment's.
    #[error(
        "the schema {schema} belongs to another target, tenancy or deployment; nothing was dropped there"
    )]
    NotOurs {
        /// The schema.
        schema: String,
    },
    /// Something of the customer's needs our tables.
    #[error(
        "something of the customer's depends on our tables in the schema {schema} (a view, a foreign key, a function); \
         nothing was dropped. It must go first, or remove the target without --drop"
    )]
    Needed {
        /// The schema.
        schema: String,
    },
    /// The target failed.
    #[error("{0} {advice}", advice = .0.class.advice())]
    Fault(TargetFault),
}

/// Drops what is ours in `schema`, in one transaction. Waits at most 30 s for each lock. Where nothing is ours it
/// does nothing.
///
/// # Errors
/// Nothing was dropped, and why.
pub async fn withdraw(
    session: &Session,
    schema: &str,
    deployment: &str,
    key: &TargetKey,
) -> Result<Withdrawn, WithdrawError> {
    let work = Withdrawal { client: session.client(), schema, deployment, key };
    let done = match timeout(TIMEOUT, work.run()).await {
        Ok(done) => done,
        Err(_) => {
            // Best effort: dropping the session rolls back, too.
            let _ = session.cancel().await;
            return Err(WithdrawError::Fault(TargetFault::new(ErrorClass::StatementTimeout)));
        }
    };
    match done {
        Ok(Some(withdrawn)) => Ok(withdrawn),
        Ok(None) => Err(WithdrawError::NotOurs { schema: schema.to_owned() }),
        Err(error) if code_of(&error) == "2BP01" => Err(WithdrawError::Needed { schema: schema.to_owned() }),
        Err(error) => Err(WithdrawError::Fault(session.fault(&error))),
    }
}

struct Withdrawal<'a> {
    client: &'a Client,
    schema: &'a str,
    deployment: &'a str,
    key: &'a TargetKey,
}

impl Withdrawal<'_> {
    /// `None` = it belongs to somebody else.
    async fn run(&self) -> Result<Option<Withdrawn>, Error> {
        self.client
            .batch_execute(
                "begin; set local lock_timeout = '30s'; set local statement_timeout = '60s';
                 set local idle_in_transaction_session_timeout = '60s'",
            )
            .await?;
        let ours = self.relations().await?;
        if !ours.iter().any(|(name, _)| name == "_sync_identity") {
            self.client.batch_execute("rollback").await?;
            return Ok(Some(Withdrawn { dropped: Vec::new(), schema_dropped: false }));
        }
        if !self.is_ours().await? {
            self.client.batch_execute("rollback").await?;
            return Ok(None);
        }
        let tables = self.mapping_tables().await?;
        let wanted = |name: &String| is_engine_name(name) || tables.contains(name);
        let (views, rest): (Vec<_>, Vec<_>) =
            ours.into_iter().filter(|(name, _)| wanted(name)).partition(|(_, kind)| kind == "v");
        self.drop_all("view", &views).await?;
        self.drop_all("table", &rest).await?;
        let schema_dropped = self.drop_schema().await?;
        self.client.batch_execute("commit").await?;
        let dropped = rest.into_iter().chain(views).map(|(name, _)| name).collect();
        Ok(Some(Withdrawn { dropped, schema_dropped }))
    }

    /// Relations of the schema that carry our comment, with their kind.
    async fn relations(&self) -> Result<Vec<(String, String)>, Error> {
        let rows = self
            .client
            .query_typed(
                "select c.relname::text, c.relkind::text from pg_catalog.pg_class c
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                 where n.nspname::text = $1 and c.relkind in ('r', 'p', 'v')
                   and pg_catalog.obj_description(c.oid, 'pg_class') like '%' || $2
                 order by 1 limit 2000",
                &[(&self.schema, Type::TEXT), (&MARKER, Type::TEXT)],
            )
            .await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Takes the lock that a turn takes, so that no worker is in the middle of one.
    async fn is_ours(&self) -> Result<bool, Error> {
        let sql = format!(
            "select deployment = $1 and tenancy_id::text = $2 and target_id = $3 from {}._sync_identity for update",
            quoted(self.schema)
        );
        let tenancy = self.key.tenancy_id.to_string();
        let rows = self
            .client
            .query_typed(
                &sql,
                &[
                    (&self.deployment, Type::TEXT),
                    (&tenancy, Type::TEXT),
                    (&self.key.database_id, Type::TEXT),
                ],
            )
            .await?;
        match rows.as_slice() {
            [row] => Ok(row.try_get::<_, Option<bool>>(0)?.unwrap_or(false)),
            // Without its row it is nobody's.
            _ => Ok(false),
        }
    }

    async fn mapping_tables(&self) -> Result<Vec<String>, Error> {
        let sql = format!("select table_name from {}._sync_metadata limit {TABLES_MAX}", quoted(self.schema));
        self.client.query_typed(&sql, &[]).await?.iter().map(|row| row.try_get(0)).collect()
    }

    async fn drop_all(&self, kind: &str, relations: &[(String, String)]) -> Result<(), Error> {
        if relations.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            relations.iter().map(|(name, _)| format!("{}.{}", quoted(self.schema), quoted(name))).collect();
        // In one statement, so that references between our tables are no obstacle. Never CASCADE.
        self.client.batch_execute(&format!("drop {kind} {}", names.join(", "))).await
    }

    /// Drops the schema if we made it and it is empty.
    async fn drop_schema(&self) -> Result<bool, Error> {
        let row = self
            .client
            .query_typed_one(
                "select coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace') like '%' || $2, false)
                        and pg_catalog.pg_has_role(n.nspowner, 'USAGE')
                 from pg_catalog.pg_namespace n where n.nspname::text = $1",
                &[(&self.schema, Type::TEXT), (&MARKER, Type::TEXT)],
            )
            .await?;
        if !row.try_get::<_, bool>(0)? {
            return Ok(false);
        }
        self.client.batch_execute("savepoint tenant_sync_schema").await?;
        match self.client.batch_execute(&format!("drop schema {}", quoted(self.schema))).await {
            Ok(()) => Ok(true),
            Err(error) if code_of(&error) == "2BP01" => {
                self.client.batch_execute("rollback to savepoint tenant_sync_schema").await?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn is_engine_name(name: &str) -> bool {
    name.starts_with("_sync_") || name == "sync_freshness"
}

fn code_of(error: &Error) -> &str {
    error.code().map_or("", tokio_postgres::error::SqlState::code)
}
