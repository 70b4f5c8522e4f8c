//! `tenant-sync config …`: what is in effect, and a tenancy's targets as one document.

mod set;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

use crate::context::Context;

/// `config`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the configuration in effect, without secrets, and where each value comes from
    Show,
    /// Make a tenancy's targets what a document says: all of it or nothing
    Set(set::Args),
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    match args.command {
        Command::Show => show::run(context),
        Command::Set(args) => context.block_on(&config, set::run(context, &config, &args)),
    }
}
