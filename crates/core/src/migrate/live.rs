//! Statements on tables that an application is using: a lock is waited for only a moment, then everything
//! is let go and tried again, so that nobody queues behind us for longer.

use std::time::{Duration, Instant};

use tokio_postgres::error::ErrorPosition;
use tokio_postgres::{Client, IsolationLevel, SimpleQueryMessage, Transaction};

use super::Limits;
use super::error::{MigrateError, ends_session, is_lock_conflict, reason};
use super::session::{Session, jittered, search_path};
use super::statement::{Statement, line_of};

/// A statement that failed, and the line of the file on which it did.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) line: usize,
    pub(super) error: tokio_postgres::Error,
}

impl Failed {
    /// For use with `map_err`.
    pub(super) fn at(line: usize) -> impl Fn(tokio_postgres::Error) -> Self {
        move |error| Self { line, error }
    }

    fn of(self, name: &str, attempts: u32, partly: bool) -> MigrateError {
        let (name, line, reason) = (name.to_owned(), self.line, reason(&self.error));
        if ends_session(&self.error) {
            MigrateError::SessionLost { during: format!("{name} line {line}") }
        } else if is_lock_conflict(&self.error) {
            MigrateError::Busy { name, line, attempts, reason }
        } else {
            MigrateError::Statement { name, line, reason, partly }
        }
    }
}

/// Attempts at something that may end at a lock.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    limits: &'a Limits,
    made: u32,
    pause: Duration,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { limits, made: 0, pause: limits.backoff_min }
    }

    /// After an attempt that failed: waits before the next one, or says why there is none.
    /// `partly` = earlier statements of `name` stay done.
    pub(super) async fn after(
        &mut self,
        failed: Failed,
        name: &str,
        partly: bool,
    ) -> Result<(), MigrateError> {
        self.made += 1;
        if self.made >= self.limits.attempts || !is_lock_conflict(&failed.error) {
            return Err(failed.of(name, self.made, partly));
        }
        tracing::debug!(attempt = self.made, reason = reason(&failed.error), "no lock, trying again");
        tokio::time::sleep(jittered(self.pause)).await;
        self.pause = (self.pause * 2).min(self.limits.backoff_max);
        Ok(())
    }
}

/// A transaction in our schema, in which all statements together wait about `lock_timeout` for locks: the
/// first lock is held while the second is waited for.
pub(super) struct LiveTransaction<'a> {
    transaction: Transaction<'a>,
    begun: Instant,
    lock_timeout: Duration,
}

impl<'a> LiveTransaction<'a> {
    pub(super) async fn begin(
        client: &'a mut Client,
        schema: &str,
        limits: &Limits,
    ) -> Result<Self, tokio_postgres::Error> {
        let transaction =
            client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await?;
        transaction.batch_execute(&format!("set local search_path = {}", search_path(schema))).await?;
        Ok(Self { transaction, begun: Instant::now(), lock_timeout: limits.lock_timeout })
    }

    /// Runs one statement and returns the rows that it touched.
    pub(super) async fn run(&self, statement: &Statement) -> Result<u64, Failed> {
        self.bound_lock_wait().await.map_err(Failed::at(statement.line))?;
        let messages =
            self.transaction.simple_query(&statement.text).await.map_err(|e| located(e, statement))?;
        Ok(rows_of(&messages))
    }

    /// What is left of the time for locks, and at least a tenth of it: a statement that finds its lock
    /// free must not fail because those before it took long.
    pub(super) async fn bound_lock_wait(&self) -> Result<(), tokio_postgres::Error> {
        let left = self.lock_timeout.saturating_sub(self.begun.elapsed()).max(self.lock_timeout / 10);
        let sql = format!("set local lock_timeout = '{}ms'", left.as_millis().max(1));
        self.transaction.batch_execute(&sql).await
    }

    pub(super) fn inner(&self) -> &Transaction<'a> {
        &self.transaction
    }

    pub(super) fn inner_mut(&mut self) -> &mut Transaction<'a> {
        &mut self.transaction
    }

    pub(super) async fn commit(self) -> Result<(), tokio_postgres::Error> {
        self.transaction.commit().await
    }
}

/// Runs a statement outside a transaction. One that works concurrently waits as long as it takes: it waits
/// for the application's transactions, and none of them for it.
pub(super) async fn run_alone(
    session: &Session,
    statement: &Statement,
    limits: &Limits,
) -> Result<(), Failed> {
    let wait = if statement.must_run_alone() { Duration::ZERO } else { limits.lock_timeout };
    let bound = format!("set lock_timeout = '{}ms'", wait.as_millis());
    session.client.batch_execute(&bound).await.map_err(Failed::at(statement.line))?;
    session.client.simple_query(&statement.text).await.map(drop).map_err(|e| located(e, statement))
}

/// The server says at which character it stumbled; the operator wants the line of the file.
fn located(error: tokio_postgres::Error, statement: &Statement) -> Failed {
    let position = error.as_db_error().and_then(|e| match e.position() {
        Some(ErrorPosition::Original(position)) => usize::try_from(*position).ok(),
        _ => None,
    });
    let before: String = statement.text.chars().take(position.unwrap_or(1).saturating_sub(1)).collect();
    Failed { line: statement.line + line_of(&before, before.len()) - 1, error }
}

fn rows_of(messages: &[SimpleQueryMessage]) -> u64 {
    let counts =
        messages.iter().map(|m| if let SimpleQueryMessage::CommandComplete(rows) = m { *rows } else { 0 });
    counts.sum()
}
