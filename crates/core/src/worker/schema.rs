//! A worker works only on a schema that it knows.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::backoff::Reconnect;
use super::lifecycle::WorkerError;
use crate::config::Config;
use crate::db::{DbError, Internal};

/// How the wait for the schema ended.
pub(super) enum Schema {
    Usable,
    AskedToStop,
}

/// Checks the schema, again and again while the internal Postgres is unreachable. A schema that is wrong is
/// refused at once.
pub(super) async fn wait_until_usable(
    internal: &Internal,
    config: &Config,
    shutdown: &CancellationToken,
) -> Result<Schema, WorkerError> {
    let mut reconnect = Reconnect::default();
    loop {
        let began = Instant::now();
        let Some(checked) = shutdown.run_until_cancelled(check(internal, config)).await else {
            return Ok(Schema::AskedToStop);
        };
        let reason = match checked {
            Ok(()) => return Ok(Schema::Usable),
            Err(error) => error,
        };
        let wait = reconnect.after(began.elapsed());
        if reconnect.failures() == 1 {
            tracing::warn!(%reason, "the internal Postgres is not there yet, waiting for it");
        }
        let _: Option<()> =
            shutdown.run_until_cancelled(tokio::time::sleep(wait.max(Duration::from_millis(100)))).await;
    }
}

async fn check(internal: &Internal, _config: &Config) -> Result<(), DbError> {
    internal.get().await?.simple_query("select 1").await?;
    Ok(())
}
