//! A worker works only on a schema that it knows.

use tokio_util::sync::CancellationToken;

use super::lifecycle::WorkerError;
use super::patience::{Setback, until_done};
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
    let waiting = "the internal Postgres is not there yet, waiting for it";
    let usable = until_done(waiting, || async {
        match migrate::ensure(config).await {
            Ok(outcome) => Ok(outcome),
            Err(error) if error.is_transient() => Err(Setback::NotYet(error.to_string())),
            Err(error) => Err(Setback::Never(error)),
        }
    });
    match shutdown.run_until_cancelled(usable).await {
        Some(usable) => {
            tell(&usable?);
            Ok(Schema::Usable)
        }
        None => Ok(Schema::AskedToStop),
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
