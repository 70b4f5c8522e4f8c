//! `target add`.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tenant_sync_core::config::Config;
use tenant_sync_core::registry::tenancies::{self, NewTenancy, TenancyRef};
use tenant_sync_core::registry::{Checked, Settings, target_key, targets};
use tenant_sync_core::target::check::CheckReport;
use uuid::Uuid;

use super::Desk;
use super::desk::no_such_target;
use super::options::{Options, read_url};
use super::report::{TargetLine, explain, summary};
use crate::context::{Context, Usage};
use crate::output;
use crate::tenancies::{Named, warn_of_strangers};

/// `target add`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    tenancy: Named,
    /// Project of a tenancy that has to be made [default: the tenant key]
    #[arg(long, value_name = "P", requires = "tenant_key")]
    project: Option<String>,
    /// The target's id within the tenancy
    #[arg(long, value_name = "ID", default_value = "main")]
    id: String,
    #[command(flatten)]
    url: Url,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Url {
    /// Connection string, or - to read it from standard input
    #[arg(long, value_name = "URL", allow_hyphen_values = true)]
    url: Option<String>,
    /// File with the connection string, or -
    #[arg(long, value_name = "F")]
    url_file: Option<PathBuf>,
}

/// What `add` and `update` print.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    stored: bool,
    tenancy_id: Uuid,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<TargetLine>,
    check: Option<CheckReport>,
}

pub(super) async fn run(context: &Context, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let url = read_url(args.url.url.as_deref(), args.url.url_file.as_deref())?;
    let Some(url) = url else { return Err(Usage("give --url or --url-file".into()).into()) };
    let settings = Settings {
        url,
        schema: args.options.schema.clone(),
        mappings: (!args.options.mappings.is_empty()).then(|| args.options.mappings.clone()),
        read_roles: args.options.read_roles.clone(),
        ca_certificates: args.options.ca_certificates()?,
    };
    let desk = Desk::open(context, config).await?;
    let named = args.tenancy.reference()?;
    let known = match (&named, tenancies::find(&desk.internal.get().await?, &named).await?) {
        (_, Some(tenancy)) => Some(tenancy.id),
        (TenancyRef::Key(_), None) => None,
        // Says what is wrong.
        (TenancyRef::Id(_), None) => Some(args.tenancy.find(&desk.internal.get().await?).await?.id),
    };
    // A new tenancy's id is chosen here, because the connection string is sealed for it.
    let key = target_key(known.unwrap_or_else(Uuid::new_v4), &args.id)?;
    let checked = desk.check(&key, &settings, !args.options.no_check).await?;
    if checked.is_good() {
        let new_tenancy = match (&named, known) {
            (TenancyRef::Key(tenant_key), None) => Some(NewTenancy {
                id: key.tenancy_id,
                project_id: args.project.as_deref().unwrap_or(tenant_key),
                branch_id: "main",
                tenant_key: Some(tenant_key),
            }),
            _ => None,
        };
        let tenant_key = new_tenancy.as_ref().and_then(|tenancy| tenancy.tenant_key);
        desk.add(&key, new_tenancy, &checked.stored).await?;
        if let Some(tenant_key) = tenant_key {
            warn_of_strangers(&desk.internal.get().await?, tenant_key).await?;
        }
    }
    finish(context, &desk, &key, checked, "added").await
}

/// Prints the outcome: the target as it is stored, or why it is not.
pub(super) async fn finish(
    context: &Context,
    desk: &Desk,
    key: &tenant_sync_core::outbox::TargetKey,
    checked: Checked,
    done: &str,
) -> anyhow::Result<ExitCode> {
    let stored = checked.is_good();
    let target = if stored {
        let target = targets::find(&desk.internal.get().await?, key).await?;
        Some(TargetLine::new(&target.ok_or_else(|| no_such_target(key))?, &desk.config.sync.schema))
    } else {
        None
    };
    let report = Report {
        stored,
        tenancy_id: key.tenancy_id,
        id: key.database_id.clone(),
        target,
        check: checked.report,
    };
    let findings = report.check.as_ref().map(explain).filter(|text| !text.is_empty());
    if !stored {
        output::remark("error: nothing was stored, because the target does not pass its check:");
    }
    if let Some(findings) = findings {
        output::remark(&findings);
    }
    context.output.result(&report, |report| match (&report.target, &report.check) {
        (Some(target), Some(check)) => {
            format!("{done} {} of {}: {}", target.id, target.tenancy_id, summary(check))
        }
        (Some(target), None) => format!("{done} {} of {}, unchecked", target.id, target.tenancy_id),
        (None, _) => String::new(),
    })?;
    Ok(if stored { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
