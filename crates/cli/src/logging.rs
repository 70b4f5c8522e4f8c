//! Log lines go to stderr: stdout is the result.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Logs what passes `filter`, for people.
pub(crate) fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).context("configuration key log.filter")?;
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .finish();
    // A second call (several commands in one process, as tests do) keeps the first logger.
    let _ = tracing::subscriber::set_global_default(logger);
    Ok(())
}
