//! `tenant-sync db …`: the internal database.

mod migrate;
mod new;
mod reset;
mod seed;
mod status;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use reset::{Consent, agreed};
pub(crate) use seed::{Seeded, seed};

use crate::context::Context;

/// `db`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create the database and the schema if they are missing, then migrate
    Init,
    /// Apply what is missing
    Migrate(migrate::Args),
    /// Show what is applied and what is missing
    Status(status::Args),
    /// Write the next numbered migration file into the checkout
    New(new::Args),
    /// Fill the sample application with data
    Seed(seed::Args),
    /// Drop what migrations made, and nothing else
    Reset(Consent),
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    if let Command::New(args) = args.command {
        return new::run(context, &args);
    }
    let config = context.config()?;
    context.block_on(&config, async {
        match args.command {
            Command::Init => migrate::init(context, &config).await,
            Command::Migrate(args) => migrate::run(context, &config, &args).await,
            Command::Status(args) => status::run(context, &config, &args).await,
            Command::Seed(args) => seed::run(context, &config, &args).await,
            Command::Reset(consent) => reset::run(context, &config, consent).await,
            Command::New(_) => Ok(ExitCode::SUCCESS),
        }
    })
}
