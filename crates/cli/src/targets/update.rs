//! `target update`.

use std::path::PathBuf;
use std::process::ExitCode;

use tenant_sync_core::config::Config;
use tenant_sync_core::registry::targets::{self, Target};
use tenant_sync_core::registry::{Settings, SettingsError};

use super::add::finish;
use super::desk::no_such_target;
use super::options::{Options, read_url};
use super::{Desk, One};
use crate::context::Context;

/// `target update`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    one: One,
    /// New connection string, or - to read it from standard input
    #[arg(long, value_name = "URL", allow_hyphen_values = true, conflicts_with = "url_file")]
    url: Option<String>,
    /// File with the new connection string, or -
    #[arg(long, value_name = "F")]
    url_file: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    /// Back to the schema of the configuration
    #[arg(long, conflicts_with = "schema")]
    default_schema: bool,
    /// All mappings go there
    #[arg(long, conflicts_with = "mappings")]
    all_mappings: bool,
    /// No other role may read
    #[arg(long, conflicts_with = "read_roles")]
    no_read_role: bool,
    /// No root certificate of its own
    #[arg(long, conflicts_with = "ca_file")]
    no_ca_file: bool,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let url = read_url(args.url.as_deref(), args.url_file.as_deref())?;
    let desk = Desk::open(context, config).await?;
    let target = desk.find(&args.one).await?;
    let url = match url {
        Some(url) => url,
        None => stored_url(&desk, &target)?,
    };
    let settings = changed(args, &target, url)?;
    let checked = desk.check(&target.key, &settings, !args.options.no_check).await?;
    if checked.is_good() {
        if !targets::update(&desk.internal.get().await?, &target.key, &checked.stored).await? {
            return Err(no_such_target(&target.key));
        }
        desk.ask_anew("target update", std::slice::from_ref(&target.key)).await?;
    }
    finish(context, &desk, &target.key, checked, "updated").await
}

fn stored_url(desk: &Desk, target: &Target) -> Result<secrecy::SecretString, SettingsError> {
    Ok(target.settings.opened(&target.key, &desk.keys)?.url)
}

/// The settings with what was asked for changed, and the rest as it is stored.
fn changed(args: &Args, target: &Target, url: secrecy::SecretString) -> anyhow::Result<Settings> {
    let (options, old) = (&args.options, &target.settings);
    let given = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    Ok(Settings {
        url,
        schema: if args.default_schema {
            None
        } else {
            options.schema.clone().or_else(|| old.schema.clone())
        },
        mappings: if args.all_mappings {
            None
        } else {
            given(&options.mappings).or_else(|| old.mappings.clone())
        },
        read_roles: if args.no_read_role {
            Vec::new()
        } else {
            given(&options.read_roles).unwrap_or_else(|| old.read_roles.clone())
        },
        ca_certificates: if args.no_ca_file {
            None
        } else {
            options.ca_certificates()?.or_else(|| old.ca_certificates.clone())
        },
    })
}
