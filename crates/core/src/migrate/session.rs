//! The one session that a migrator works in. It holds the lock and runs the statements, so that losing it
//! loses both at once.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::{MigrateError, ends_session};
use super::{Limits, Observer};
use crate::db::Internal;

/// Advisory locks with two numbers: the first is ours ("tsmi"), the second says which schema.
const LOCK_CLASS: i32 = 0x7473_6d69;

/// Settings that hold for the whole session, whatever the role or the database say. A migrator that is
/// frozen inside a transaction is thrown out, so that it does not stop the application for good.
const SETTINGS: &str = "set statement_timeout = 0; set lock_timeout = 0; \
    set idle_in_transaction_session_timeout = '30s'; set standard_conforming_strings = on; \
    set check_function_bodies = on; set client_min_messages = warning";

/// A session outside the pool, in the configured schema.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) schema: String,
}

/// Oldest major version that can be the internal database: `CREATE OR REPLACE TRIGGER` came with it.
const OLDEST: u32 = 14;

/// `version` is what the server says of itself, such as `13.23 (Debian 13.23-1)`. Another product's is not judged.
fn refuse_old(version: &str) -> Result<(), MigrateError> {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(major) if major < OLDEST => Err(MigrateError::OldServer { major, oldest: OLDEST }),
        _ => Ok(()),
    }
}

impl Session {
    pub(super) async fn open(internal: &Internal) -> Result<Self, MigrateError> {
        let (client, connection) = internal.dedicated().await?;
        refuse_old(connection.parameter("server_version").unwrap_or_default())?;
        // Ends when the client is dropped. What it fails with, the next statement reports.
        tokio::spawn(connection);
        Ok(Self { client, schema: internal.schema().to_owned() })
    }

    /// Settles the session after opening it, and again after statements that may have changed settings.
    pub(super) async fn settle(&self) -> Result<(), tokio_postgres::Error> {
        self.client
            .batch_execute(&format!("reset all; {SETTINGS}; set search_path = {}", search_path(&self.schema)))
            .await
    }

    /// Waits for the lock by asking again and again. A session that *blocks* on an advisory lock holds a
    /// snapshot, and CREATE INDEX CONCURRENTLY of the migrator ahead would wait for that for ever.
    pub(super) async fn lock(
        &self,
        limits: &Limits,
        observer: &mut dyn Observer,
    ) -> Result<(), MigrateError> {
        let sql = "select pg_try_advisory_lock($1, $2)";
        let key = schema_key(&self.schema);
        let begun = Instant::now();
        let mut told = false;
        loop {
            let row = self.client.query_typed(sql, &[(&LOCK_CLASS, Type::INT4), (&key, Type::INT4)]).await?;
            if row.first().is_some_and(|row| row.get(0)) {
                return Ok(());
            }
            let waited = begun.elapsed();
            if waited >= limits.wait {
                return Err(MigrateError::Locked { waited: limits.wait, holder: self.holder().await? });
            }
            if !told {
                let holder = self.holder().await?;
                tracing::info!(%holder, "another migrator is at work, waiting for it");
                observer.waiting(&holder);
                told = true;
            }
            tokio::time::sleep(jittered(limits.poll).min(limits.wait - waited)).await;
        }
    }

    /// Fails unless this very session holds the lock: behind a transaction pooler it would belong to
    /// whoever gets the server session next.
    pub(super) async fn assert_locked(&self, during: &str) -> Result<(), MigrateError> {
        let sql = format!("select from pg_locks where pid = pg_backend_pid() and {}", our_lock(&self.schema));
        let held = self.client.query_typed(&sql, &[]).await.map_err(|e| lost_or(e, during))?;
        if held.is_empty() {
            return Err(MigrateError::SessionLost { during: during.to_owned() });
        }
        Ok(())
    }

    async fn holder(&self) -> Result<String, MigrateError> {
        let sql = format!(
            "select format('process %s (%s) connected since %s', l.pid, a.application_name, \
                    to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')) \
             from pg_locks l left join pg_stat_activity a using (pid) where {}",
            our_lock(&self.schema)
        );
        let rows = self.client.query_typed(&sql, &[]).await?;
        Ok(rows.first().map_or_else(|| "one that has just finished".into(), |row| row.get(0)))
    }
}

/// `pg_locks` shows the two numbers as OIDs, which have no sign.
fn our_lock(schema: &str) -> String {
    let (class, key) = (LOCK_CLASS.cast_unsigned(), schema_key(schema).cast_unsigned());
    format!(
        "locktype = 'advisory' and granted and objsubid = 2 and classid = {class} and objid = {key} \
         and database = (select oid from pg_database where datname = current_database())"
    )
}

/// Which of the schemas of a database is meant.
fn schema_key(schema: &str) -> i32 {
    let digest = Sha256::digest(schema);
    digest.iter().take(4).fold(0, |key, byte| (key << 8) | i32::from(*byte))
}

/// Between half of `duration` and all of it.
pub(super) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.5..=1.0))
}

/// An identifier as it stands in a statement.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Our schema, and temporary tables last, so that a function that keeps this path cannot be misled by one.
pub(super) fn search_path(schema: &str) -> String {
    format!("{}, pg_temp", quote(schema))
}

/// The session's end is told as such, whatever it looked like.
pub(super) fn lost_or(error: tokio_postgres::Error, during: &str) -> MigrateError {
    if ends_session(&error) { MigrateError::SessionLost { during: during.to_owned() } } else { error.into() }
}
