//! A worker works only on a schema that it knows.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::backoff::Reconnect;
use super::lifecycle::WorkerError;
use crate::config::Config;
use crate::migrate::{self, Outcome};

/// How the wait for the schema ended.
pub(super) enum Schema {
    Usable,
    AskedToStop,
}

/// Checks the schema (and applies what is missing, with `database.auto_migrate`), again and again while the
/// internal Postgres is unreachable. A schema that is wrong is refused at once.
pub(super) async fn wait_until_usable(
    config: &Config,
    shutdown: &CancellationToken,
) -> Result<Schema, WorkerError> {
    let mut reconnect = Reconnect::default();
    loop {
        let began = Instant::now();
        let Some(checked) = shutdown.run_until_cancelled(migrate::ensure(config)).await else {
            return Ok(Schema::AskedToStop);
        };
        let reason = match checked {
            Ok(outcome) => {
                tell(&outcome);
                return Ok(Schema::Usable);
            }
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(error.into()),
        };
        let wait = reconnect.after(began.elapsed());
        if reconnect.failures() == 1 {
            tracing::warn!(%reason, "the internal Postgres is not there yet, waiting for it");
        }
        shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

fn tell(outcome: &Outcome) {
    match outcome {
        Outcome::UpToDate { newer } if !newer.is_empty() => {
            tracing::info!(?newer, "the schema is newer than this program")
        }
        Outcome::Applied { names } => tracing::info!(?names, "migrations applied"),
        Outcome::UpToDate { .. } | Outcome::Stopped { .. } => {}
    }
}
