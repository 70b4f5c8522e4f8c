//! The session in which a table is tracked or untracked, and a second one that sees for whom it waits.

use std::future::Future;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::{Limits, Observer, TrackingError};
use crate::db::{DbError, Internal};

/// Advisory locks with two numbers: the first is ours ("tstt"), the second the table's.
const LOCK_CLASS: i32 = 0x7473_7474;

/// How often it is looked who is in the way.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Both sessions, and the patience.
pub(crate) struct Session<'a> {
    pub(crate) client: Client,
    watcher: Client,
    pid: i32,
    limits: Limits,
    observer: &'a mut dyn Observer,
}

impl<'a> Session<'a> {
    pub(crate) async fn open(
        internal: &Internal,
        limits: Limits,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, TrackingError> {
        let (client, watcher) = (connect(internal).await?, connect(internal).await?);
        client.batch_execute("set statement_timeout = 0; set lock_timeout = 0").await?;
        let pid = client.query_one("select pg_backend_pid()", &[]).await?.get(0);
        Ok(Self { client, watcher, pid, limits, observer })
    }

    /// Keeps others of our kind from the table until the session ends.
    pub(crate) async fn lock(&self, relation: u32, name: &str) -> Result<(), TrackingError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&LOCK_CLASS, Type::INT4), (&relation.cast_signed(), Type::INT4)];
        let rows = self.client.query_typed("select pg_try_advisory_lock($1, $2)", &parameters).await?;
        if rows.first().is_some_and(|row| row.get(0)) {
            Ok(())
        } else {
            Err(TrackingError::AtWork(name.to_owned()))
        }
    }

    /// Runs a statement that needs locks on `table` in a transaction of its own, again and again until it gets
    /// them. In between, whoever waits for the table goes first.
    pub(crate) async fn with_locks(&mut self, table: &str, statement: &str) -> Result<(), TrackingError> {
        let sql = format!(
            "begin; set local lock_timeout = '{}ms'; set local statement_timeout = '{}ms'; {statement}; commit",
            self.limits.lock_timeout.as_millis(),
            self.limits.attempt_timeout.as_millis()
        );
        let mut pause = self.limits.backoff_min;
        let mut by = None;
        for attempt in 1..=self.limits.attempts {
            let (result, seen) =
                watched(&self.watcher, self.pid, self.observer, table, self.client.batch_execute(&sql)).await;
            by = seen.or(by);
            let Err(error) = result else { return Ok(()) };
            self.client.batch_execute("rollback").await?;
            if !is_busy(&error) {
                return Err(refusal(error));
            }
            if attempt < self.limits.attempts {
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
                pause = (pause * 2).min(self.limits.backoff_max);
            }
        }
        Err(TrackingError::Busy {
            table: table.to_owned(),
            attempts: self.limits.attempts,
            by: by.unwrap_or_else(|| "they are gone now".to_owned()),
        })
    }

    /// Runs a statement that works concurrently: it waits for the application's transactions as long as it takes,
    /// and none of them for it.
    pub(super) async fn concurrently(&mut self, table: &str, statement: &str) -> Result<(), TrackingError> {
        let work = self.client.batch_execute(statement);
        let (result, _) = watched(&self.watcher, self.pid, self.observer, table, work).await;
        result.map_err(refusal)
    }
}

async fn connect(internal: &Internal) -> Result<Client, DbError> {
    let (client, connection) = internal.dedicated().await?;
    // Ends when the client is dropped. What it fails with, the next statement reports.
    tokio::spawn(connection);
    Ok(client)
}

/// The result of `work`, and who was in its way.
async fn watched<T>(
    watcher: &Client,
    pid: i32,
    observer: &mut dyn Observer,
    table: &str,
    work: impl Future<Output = T>,
) -> (T, Option<String>) {
    let mut work = std::pin::pin!(work);
    let mut seen: Option<String> = None;
    loop {
        tokio::select! {
            result = &mut work => return (result, seen),
            () = tokio::time::sleep(LOOK_EVERY) => {
                let by = blockers(watcher, pid).await;
                if by.is_some() && by != seen {
                    observer.waiting(&format!("{table}: waiting for {}", by.as_deref().unwrap_or_default()));
                    seen = by;
                }
            }
        }
    }
}

/// Who is in the way; `None` also if it cannot be told.
async fn blockers(watcher: &Client, pid: i32) -> Option<String> {
    let sql = "select string_agg(format('process %s%s%s', b.pid, \
                      coalesce(' (' || nullif(a.application_name, '') || ')', ''), \
                      coalesce(', transaction since ' || to_char(a.xact_start at time zone 'UTC', 'HH24:MI:SS') || 'Z', '')), \
                      '; ' order by b.pid) \
               from unnest(pg_blocking_pids($1)) b (pid) left join pg_stat_activity a on a.pid = b.pid";
    watcher.query_typed(sql, &[(&pid, Type::INT4)]).await.ok()?.first()?.get(0)
}

fn is_busy(error: &tokio_postgres::Error) -> bool {
    let busy = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| busy.contains(code))
}

/// Our functions say in their own words what to do.
fn refusal(error: tokio_postgres::Error) -> TrackingError {
    let ours = [
        SqlState::WRONG_OBJECT_TYPE,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::OBJECT_IN_USE,
        SqlState::INVALID_PARAMETER_VALUE,
        SqlState::PROGRAM_LIMIT_EXCEEDED,
    ];
    match error.as_db_error() {
        Some(db) if ours.contains(db.code()) => TrackingError::Refused(db.message().to_owned()),
        _ => TrackingError::Query(error),
    }
}
