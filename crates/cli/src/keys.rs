//! `tenant-sync keys …`: the keys that encrypt connection strings.

use std::process::ExitCode;

use clap::Subcommand;
use secrecy::ExposeSecret;
use serde::Serialize;
use tenant_sync_core::secrets::generate_key;

use crate::context::{Context, Usage};
use crate::output;

/// `keys`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new random key; nothing is stored
    New {
        /// The key's id: letters, digits, - or _
        #[arg(long, default_value = "k1")]
        id: String,
    },
}

#[derive(Debug, Serialize)]
struct Report {
    id: String,
    /// What is put into `secrets.keys`.
    entry: String,
}

const HOW: &str = "Put it first in secrets.keys (TENANT_SYNC_SECRETS__KEYS, or …__KEYS_FILE), in the same way for every \
     program, with commas between keys. The first key encrypts, all decrypt; keep old ones as long as connection strings \
     are encrypted with them. Without its keys no connection string can be read again.";

/// Prints a key. This is the one secret that a command prints: it is why it was called.
pub(crate) fn run(context: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let Command::New { id } = args.command;
    let entry = generate_key(&id).map_err(|error| Usage(format!("--id: {error}")))?;
    let report = Report { id, entry: entry.expose_secret().to_owned() };
    context.output.result(&report, |report| report.entry.clone())?;
    output::remark(HOW);
    Ok(ExitCode::SUCCESS)
}
