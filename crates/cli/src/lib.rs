//! The operator's command line. One module a group of commands; what they share is how they are called
//! (`context`), how they print (`output`) and how they ask (`prompt`).

mod config;
mod context;
mod db;
mod demo;
mod dev;
mod fusebox;
mod keys;
mod mappings;
mod output;
mod prompt;
mod requests;
mod sync;
mod tables;
mod targets;
mod tenancies;
mod triggers;
mod uninstall;
mod workers;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::{Context, Usage};
use tenant_sync_core::config::ConfigError;

/// Each tenant's rows, live, in the tenant's own database.
#[derive(Debug, Parser)]
#[command(name = "tenant-sync", version = tenant_sync_core::VERSION, arg_required_else_help = true, subcommand_required = true)]
struct Cli {
    /// Configuration file; without it, tenant-sync.toml if there is one
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Log what is done, to stderr
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The internal database: create, migrate, look, fill with sample data, take back
    Db(db::Args),
    /// Who the tenants are
    Tenancy(tenancies::Args),
    /// The tenants' external databases
    Target(targets::Args),
    /// What is in effect, and a tenancy's targets as one document
    Config(config::Args),
    /// What of a source table goes where
    Mapping(mappings::Args),
    /// Tables of your own whose changes are recorded
    Table(tables::Args),
    /// How far targets are, and asking for more
    Sync(sync::Args),
    /// Whom a change is told by an HTTP request
    Trigger(triggers::Args),
    /// HTTP requests that wait, were given up, or arrived
    Request(requests::Args),
    /// Switches that workers honour within a second
    Fusebox(fusebox::Args),
    /// Keys that encrypt connection strings and signing secrets
    Keys(keys::Args),
    /// Run all workers in this process, against the services of the configuration
    Dev,
    /// Sample tenants, syncing before your eyes (`make demo` starts the servers)
    Demo,
    /// Untrack every table of yours and drop everything of ours
    Uninstall(db::Consent),
}

/// Runs the program with these arguments: 0 done, 1 failed or found a difference, 2 wrong usage.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap knows which stream they belong to. An error repeats what
            // was typed, which may be a connection string.
            if error.use_stderr() {
                output::remark(output::without_passwords(&error.to_string()).trim_end());
            } else {
                let _ = error.print();
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error);
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let context = Context::new(cli.config, cli.json, cli.verbose);
    match cli.command {
        Command::Db(args) => db::run(&context, args),
        Command::Tenancy(args) => tenancies::run(&context, args),
        Command::Target(args) => targets::run(&context, args),
        Command::Config(args) => config::run(&context, args),
        Command::Mapping(args) => mappings::run(&context, args),
        Command::Table(args) => tables::run(&context, args),
        Command::Sync(args) => sync::run(&context, args),
        Command::Trigger(args) => triggers::run(&context, args),
        Command::Request(args) => requests::run(&context, args),
        Command::Fusebox(args) => fusebox::run(&context, args),
        Command::Keys(args) => keys::run(&context, args),
        Command::Dev => dev::run(&context),
        Command::Demo => demo::run(&context),
        Command::Uninstall(consent) => uninstall::run(&context, &consent),
    }
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<Usage>() || error.is::<ConfigError>()
}
