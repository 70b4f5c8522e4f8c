//! `tenant-sync target …`: the tenants' external databases.

mod add;
mod check;
mod desk;
mod drop;
mod list;
mod options;
mod report;
mod sql;
mod state;
mod update;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use desk::Desk;
pub(crate) use options::read_input;
pub(crate) use report::explain;

use crate::context::Context;
use crate::tenancies::Named;

/// `target`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a target, after checking it, and begin to fill it
    Add(add::Args),
    /// Show all targets, or some
    List(list::ListArgs),
    /// Show one target with its settings, state and progress
    Show(One),
    /// Check a target again; changes nothing
    Check(One),
    /// Change a target's settings; closes its breaker, keeps its watermark
    Update(update::Args),
    /// Send nothing to a target until it is resumed
    Pause(One),
    /// End a pause, or try a failing target at once
    Resume(One),
    /// Forget a target; the customer's tables stay unless --drop is given
    Remove(drop::Args),
    /// Print the smallest role and grants, for the customer to paste
    Sql(sql::Args),
}

/// One target by tenancy and id.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    #[command(flatten)]
    tenancy: Named,
    /// The target's id within the tenancy
    #[arg(long, value_name = "ID")]
    id: String,
}

/// Runs one of the commands.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    if let Command::Sql(args) = &args.command {
        return sql::run(context, args);
    }
    let config = context.config()?;
    context.block_on(&config, async {
        match &args.command {
            Command::Add(args) => add::run(context, &config, args).await,
            Command::List(args) => list::run(context, &config, args).await,
            Command::Show(one) => list::show(context, &config, one).await,
            Command::Check(one) => check::run(context, &config, one).await,
            Command::Update(args) => update::run(context, &config, args).await,
            Command::Pause(one) => state::pause(context, &config, one).await,
            Command::Resume(one) => state::resume(context, &config, one).await,
            Command::Remove(args) => drop::run(context, &config, args).await,
            Command::Sql(_) => Ok(ExitCode::SUCCESS),
        }
    })
}
