//! `trigger update`.

use std::path::PathBuf;
use std::process::ExitCode;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::outbox;
use tenant_sync_core::secrets::Keyring;
use tenant_sync_core::triggers::{self, Change};
use uuid::Uuid;

use super::add::secrets;
use crate::context::{Context, Usage};

/// `trigger update`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The trigger's id
    #[arg(value_name = "ID")]
    id: Uuid,
    /// Whom to call from now on; what waits goes there, too
    #[arg(long, value_name = "U")]
    url: Option<String>,
    /// Make a secret that signs beside those there are, and print it
    #[arg(long, conflicts_with = "secret_file")]
    new_secret: bool,
    /// File with secrets that sign beside those there are, one a line, the newest first; or -
    #[arg(long, value_name = "F")]
    secret_file: Option<PathBuf>,
    /// Only what is added signs from now on; if nothing is, the newest secret
    #[arg(long)]
    drop_old_secrets: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    id: Uuid,
    url: Option<String>,
    /// Shown here and never again; null if none was made.
    secret: Option<String>,
    secret_count: Option<usize>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let change = Change {
        url: args.url.clone(),
        new_secret: args.new_secret,
        secrets: args.secret_file.as_deref().map(secrets).transpose()?.unwrap_or_default(),
        drop_old: args.drop_old_secrets,
    };
    if change.url.is_none() && !change.new_secret && change.secrets.is_empty() && !change.drop_old {
        return Err(Usage("give --url, --new-secret, --secret-file or --drop-old-secrets".into()).into());
    }
    let internal = context.internal(config).await?;
    let client = internal.get().await?;
    outbox::publish_settings(&client, config.requests.allow_http, config.requests.max_body_bytes).await?;
    drop(client);
    let keys = Keyring::from_config(&config.secrets.keys)?;
    let done = triggers::update(&internal, &keys, args.id, &change).await?;
    outbox::notify(&internal.get().await?).await?;
    let report = Report {
        id: args.id,
        url: change.url,
        secret: done.new_secret.map(|secret| secret.expose_secret().to_owned()),
        secret_count: done.secrets,
    };
    context.output.result(&report, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(report: &Report) -> String {
    let mut lines = vec![format!("updated {}", report.id)];
    if let Some(url) = &report.url {
        lines.push(format!("it calls {url}"));
    }
    if let Some(secret) = &report.secret {
        lines.push(format!("secret {secret}\nwhich is not shown again"));
    }
    lines.extend(report.secret_count.map(|count| match count {
        1 => "one secret signs its requests".to_owned(),
        _ => format!(
            "{count} secrets sign its requests, each makes a signature; once the receiver has the newest: \
             trigger update {} --drop-old-secrets",
            report.id
        ),
    }));
    lines.join("\n")
}
