//! Stops a session in the middle of a statement, at a place of the test's choice.

use std::time::Duration;

use tenant_sync_tests::wait::eventually;
use tokio_postgres::Client;

use super::source::{Source, run, value};

/// Closed while it exists: whoever calls `gate()` in this database waits.
pub(super) struct Gate {
    holder: Client,
}

impl Gate {
    pub(super) async fn close(source: &Source) -> Self {
        let holder = source.session().await;
        // The pass has a short lock_timeout, which is not what is tested here.
        run(
            &holder,
            "create or replace function gate() returns boolean language plpgsql stable set lock_timeout = 0 as
               $$ begin perform pg_advisory_xact_lock_shared(77); return true; end $$;
             create or replace function gate_trigger() returns trigger language plpgsql set lock_timeout = 0 as
               $$ begin perform gate(); return new; end $$;
             select pg_advisory_lock(77)",
        )
        .await;
        Self { holder }
    }

    /// Waits until somebody stands before it.
    pub(super) async fn reached(&self) {
        eventually(Duration::from_secs(20), "a session to stand at the gate", async || {
            let waiting =
                "select count(*) from pg_locks where locktype = 'advisory' and objid = 77 and not granted
                           and database = (select oid from pg_database where datname = current_database())";
            if value(&self.holder, waiting).await == "1" { Ok(()) } else { Err("nobody is there") }
        })
        .await;
    }

    pub(super) async fn open(self) {
        run(&self.holder, "select pg_advisory_unlock(77)").await;
    }
}
