//! `tenant-sync sync …`: how far targets are, and asking for more.

mod ask;
mod status;

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

pub(crate) use status::MappingLine;

use crate::context::Context;

/// `sync`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show state, backlog and lag of each target
    Status(status::Args),
    /// Sync at once, also targets that wait after a failure
    Now(ask::NowArgs),
    /// Compare everything with the source again and mend it; readers never see an empty table
    Resync(ask::ResyncArgs),
}

/// A state of a target.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum StateName {
    Ok,
    Retrying,
    Broken,
    Paused,
    Refused,
}

impl StateName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Retrying => "retrying",
            Self::Broken => "broken",
            Self::Paused => "paused",
            Self::Refused => "refused",
        }
    }
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    context.block_on(&config, async {
        match args.command {
            Command::Status(args) => status::run(context, &config, &args).await,
            Command::Now(args) => ask::now(context, &config, &args).await,
            Command::Resync(args) => ask::resync(context, &config, &args).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_are_the_databases() {
        let names: Vec<&str> = StateName::value_variants().iter().map(|state| state.as_str()).collect();
        assert_eq!(names, tenant_sync_core::registry::targets::STATES);
    }
}
