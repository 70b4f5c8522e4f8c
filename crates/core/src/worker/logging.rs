//! Log lines: text on a terminal, JSON elsewhere, to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// `log.filter` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("configuration key log.filter: {0}")]
pub struct BadFilter(#[from] tracing_subscriber::filter::ParseError);

/// Starts logging for this process. A second call changes nothing.
///
/// # Errors
/// A filter that cannot be read.
pub fn init(log: &Log) -> Result<(), BadFilter> {
    let filter = filter(&log.filter)?;
    let format = log.format.unwrap_or_else(|| default_format(std::io::stderr().is_terminal()));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only where a subscriber is there already: in tests, and where a program embeds the workers.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init().map_err(drop),
        // Without the module's name, which would hide the field that says which target is meant.
        LogFormat::Json => lines.with_target(false).json().flatten_event(true).try_init().map_err(drop),
    };
    Ok(())
}

fn default_format(terminal: bool) -> LogFormat {
    if terminal { LogFormat::Text } else { LogFormat::Json }
}

/// The AMQP client and the connection pool report at ERROR and WARN what we handle and report ourselves: they
/// are silent unless the operator's filter names them.
fn filter(directives: &str) -> Result<EnvFilter, BadFilter> {
    Ok(EnvFilter::builder().parse(format!("lapin=off,async_rs=off,deadpool=off,{directives}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_text_and_a_pipe_gets_json() {
        assert_eq!((default_format(true), default_format(false)), (LogFormat::Text, LogFormat::Json));
    }

    #[test]
    fn the_operator_may_hear_the_amqp_client() {
        assert!(filter("info").expect("good").to_string().contains("lapin=off"));
        assert!(filter("info,lapin=debug").expect("good").to_string().contains("lapin=debug"));
        assert!(filter("info,=,=").is_err());
    }
}
