//! All SQL of `"SchemaMigration"`: what was applied, and how far one got that is not finished.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient};

use super::error::MigrateError;
use super::file::Migration;
use super::session::quote;

/// The table that the runner makes for itself.
pub(super) const TABLE: &str = "SchemaMigration";

const COLUMNS: [&str; 6] = ["migrationName", "checksum", "breaking", "startedAt", "finishedAt", "progress"];

/// A row.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) checksum: String,
    pub(super) breaking: bool,
    /// `None` while it runs, and after a failure outside a transaction.
    pub(super) finished_at: Option<OffsetDateTime>,
    pub(super) progress: Progress,
}

/// How far a migration got whose statements run outside a transaction, or in batches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    /// Fingerprints of the statements that are done.
    pub(super) done: Vec<String>,
    /// The statement that was begun last, outside a transaction.
    pub(super) begun: Option<String>,
    /// Batches that touched a row.
    pub(super) batches: u64,
    /// Rows that batches touched.
    pub(super) rows: u64,
}

/// Everything recorded, in one query; nothing if the table or its schema does not exist.
///
/// # Errors
/// The query fails, or a table of this name is not ours.
pub(super) async fn read(client: &Client, schema: &str) -> Result<Vec<Record>, MigrateError> {
    let sql = format!(
        r#"select "migrationName", checksum, breaking, "finishedAt", progress::text
           from {}."{TABLE}" order by "startedAt", "migrationName""#,
        quote(schema)
    );
    let rows = match client.query_typed(&sql, &[]).await {
        Ok(rows) => rows,
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(Vec::new()),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_COLUMN) => return Err(foreign(schema)),
        Err(error) => return Err(error.into()),
    };
    rows.into_iter()
        .map(|row| {
            let progress: String = row.try_get(4)?;
            Ok(Record {
                name: row.try_get(0)?,
                checksum: row.try_get(1)?,
                breaking: row.try_get(2)?,
                finished_at: row.try_get(3)?,
                progress: serde_json::from_str(&progress).unwrap_or_default(),
            })
        })
        .collect()
}

/// Whether the table exists.
///
/// # Errors
/// The query fails, or a table of this name has other columns than ours.
pub(super) async fn exists(client: &impl GenericClient, schema: &str) -> Result<bool, MigrateError> {
    let columns = client
        .query_typed(
            "select attname::text from pg_attribute a join pg_class c on c.oid = attrelid \
             join pg_namespace n on n.oid = relnamespace \
             where nspname = $1 and relname = $2 and attnum > 0 and not attisdropped",
            &[(&schema, Type::TEXT), (&TABLE, Type::TEXT)],
        )
        .await?;
    let ours =
        columns.len() == COLUMNS.len() && columns.iter().all(|row| COLUMNS.contains(&row.get::<_, &str>(0)));
    if ours || columns.is_empty() { Ok(ours) } else { Err(foreign(schema)) }
}

/// Makes the table, with its schema if that is missing; refuses one that is not ours.
///
/// # Errors
/// As [`exists`].
pub(super) async fn ensure_table(client: &mut Client, schema: &str) -> Result<(), MigrateError> {
    if exists(client, schema).await? {
        return Ok(());
    }
    let made = client
        .query_typed("select from pg_namespace where nspname = $1", &[(&schema, Type::TEXT)])
        .await?
        .is_empty();
    let quoted = quote(schema);
    let mut sql = String::new();
    if made {
        sql = format!("create schema {quoted}; comment on schema {quoted} is '{SCHEMA_COMMENT}';");
    }
    sql += &format!(
        r#"create table {quoted}."{TABLE}" (
            "migrationName" text primary key,
            checksum text not null,
            breaking boolean not null default false,
            "startedAt" timestamptz not null default clock_timestamp(),
            "finishedAt" timestamptz,
            progress jsonb not null default '{{}}'
        );
        comment on table {quoted}."{TABLE}" is 'tenant-sync: the migrations of this schema';
        comment on column {quoted}."{TABLE}".checksum is 'SHA-256 of the file';
        comment on column {quoted}."{TABLE}".breaking is 'an older version must not run on this schema';
        comment on column {quoted}."{TABLE}"."finishedAt" is 'null while it runs and after it failed half-way';
        comment on column {quoted}."{TABLE}".progress is 'how far one got that runs outside a transaction';"#
    );
    let transaction = client.transaction().await?;
    transaction.batch_execute(&sql).await?;
    Ok(transaction.commit().await?)
}

/// Marks a schema that we made, so that a reset may drop it.
pub(super) const SCHEMA_COMMENT: &str = "tenant-sync: made by its migrations";

/// A migration begins; what it did in an earlier attempt stays recorded.
pub(super) async fn start(
    client: &impl GenericClient,
    schema: &str,
    migration: &Migration,
) -> Result<(), tokio_postgres::Error> {
    let sql = format!(
        r#"insert into {}."{TABLE}" ("migrationName", checksum, breaking) values ($1, $2, $3)
           on conflict ("migrationName") do update
           set checksum = excluded.checksum, breaking = excluded.breaking, "startedAt" = clock_timestamp()"#,
        quote(schema)
    );
    client
        .execute_typed(
            &sql,
            &[
                (&migration.name, Type::TEXT),
                (&migration.checksum, Type::TEXT),
                (&migration.breaking, Type::BOOL),
            ],
        )
        .await
        .map(drop)
}

/// How far it got.
pub(super) async fn save(
    client: &impl GenericClient,
    schema: &str,
    migration: &Migration,
    progress: &Progress,
) -> Result<(), tokio_postgres::Error> {
    let sql = format!(
        r#"update {}."{TABLE}" set progress = $2::text::jsonb where "migrationName" = $1"#,
        quote(schema)
    );
    let progress = serde_json::to_string(progress).unwrap_or_else(|_| "{}".into());
    client.execute_typed(&sql, &[(&migration.name, Type::TEXT), (&progress, Type::TEXT)]).await.map(drop)
}

/// It is done.
pub(super) async fn finish(
    client: &impl GenericClient,
    schema: &str,
    migration: &Migration,
) -> Result<(), tokio_postgres::Error> {
    let sql = format!(
        r#"update {}."{TABLE}" set "finishedAt" = clock_timestamp() where "migrationName" = $1"#,
        quote(schema)
    );
    client.execute_typed(&sql, &[(&migration.name, Type::TEXT)]).await.map(drop)
}

fn foreign(schema: &str) -> MigrateError {
    MigrateError::Foreign { schema: schema.to_owned(), names: vec![format!("relation \"{TABLE}\"")] }
}
