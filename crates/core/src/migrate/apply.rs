//! How one migration is applied, in each of its modes.

use super::Limits;
use super::error::MigrateError;
use super::file::{Migration, Mode};
use super::index::{self, Found};
use super::live::{self, Attempts, Failed, LiveTransaction};
use super::record::{self, Progress};
use super::session::{Session, lost_or};
use super::statement::Statement;

/// Applies `migration`, which got as far as `progress` in an earlier attempt.
pub(super) async fn apply(
    session: &mut Session,
    migration: &Migration,
    progress: Progress,
    limits: &Limits,
) -> Result<(), MigrateError> {
    session.assert_locked(&migration.name).await?;
    session.settle().await.map_err(|e| lost_or(e, &migration.name))?;
    match migration.mode {
        Mode::Transaction => whole(session, migration, limits).await,
        Mode::Alone => one_by_one(session, migration, progress, limits).await,
        Mode::Repeated => in_batches(session, migration, progress, limits).await,
    }
}

/// All statements and the record in one transaction: it is there or it is not.
async fn whole(session: &mut Session, migration: &Migration, limits: &Limits) -> Result<(), MigrateError> {
    let mut attempts = Attempts::new(limits);
    while let Err(failed) = whole_once(session, migration, limits).await {
        attempts.after(failed, &migration.name, false).await?;
    }
    Ok(())
}

async fn whole_once(session: &mut Session, migration: &Migration, limits: &Limits) -> Result<(), Failed> {
    let Session { client, schema } = session;
    let at = Failed::at(migration.statements.first().map_or(1, |s| s.line));
    let transaction = LiveTransaction::begin(client, schema, limits).await.map_err(&at)?;
    record::start(transaction.inner(), schema, migration).await.map_err(&at)?;
    for statement in &migration.statements {
        transaction.run(statement).await?;
    }
    record::finish(transaction.inner(), schema, migration).await.map_err(&at)?;
    transaction.commit().await.map_err(&at)
}

/// Each statement by itself. What is done is recorded, so that the next attempt goes on behind it, also
/// when the statement that failed was corrected in the file.
async fn one_by_one(
    session: &Session,
    migration: &Migration,
    mut progress: Progress,
    limits: &Limits,
) -> Result<(), MigrateError> {
    let (client, schema, name) = (&session.client, &session.schema, &migration.name);
    record::start(client, schema, migration).await.map_err(|e| lost_or(e, name))?;
    for statement in &migration.statements {
        if progress.done.contains(&statement.fingerprint) {
            continue;
        }
        let begun_before = progress.begun.as_ref() == Some(&statement.fingerprint);
        progress.begun = Some(statement.fingerprint.clone());
        record::save(client, schema, migration, &progress).await.map_err(|e| lost_or(e, name))?;
        let mut attempts = Attempts::new(limits);
        while let Err(failed) = alone(session, statement, begun_before, limits).await {
            attempts.after(failed, name, true).await?;
        }
        progress.done.push(statement.fingerprint.clone());
        record::save(client, schema, migration, &progress).await.map_err(|e| lost_or(e, name))?;
    }
    record::finish(client, schema, migration).await.map_err(|e| lost_or(e, name))
}

/// One attempt at a statement outside a transaction. The server may have finished an index after its
/// migrator was killed: a valid one whose very statement was begun before is done.
async fn alone(
    session: &Session,
    statement: &Statement,
    begun_before: bool,
    limits: &Limits,
) -> Result<(), Failed> {
    if let Some(Some(name)) = statement.concurrent_index() {
        match index::find(session, name).await.map_err(Failed::at(statement.line))? {
            Found::Valid if begun_before => return Ok(()),
            Found::Invalid => index::drop_invalid(session, name, statement.line).await?,
            Found::Valid | Found::Nothing => {}
        }
    }
    live::run_alone(session, statement, limits).await
}

/// Each statement until it touches no row. A batch and the record of it are one transaction.
async fn in_batches(
    session: &mut Session,
    migration: &Migration,
    mut progress: Progress,
    limits: &Limits,
) -> Result<(), MigrateError> {
    let name = &migration.name;
    let lost = |e| lost_or(e, name);
    record::start(&session.client, &session.schema, migration).await.map_err(lost)?;
    for statement in &migration.statements {
        if progress.done.contains(&statement.fingerprint) {
            continue;
        }
        let mut attempts = Attempts::new(limits);
        loop {
            match batch(session, migration, statement, &progress, limits).await {
                Ok((after, 0)) => {
                    progress = after;
                    break;
                }
                Ok((after, rows)) => {
                    tracing::debug!(migration = %name, rows, rows_total = after.rows, "batch done");
                    progress = after;
                    attempts = Attempts::new(limits);
                }
                Err(failed) => attempts.after(failed, name, progress.batches > 0).await?,
            }
        }
    }
    record::finish(&session.client, &session.schema, migration).await.map_err(lost)
}

/// One batch. Returns what is recorded after it, and the rows that it touched.
async fn batch(
    session: &mut Session,
    migration: &Migration,
    statement: &Statement,
    before: &Progress,
    limits: &Limits,
) -> Result<(Progress, u64), Failed> {
    let Session { client, schema } = session;
    let at = Failed::at(statement.line);
    let transaction = LiveTransaction::begin(client, schema, limits).await.map_err(&at)?;
    let rows = transaction.run(statement).await?;
    let mut progress = before.clone();
    if rows == 0 {
        progress.done.push(statement.fingerprint.clone());
    } else {
        progress.batches += 1;
        progress.rows += rows;
    }
    record::save(transaction.inner(), schema, migration, &progress).await.map_err(&at)?;
    transaction.commit().await.map_err(&at)?;
    Ok((progress, rows))
}
